"""Running programs, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from hsm.process.runner import (
    CommandStoppedError,
    CommandTimeoutError,
    CommandTooLongError,
    Completed,
    ProgramMissingError,
    Runner,
    WaitingProgram,
)
from tests.unit.process.conftest import LONG, is_running, list_open_files, read_pid, wait_until


def run(*argv: str, stdin: bytes = b"", timeout_seconds: float = LONG, runner: Runner | None = None) -> Completed:
    return (runner or Runner()).run(argv, stdin=stdin, timeout_seconds=timeout_seconds)


def stream(*argv: str, stdin: bytes = b"", runner: Runner | None = None) -> tuple[Completed, bytes]:
    chunks: list[bytes] = []
    completed = (runner or Runner()).stream(argv, stdin=stdin, on_output=chunks.append)
    return completed, b"".join(chunks)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("true", Completed(0, b"", b""), id="nothing printed"),
        pytest.param("printf 'a\\000b'", Completed(0, b"a\0b", b""), id="bytes"),
        pytest.param("echo out; echo err >&2; exit 7", Completed(7, b"out\n", b"err\n"), id="both and a code"),
        pytest.param("kill -9 $$", Completed(-signal.SIGKILL, b"", b""), id="ended by a signal"),
    ],
)
def test_a_program_is_run_to_its_end(script: str, expected: Completed) -> None:
    assert run("sh", "-c", script) == expected


def test_arguments_meet_no_shell() -> None:
    assert run("printf", "%s", "$(touch x); `y` *").stdout == b"$(touch x); `y` *"


@pytest.mark.parametrize("size", [0, 3_000_000])
def test_input_is_fed_and_closed(size: int) -> None:
    content = os.urandom(size)
    assert run("cat", stdin=content).stdout == content
    assert stream("cat", stdin=content) == (Completed(0, b"", b""), content)


def test_a_program_need_not_read_its_input() -> None:
    assert run("true", stdin=b"x" * 3_000_000).returncode == 0
    assert stream("true", stdin=b"x" * 3_000_000)[0].returncode == 0


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not executable")
    for program in ("hsm-no-such-program", str(tmp_path / "text"), str(tmp_path / "none/such")):
        with pytest.raises(ProgramMissingError, match=program):
            run(program)
        with pytest.raises(ProgramMissingError, match=program):
            stream(program)


def test_text_of_complaints_survives_foreign_bytes() -> None:
    assert run("sh", "-c", "printf 'a\\377b' >&2").stderr_text == "a\ufffdb"


def test_the_environment_is_the_callers_but_for_what_changes_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RSYNC_RSH", "RSYNC_PROTECT_ARGS", "HSM_KEPT", "LANG"):
        monkeypatch.setenv(name, "value")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    for printed in (run("env").stdout, stream("env")[1]):
        variables = dict(line.split("=", 1) for line in printed.decode().splitlines() if "=" in line)
        assert variables["LC_ALL"] == "C"
        assert (variables["HSM_KEPT"], variables["LANG"]) == ("value", "value")
        assert not [name for name in variables if name.startswith("RSYNC_")]


def test_only_a_program_in_the_foreground_shares_our_process_group(capfd: pytest.CaptureFixture[str]) -> None:
    show = ("sh", "-c", "ps -o pgid= -p $$; echo asks >&2")
    behind = run(*show)
    before = Runner().run(show, timeout_seconds=LONG, foreground=True)
    assert int(before.stdout) == os.getpgid(0) != int(behind.stdout)
    assert (before.stderr, behind.stderr) == (b"", b"asks\n")
    assert capfd.readouterr().err == "asks\n"


def test_output_is_handed_over_while_the_program_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo first; while [ ! -e {go} ]; do sleep 0.01; done; echo last"
    seen: list[bytes] = []
    threads: set[int] = set()

    def take(chunk: bytes) -> None:
        seen.append(chunk)
        threads.add(threading.get_ident())
        go.touch()

    assert Runner().stream(["sh", "-c", script], stdin=b"", on_output=take) == Completed(0, b"", b"")
    assert (b"".join(seen), seen[0]) == (b"first\nlast\n", b"first\n")
    assert threads == {threading.get_ident()}


def test_of_very_many_complaints_a_stream_keeps_the_last() -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' e >&2; printf END >&2; echo out"
    completed, printed = stream("sh", "-c", script)
    assert printed == b"out\n"
    assert completed.stderr == b"e" * (64 * 1024 - 3) + b"END"


def test_an_error_of_the_reader_ends_the_program(tmp_path: Path) -> None:
    def refuse(_chunk: bytes) -> None:
        raise ZeroDivisionError

    argv = ["sh", "-c", f"echo $$ > {tmp_path}/pid; echo x; exec sleep {LONG}"]
    with pytest.raises(ZeroDivisionError):
        Runner().stream(argv, stdin=b"x" * 1_000_000, on_output=refuse)
    assert not is_running(read_pid(tmp_path / "pid"))


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("sleep 60 & echo $! >PID; wait", id="leader and child"),
        pytest.param("sleep 60 & echo $! >PID", id="the leader has gone, a child holds its output"),
        pytest.param("sh -c 'trap \"\" TERM; echo $$ >PID; sleep 60; :' & wait", id="a child ignores SIGTERM"),
    ],
)
def test_a_program_that_takes_too_long_is_ended_with_its_children(script: str, tmp_path: Path) -> None:
    for limit in (0.5, 5, 50):  # on a busy machine it may not have begun so soon
        with pytest.raises(CommandTimeoutError, match=f"did not end within {limit} s"):
            run("sh", "-c", script.replace("PID", str(tmp_path / "pid")), timeout_seconds=limit)
        if (tmp_path / "pid").exists():
            break
    pid = read_pid(tmp_path / "pid")
    wait_until(lambda: not is_running(pid))


def test_a_program_in_the_foreground_is_ended_alone() -> None:
    with pytest.raises(CommandTimeoutError):
        Runner().run(["sleep", str(LONG)], timeout_seconds=0.1, foreground=True)


@pytest.mark.parametrize("how", ["run", "stream"])
@pytest.mark.parametrize("ends", [Runner.stop, Runner.interrupt])
def test_whole_groups_are_ended_by_a_stop_and_by_an_interrupt(
    how: str, ends: Callable[[Runner], None], tmp_path: Path
) -> None:
    runner = Runner()
    script = f"sleep {LONG} & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/leader; wait"
    call: Callable[..., object] = run if how == "run" else stream
    with ThreadPoolExecutor(1) as executor:
        future: Future[object] = executor.submit(call, "sh", "-c", script, runner=runner)
        pids = [read_pid(tmp_path / name) for name in ("child", "leader")]
        ends(runner)
        assert isinstance(future.exception(), CommandStoppedError)
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_after_a_stop_nothing_is_started(tmp_path: Path) -> None:
    runner = Runner()
    runner.stop()
    runner.stop()
    for call in (run, stream):
        with pytest.raises(CommandStoppedError):
            call("touch", str(tmp_path / "started"), runner=runner)
    assert not (tmp_path / "started").exists()


def test_after_an_interrupt_the_runner_tidies_up_but_its_children_start_nothing() -> None:
    runner = Runner()
    early = runner.make_child()
    runner.interrupt()
    assert run("true", runner=runner).returncode == 0
    for child in (early, runner.make_child()):
        with pytest.raises(CommandStoppedError):
            run("true", runner=child)


def test_a_child_is_stopped_alone() -> None:
    runner = Runner()
    child, other = runner.make_child(), runner.make_child()
    child.stop()
    with pytest.raises(CommandStoppedError):
        run("true", runner=child)
    assert run("true", runner=other).returncode == run("true", runner=runner).returncode == 0


def test_a_pause_ends_with_an_interrupt() -> None:
    runner = Runner()
    runner.sleep(0)
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(runner.sleep, LONG)
        runner.interrupt()
        assert isinstance(future.exception(), CommandStoppedError)
    with pytest.raises(CommandStoppedError):
        runner.sleep(0)


def test_many_threads_share_a_runner() -> None:
    runner = Runner()
    with ThreadPoolExecutor(8) as executor:
        printed = executor.map(lambda number: run("printf", str(number), runner=runner).stdout, range(40))
        assert list(printed) == [str(number).encode() for number in range(40)]


def test_a_slow_reader_gets_all_of_its_input() -> None:
    content = bytes(range(256)) * 8192
    completed = Runner().run(["sh", "-c", "sleep 0.7; cat"], stdin=content, timeout_seconds=30)
    assert completed.stdout == content


def test_after_a_stop_no_program_is_started() -> None:
    runner = Runner()
    runner.stop()
    with pytest.raises(CommandStoppedError):
        runner.start(["sleep", "60"])


def test_a_missing_program_is_told_when_it_is_started() -> None:
    with pytest.raises(ProgramMissingError, match="hsm-no-such-program"):
        Runner().start(["hsm-no-such-program"])


def test_a_program_is_fed_later() -> None:
    started = Runner().start(["bash", "-c", "echo ready; cat; echo err >&2; exit 5"])
    assert started.is_running
    chunks: list[bytes] = []
    content = os.urandom(1_000_000)
    assert started.finish(content, chunks.append) == Completed(5, b"", b"err\n")
    assert b"".join(chunks) == b"ready\n" + content
    assert not started.is_running
    started.end()


def test_a_program_that_printed_much_before_it_is_fed_is_read_to_its_end() -> None:
    started = Runner().start(["bash", "-c", "head -c 1000000 /dev/zero; wc -c >&2"])
    chunks: list[bytes] = []
    assert started.finish(b"x" * 500_000, chunks.append).stderr.strip() == b"500000"
    assert sum(map(len, chunks)) == 1_000_000


def test_a_program_that_has_ended_before_it_is_fed_is_told() -> None:
    started = Runner().start(["bash", "-c", "exit 3"])
    wait_until(lambda: not started.is_running)
    assert started.finish(b"x" * 1_000_000, lambda _chunk: None).returncode == 3


def test_a_program_is_ended_unfed_twice_and_leaves_nothing(tmp_path: Path) -> None:
    before = list_open_files()
    started = Runner().start(["bash", "-c", f"sleep 60 & echo $! >{tmp_path}/child; cat >{tmp_path}/fed; touch ended"])
    child = read_pid(tmp_path / "child")
    started.end()
    started.end()
    assert not started.is_running
    wait_until(lambda: not is_running(child))
    assert list_open_files() == before


def start_sleeper(runner: Runner, tmp_path: Path) -> tuple[WaitingProgram, int]:
    started = runner.start(["bash", "-c", f"echo $$ >{tmp_path}/pid; cat; exec sleep 60"])
    return started, read_pid(tmp_path / "pid")


@pytest.mark.parametrize("ends", [Runner.stop, Runner.interrupt])
def test_a_program_that_waits_for_its_input_is_ended_by_an_interrupt(
    ends: Callable[[Runner], None], tmp_path: Path
) -> None:
    runner = Runner()
    started, pid = start_sleeper(runner, tmp_path)
    ends(runner)
    assert not is_running(pid)
    with pytest.raises(CommandStoppedError):
        started.finish(b"x", lambda _chunk: None)
    started.end()


def test_a_program_that_is_fed_is_ended_by_an_interrupt(tmp_path: Path) -> None:
    runner = Runner()
    started, pid = start_sleeper(runner, tmp_path)
    seen = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(started.finish, b"x", lambda _chunk: seen.set())
        assert seen.wait(20)
        runner.interrupt()
        assert isinstance(future.exception(), CommandStoppedError)
    assert not is_running(pid)


def test_an_error_of_the_reader_ends_a_program_that_was_fed_later(tmp_path: Path) -> None:
    started, pid = start_sleeper(Runner(), tmp_path)

    def refuse(_chunk: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        started.finish(b"x", refuse)
    assert not is_running(pid)


def test_a_command_line_that_has_no_room_is_told_apart() -> None:
    words = ["x" * 100_000] * 200  # 20 MB: more than any system gives
    with pytest.raises(CommandTooLongError):
        run("true", *words)


LOST = """
import os, signal, sys, threading
from hsm.process.runner import Runner, StatusLostError
{before}
runner = Runner()
for start in (
    lambda: runner.run(["sh", "-c", "exit 23"], timeout_seconds=50),
    lambda: runner.stream(["sh", "-c", "exit 23"], stdin=b"", on_output=print),
):
    try:
        done = start()
        if done.returncode != 23:  # where this process was first, it is read
            sys.exit(f"taken for {{done}}")
    except StatusLostError as error:
        assert "exit status of `sh` cannot be read" in error.message, error
"""

REAPS_ALL = """
def reap():
    while True:
        try:
            os.wait()
        except ChildProcessError:
            pass
threading.Thread(target=reap, daemon=True).start()
"""


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", id="SIGCHLD is ignored"),
        pytest.param(REAPS_ALL, id="another thread collects all children"),
    ],
)
def test_an_exit_status_that_cannot_be_read_is_a_failure(before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(before=before)], stderr=subprocess.PIPE, text=True, timeout=LONG, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
