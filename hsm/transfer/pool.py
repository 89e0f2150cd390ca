"""Workers: several batches at the same time to one destination, and one answer for every file."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import Enum

from hsm.endpoint import Endpoint
from hsm.errors import HsmError, UnreachableError
from hsm.model import Problem, Root, SourceFile
from hsm.progress import ProblemFound, Reporter, TransferMoved, TransferStarted
from hsm.remote.command import CommandStoppedError
from hsm.transfer.base import Batch, BatchEnd, Engine
from hsm.transfer.batches import make_batches
from hsm.transfer.proof import find_arrived, find_changed


class Outcome(str, Enum):
    """What became of a file that was to be sent."""

    SENT = "sent"
    UNSETTLED = "unsettled"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What a transfer proved.

    Attributes:
        outcomes: For every file of the call, by destination root and path.
        problems: One for each file that is not SENT, where there is something to say of it.
        error: Why the transfer stopped early; None when every batch was tried to its end.
        is_interrupted: The user stopped it.
    """

    outcomes: Mapping[tuple[Root, str], Outcome] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    error: HsmError | None = None
    is_interrupted: bool = False


@dataclass(slots=True)
class _Settled:
    """What is known of one batch when its worker has ended."""

    outcomes: dict[tuple[Root, str], Outcome] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    error: HsmError | None = None
    is_interrupted: bool = False


class Transfer:
    """Sends files from a source to one destination. One object serves one destination.

    Args:
        engine: Carries batches.
        source: Looked at again after each batch.
        destination: Looked at after a batch that did not end well.
        roots: The destination's folders, real paths.
        reporter: Told what moves, under the name `target`.
        target: The target's name in events.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        source: Endpoint,
        destination: Endpoint,
        roots: Mapping[Root, str],
        reporter: Reporter,
        target: str,
    ) -> None:
        self._engine = engine
        self._source = source
        self._destination = destination
        self._roots = roots
        self._reporter = reporter
        self._target = target

    def run(self, files: Sequence[SourceFile], *, n_workers: int) -> TransferResult:
        """Send files and prove what arrived.

        Never raises for what goes wrong at one file or at the destination. After `Runner.stop` it ends soon, and
        its answer still holds what is proven.

        Args:
            files: Sorted by root, as a plan's `sends` are.
            n_workers: Wanted; the engine may allow fewer.
        """
        if not files:
            return TransferResult()
        n_workers = max(1, min(n_workers, self._engine.capabilities.max_workers))
        batches = make_batches(files, n_workers=n_workers)
        progress = _Progress(self._reporter, self._target, files)
        try:
            self._engine.prepare(tuple(dict.fromkeys(file.root for file in files)))
        except HsmError as error:
            return _merge([_fail_all(batch, error) for batch in batches])
        except CommandStoppedError:
            return _merge([_Settled(is_interrupted=True)])
        return _merge(self._run_batches(batches, progress, n_workers))

    def _run_batches(self, batches: Sequence[Batch], progress: _Progress, n_workers: int) -> list[_Settled]:
        settled: list[_Settled] = []
        pending: set[Future[_Settled]] = set()
        waiting = list(reversed(batches))
        failure: HsmError | None = None
        with ThreadPoolExecutor(n_workers, thread_name_prefix="hsm-worker") as executor:
            while waiting or pending:
                while waiting and len(pending) < n_workers and failure is None:
                    pending.add(executor.submit(self._run_batch, waiting.pop(), progress))
                if not pending:
                    break
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    settled.append(future.result())
                    failure = failure or _stopping_error(settled[-1])
        return settled + [_fail_all(batch, failure) for batch in waiting if failure is not None]

    def _run_batch(self, batch: Batch, progress: _Progress) -> _Settled:
        try:
            end = self._engine.send(batch, progress.make_callback(batch))
            settled = self._settle(batch, end)
        except CommandStoppedError:
            return _Settled(is_interrupted=True)
        except HsmError as error:
            settled = _fail_all(batch, error)
        for problem in settled.problems:
            self._reporter.report(ProblemFound(self._target, problem))
        return settled

    def _settle(self, batch: Batch, end: BatchEnd) -> _Settled:
        changed = find_changed(self._source, batch.files)
        arrived = set(end.sent)
        if not end.is_clean:
            arrived = find_arrived(self._destination, self._roots, batch.files)
        settled = _Settled(error=end.error if end.error and len(arrived) < len(batch.files) else None)
        for file in batch.files:
            outcome, problem = _judge(file, end, arrived=file.path in arrived, changed=file.path in changed)
            settled.outcomes[file.root, file.path] = outcome
            if problem is not None:
                settled.problems.append(problem)
        return settled


class _Progress:
    """Adds up what the workers have moved; totals never go back and never pass the plan's."""

    def __init__(self, reporter: Reporter, target: str, files: Sequence[SourceFile]) -> None:
        self._reporter = reporter
        self._target = target
        self._lock = threading.Lock()
        self._moved: dict[int, tuple[int, int]] = {}
        self._n_bytes = sum(file.size for file in files)
        runs = len({file.run for file in files if file.run})
        reporter.report(TransferStarted(target, len(files), self._n_bytes, runs))

    def make_callback(self, batch: Batch) -> _BatchProgress:
        return _BatchProgress(self, batch)

    def move(self, key: int, n_bytes: int, n_files: int) -> None:
        with self._lock:
            before = self._moved.get(key, (0, 0))
            self._moved[key] = (max(before[0], n_bytes), max(before[1], n_files))
            total_bytes = min(sum(moved[0] for moved in self._moved.values()), self._n_bytes)
            total_files = sum(moved[1] for moved in self._moved.values())
        self._reporter.report(TransferMoved(self._target, total_files, total_bytes, 0))


class _BatchProgress:
    """One worker's part of the progress."""

    def __init__(self, progress: _Progress, batch: Batch) -> None:
        self._progress = progress
        self._key = id(batch)

    def __call__(self, n_bytes: int, n_files: int) -> None:
        self._progress.move(self._key, n_bytes, n_files)


def _judge(file: SourceFile, end: BatchEnd, *, arrived: bool, changed: bool) -> tuple[Outcome, Problem | None]:
    if changed:
        message = "The file changed at the source while it was sent."
        hint = "Run the same command again once it rests."
        return Outcome.UNSETTLED, Problem(file.path, "unsettled", message, hint)
    if arrived:
        return Outcome.SENT, None
    if end.is_clean:
        message = "Left alone: meanwhile the destination has a newer one."
        return Outcome.SKIPPED, Problem(file.path, "conflict", message, "`--overwrite` sends it after all.")
    complaint = (end.complaints or {}).get(file.path)
    if complaint is None and isinstance(end.error, UnreachableError):
        return Outcome.FAILED, None
    error = end.error
    message = complaint or (error.message if error else "It did not arrive.")
    kind = error.kind if error else "failed"
    return Outcome.FAILED, Problem(file.path, kind, message, error.hint if error else "")


def _fail_all(batch: Batch, error: HsmError | None) -> _Settled:
    return _Settled({(file.root, file.path): Outcome.FAILED for file in batch.files}, error=error)


def _stopping_error(settled: _Settled) -> HsmError | None:
    """An error after which no further batch is worth starting."""
    stops = settled.error is not None and (
        isinstance(settled.error, UnreachableError) or settled.error.kind in _STOPPING_KINDS
    )
    return settled.error if stops else None


_STOPPING_KINDS = frozenset({"no_space", "quota", "read_only", "rsync_missing", "noisy_shell"})


def _merge(settled: Sequence[_Settled]) -> TransferResult:
    outcomes: dict[tuple[Root, str], Outcome] = {}
    for part in settled:
        outcomes.update(part.outcomes)
    return TransferResult(
        outcomes=outcomes,
        problems=tuple(problem for part in settled for problem in part.problems),
        error=next((part.error for part in settled if part.error is not None), None),
        is_interrupted=any(part.is_interrupted for part in settled),
    )
