"""Threads of targets: several are served at the same time, while this thread reads the source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from hsm.process.runner import CommandStoppedError, Runner

# Ctrl-C is answered within this time.
_LOOK_SECONDS = 0.2

_Read = TypeVar("_Read")
_Answer = TypeVar("_Answer")


def serve_targets(
    names: Sequence[str],
    serve: Callable[[str, Future[_Read]], _Answer],
    *,
    read: Callable[[], _Read],
    runner: Runner,
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[str, _Answer]:
    """Call `serve` for every target in a thread of its own, and hand it the answer of `read` as soon as it is there.

    Ctrl-C (KeyboardInterrupt in this thread) ends what runs; every target may then tidy up and still answers. A
    second Ctrl-C ends that too.

    Args:
        names: The targets'.
        serve: Serves one target; a wait for its second argument may raise CommandStoppedError.
        read: Reads the source, in this thread.
        runner: Starts all processes of the targets.
        meanwhile: Called in this thread once the source has been read, while targets are waited for.

    Returns:
        The answers of `serve`, by target.
    """
    found: Future[_Read] = Future()
    with ThreadPoolExecutor(max(1, len(names)), thread_name_prefix="hsm-target") as executor:
        futures = {name: executor.submit(serve, name, found) for name in names}
        try:
            found.set_result(read())
            meanwhile()
            return _collect(futures)
        except KeyboardInterrupt:
            # Ends what runs, but lets targets be asked what has arrived; only a second Ctrl-C stops that too.
            runner.interrupt()
        except BaseException as error:
            runner.stop()
            if not found.done():
                found.set_exception(error)
            raise
        try:
            if not found.done():
                found.set_exception(CommandStoppedError())
            return _collect(futures)
        except KeyboardInterrupt:
            runner.stop()
            return _collect(futures)


def wait_awake(futures: Iterable[Future[_Answer]]) -> None:
    """Wait in the main thread until all are done, and act on signals meanwhile.

    It waits for short times: a signal that another thread takes does not wake this one, which alone can act on it.
    """
    for _ in iter_awake(futures):
        pass


def iter_awake(futures: Iterable[Future[_Answer]]) -> Iterator[Future[_Answer]]:
    """Wait as `wait_awake` does, and yield each as soon as it is done."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
        yield from done


def _collect(futures: Mapping[str, Future[_Answer]]) -> dict[str, _Answer]:
    wait_awake(futures.values())
    return {name: future.result() for name, future in futures.items()}
