"""Signals that end the program: none is lost, at any moment of the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

DROPPING = """
import signal, sys, time
from hsm.process import signals

class Finalised:
    def __del__(self):
        signal.raise_signal({number})
        time.sleep(0)

{before}
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also under nohup
signals.take_signals()
try:
    Finalised()
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""

ALARM_WITHIN_THE_HOOK = """
set_timer = signal.setitimer
signal.setitimer = lambda *words: (set_timer(*words), words[1] and signal.raise_signal(signal.SIGALRM))
"""

# A signal that another thread gets ends no read of the main thread, as one that comes right before the read.
ASKING = """
import os, signal, sys, threading, time
from hsm.process.signals import hear_signals, take_signals

def interrupt():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.{name})

take_signals()
try:
    with hear_signals():
        threading.Thread(target=interrupt).start()
        print({read})
except KeyboardInterrupt:
    sys.exit(130)
"""

READS = {"a line": "sys.stdin.readline()", "input": "input()", "bytes": "os.read(0, 1)"}


def run(script: str, **options: int) -> tuple[int, str]:
    completed = subprocess.run(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, timeout=50, check=False, **options
    )
    return completed.returncode, completed.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_finaliser_is_not_lost(number: signal.Signals) -> None:
    assert run(DROPPING.format(number=int(number), before="")) == (130, "")


def test_on_a_busy_machine_it_is_raised_when_it_is_no_longer_dropped() -> None:
    assert run(DROPPING.format(number=int(signal.SIGTERM), before=ALARM_WITHIN_THE_HOOK)) == (130, "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_signal_right_before_a_read_is_not_lost(read: str, name: str) -> None:
    reader, writer = os.pipe()
    try:
        assert run(ASKING.format(read=read, name=name), stdin=reader) == (130, "")
    finally:
        os.close(reader)
        os.close(writer)
