"""The person at this terminal: whether there is one, and questions to them, one at a time."""

from __future__ import annotations

import getpass
import sys
import threading

from hsm.process.signals import hear_signals

_one_at_a_time = threading.Lock()


def has_terminal() -> bool:
    """Tell whether a question could be asked here, by ssh too."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_in_terminal(question: str, is_shown: bool) -> str:
    """Ask, and read a line.

    Args:
        question: May come from a server: a character that is not visible is written as an escape.
        is_shown: Show the answer while it is typed.
    """
    text = "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in question)
    with _one_at_a_time, hear_signals():
        if not is_shown:
            return getpass.getpass(text)
        sys.stderr.write(text)
        sys.stderr.flush()
        return sys.stdin.readline().rstrip("\n")
