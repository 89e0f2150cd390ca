"""Signals that end the program."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

DROPPING = """
import signal, sys, time
from hsm.cli.entry import take_signals

class Finalised:
    def __del__(self):
        signal.raise_signal({number})
        time.sleep(0)

take_signals()
try:
    Finalised()
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_finaliser_is_not_lost(number: signal.Signals) -> None:
    script = DROPPING.format(number=int(number))
    completed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert (completed.returncode, completed.stderr) == (130, "")
