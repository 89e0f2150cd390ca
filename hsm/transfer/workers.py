"""Workers: several batches at the same time to one destination."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from hsm.errors import (
    DiskError,
    HsmError,
    NoRsyncError,
    NoShellError,
    SessionsRefusedError,
    UnreachableError,
    WorkspaceGoneError,
)
from hsm.model import Problem, SourceFile
from hsm.process.runner import CommandStoppedError
from hsm.progress import ProblemFound, Reporter, TransferMoved, TransferStarted
from hsm.transfer.base import Batch, BatchEnd, Engine

# Errors that every other worker would meet too.
_STOPPING_ERRORS = (DiskError, NoRsyncError, NoShellError, WorkspaceGoneError)


@dataclass(frozen=True, slots=True)
class RoundEnd:
    """The end of a round of batches.

    Attributes:
        tried: Every batch that was started.
        ends: The answers of batches that were not stopped.
        error: The error after which the rest was not worth trying; None otherwise.
        n_workers: The number of sessions that the other end allows.
        is_interrupted: The user stopped it.
    """

    tried: tuple[Batch, ...]
    ends: tuple[tuple[Batch, BatchEnd], ...]
    error: HsmError | None
    n_workers: int
    is_interrupted: bool


class Progress:
    """Totals of all workers for a progress bar, which never go back and never pass the plan's. Thread-safe."""

    def __init__(self, reporter: Reporter, target: str, files: Sequence[SourceFile]) -> None:
        self._reporter = reporter
        self._target = target
        self._lock = threading.Lock()
        self._moved: dict[int, tuple[int, int]] = {}
        self._shown = (0, 0)
        self._total = (sum(file.size for file in files), len(files))
        self._settled = (0, 0)
        self._told: set[str] = set()
        n_runs = len({file.run for file in files if file.run})
        reporter.report(TransferStarted(target, len(files), self._total[0], n_runs))

    def move(self, key: int, n_bytes: int, n_files: int) -> None:
        """Take a worker's running totals of its present batch."""
        with self._lock:
            self._moved[key] = (n_bytes, n_files)
            self._show()

    def settle(self, n_bytes: int, n_files: int) -> None:
        """Take the totals that are verified after a round, in place of those that the workers told."""
        with self._lock:
            self._moved.clear()
            self._settled = (n_bytes, n_files)
            self._show()

    def tell(self, problems: Iterable[Problem]) -> None:
        """Report problems, one for each path: a worker's words may stand in the result as well."""
        with self._lock:
            news = {problem.path: problem for problem in problems if problem.path not in self._told}
            self._told |= news.keys()
        for problem in news.values():
            self._reporter.report(ProblemFound(self._target, problem))

    def _show(self) -> None:
        moved = [sum(counts[i] for counts in (self._settled, *self._moved.values())) for i in range(2)]
        self._shown = (
            max(self._shown[0], min(moved[0], self._total[0])),
            max(self._shown[1], min(moved[1], self._total[1])),
        )
        self._reporter.report(TransferMoved(self._target, self._shown[1], self._shown[0], 0))


def run_round(
    engine: Engine,
    batches: Sequence[Batch],
    *,
    n_workers: int,
    progress: Progress,
    check: Callable[[], None] = lambda: None,
) -> RoundEnd:
    """Send batches with up to `n_workers` workers, fewer when the other end refuses a session.

    `check` is called before each batch; what it raises ends the round.

    Ends early, and ends the workers that still run, after an error that the others would meet too. Never raises for a
    failure of the destination.
    """
    round_ = _Round(engine, progress)
    waiting = list(reversed(batches))  # the largest first, so that none is left alone at the end
    tried: list[Batch] = []
    pending: dict[Future[BatchEnd], Batch] = {}
    with ThreadPoolExecutor(n_workers, thread_name_prefix="hsm-worker") as executor:
        try:
            while waiting or pending:
                while waiting and len(pending) < n_workers and not round_.is_over:
                    if not round_.passes(check):
                        break
                    batch = waiting.pop()
                    tried.append(batch)
                    pending[executor.submit(round_.send, batch)] = batch
                if not pending:
                    break
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    batch = pending.pop(future)
                    if round_.take(batch, future, is_alone=not pending):
                        n_workers = len(pending)  # as many sessions as the server has not refused
                        waiting.append(batch)
        except BaseException:  # the executor waits for the workers, which only an engine can end
            engine.stop()
            raise
    return RoundEnd(tuple(tried), tuple(round_.ends), round_.error, n_workers, round_.is_interrupted)


class _Round:
    def __init__(self, engine: Engine, progress: Progress) -> None:
        self._engine = engine
        self._progress = progress
        self.ends: list[tuple[Batch, BatchEnd]] = []
        self.error: HsmError | None = None
        self.is_interrupted = False

    @property
    def is_over(self) -> bool:
        return self.error is not None or self.is_interrupted

    def passes(self, check: Callable[[], None]) -> bool:
        """Look whether a further batch may be sent; where it may not, those that run are ended."""
        try:
            check()
        except HsmError as error:
            self.error = error
            self._engine.stop()
        return self.error is None

    def send(self, batch: Batch) -> BatchEnd:
        return self._engine.send(batch, lambda n_bytes, n_files: self._progress.move(id(batch), n_bytes, n_files))

    def take(self, batch: Batch, future: Future[BatchEnd], *, is_alone: bool) -> bool:
        """Take a worker's answer; True when its session was refused and the batch may wait for another worker."""
        try:
            end = future.result()
        except CommandStoppedError:  # by the user, or by `engine.stop` after an error
            self.is_interrupted = self.is_interrupted or self.error is None
            return False
        error = end.error
        if isinstance(error, SessionsRefusedError) and not is_alone:
            return True
        self.ends.append((batch, end))
        self._progress.tell(_iter_complaints(end))
        if error is not None and self.error is None:
            if isinstance(error, _STOPPING_ERRORS):
                self.error = error
                self._engine.stop()
            elif isinstance(error, UnreachableError):
                self.error = error
        return False


def _iter_complaints(end: BatchEnd) -> Iterator[Problem]:
    """Yield an engine's words about single files; a broken connection is no fault of theirs: they are tried again."""
    error = end.error
    if error is not None and not isinstance(error, UnreachableError):
        for path, complaint in (end.complaints or {}).items():
            yield Problem(path, error.kind, complaint, error.hint)
