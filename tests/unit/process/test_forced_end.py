"""The end of a program whose threads do not end: run as programs of their own, and signalled."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hsm.process.places import find_silent
from tests.unit.process.conftest import LONG, is_running, read_pid

# The thread stands for one at a mount that does not answer: it can be neither interrupted nor joined. The main thread
# does not join it: where a join is interrupted, CPython 3.11 counts the thread as ended (bpo-45274); this would spin.
STUCK = """
import os, signal, sys, threading, time
from hsm.process import places
from hsm.process.runner import Runner
from hsm.process.signals import take_signals

{before}
take_signals()
worker = threading.Thread(target=time.sleep, args=({long},))
worker.start()
words = ["ready"]
while True:
    try:
        while words:
            print(words.pop(), flush=True)
        time.sleep({long})
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""

SILENT_PLACE = """
gate = threading.Event()
os.statvfs = lambda path: gate.wait()
places.note_place("/mnt/nas")
"""

BLOCKED = """
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
real = signal.pthread_sigmask
signal.pthread_sigmask = lambda how, numbers: real(how, numbers) if how == signal.SIG_BLOCK else None
"""


def start(before: str = "") -> subprocess.Popen[str]:
    script = STUCK.format(before=before, long=LONG)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, restore_signals=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, complaint = process.communicate(timeout=LONG / 2)
    return process.returncode, complaint


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_program_whatever_its_threads_do(second: signal.Signals) -> None:
    with start() as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        with pytest.raises(subprocess.TimeoutExpired):  # the first one lets the work be tidied up
            process.wait(2)
        process.send_signal(second)
        code, complaint = end(process)
    assert code == 130
    assert "Next: run the same command again" in complaint


def test_two_signals_at_once_are_one() -> None:
    with start() as process:
        for _ in range(2):  # as timeout(1) sends them: to the program, and to its group
            process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.kill()


def test_the_first_signal_ends_it_where_a_mount_does_not_answer() -> None:
    with start(SILENT_PLACE) as process:
        process.send_signal(signal.SIGTERM)
        code, complaint = end(process)
    assert code == 130
    assert "/mnt/nas does not answer" in complaint


def test_a_signal_that_the_main_thread_never_takes_ends_it() -> None:
    with start(BLOCKED) as process:  # as a main thread in the kernel, at a mount that does not answer
        process.send_signal(signal.SIGTERM)
        code, complaint = end(process)
    assert code == 130
    assert "does not come back" in complaint


def test_what_it_had_started_is_killed(tmp_path: Path) -> None:
    before = f"""
argv = ["sh", "-c", "trap '' TERM; echo $$ >{tmp_path}/pid; while :; do sleep 1; done"]
threading.Thread(target=lambda: Runner().run(argv, timeout_seconds={LONG}), daemon=True).start()
"""
    with start(before + SILENT_PLACE) as process:
        pid = read_pid(tmp_path / "pid")
        process.send_signal(signal.SIGINT)
        assert end(process)[0] == 130
    assert not is_running(pid)


def test_a_place_that_answers_or_is_missing_is_not_silent(tmp_path: Path) -> None:
    assert find_silent([str(tmp_path), str(tmp_path / "none"), "/\0"], seconds=10) == []


def test_signals_ignored_or_blocked_by_whoever_starts_the_program_are_taken() -> None:
    script = (
        "import signal\nfrom hsm.process.signals import take_signals\ntake_signals()\n"
        "print(signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, signal.pthread_sigmask(signal.SIG_BLOCK, ()),"
        " signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    starter = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGCHLD))\n"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    )
    found = subprocess.run(
        [sys.executable, "-c", starter, script], capture_output=True, text=True, check=True, timeout=LONG
    )
    assert found.stdout == "True set() True\n", "Ctrl-C does not concern what a script has put into the background"
