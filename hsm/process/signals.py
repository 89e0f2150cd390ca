"""Signals that ask the program to end, none of which gets lost."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from typing import TYPE_CHECKING

from hsm.process.forced_end import ENDING, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

LOOK_SECONDS = 0.1
"""Between two looks for signals while somebody is asked: a Ctrl-C seems to end the program at once."""

AGAIN_SECONDS = 0.01
"""Until an interruption that Python dropped is raised once more: what dropped it is over by then."""

ONCE_SECONDS = 0.1
"""Within it signals are one: `timeout` sends its own twice, a shell repeats the hang-up of its terminal."""

_watch = Watch()

# Interruptions that must be raised once more.
_dropped: list[type[BaseException]] = []


def take_signals() -> None:
    """Turn what asks the program to end into a KeyboardInterrupt of the main thread, which does not get lost.

    Python drops one that is raised while it runs a finaliser or a weak reference's callback, as it does after each
    import; it is raised once more then. Under nohup a hang-up stays ignored, and Ctrl-C in a script's background.
    After a second one the program ends within two seconds, whatever its threads do.

    What whoever started the program did to its signals is mended: both are inherited.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # no exit status of a child could be read
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDING, signal.SIGALRM, signal.SIGCHLD))
    signal.signal(signal.SIGALRM, _look)
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGTERM:
            signal.signal(number, _interrupt)
    sys.unraisablehook = _note_dropped
    _watch.start()


@contextlib.contextmanager
def hear_signals() -> Iterator[None]:
    """Let no signal wait for the answer while somebody is asked.

    Python looks for signals right before a blocking read, and again when a signal breaks the read off. One that comes
    in between is seen after the next line: 3 in 100 of the Ctrl-Cs that a script types as soon as it sees a question.
    A read that is broken off ten times a second sees it soon. In a program that has not called `take_signals` nothing
    is done.
    """
    if signal.getsignal(signal.SIGALRM) is not _look:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    try:
        yield
    finally:
        if not _dropped:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _note_dropped(dropped: sys.UnraisableHookArgs) -> None:
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    _dropped.append(dropped.exc_type)
    # Until one is raised: on a busy machine the first alarm comes while this hook still runs, which would drop it too.
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)


def _look(_number: int, frame: FrameType | None) -> None:
    """Raise what was dropped. Any other signal needs no more than that Python comes here: it looks for all."""
    if not _dropped:
        return
    while frame is not None:
        if frame.f_code is _note_dropped.__code__:
            return
        frame = frame.f_back
    _dropped.clear()
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise KeyboardInterrupt


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if _watch.taken and now - _watch.taken[-1] < ONCE_SECONDS:
        return
    _watch.taken.append(now)
    raise KeyboardInterrupt
