"""Copying of the files that artifacts of offline runs wait in, to the same paths at a target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hsm.endpoint import Tree
from hsm.errors import HsmError, UnwritableError
from hsm.model import Problem, Root, Run, SourceFile
from hsm.process.runner import CommandStoppedError
from hsm.progress import StepStarted
from hsm.records.lock import make_nonce
from hsm.remote.guard import GuardPlaces
from hsm.sweep_folder import RECEIPT_FOLDER
from hsm.sync.after.arrival import Arrival
from hsm.sync.after.waiting_files import (
    WaitingState,
    compare_waiting,
    find_waiting,
    list_names_there,
    make_conflict,
    make_unwritable,
)
from hsm.sync.observer import Observer
from hsm.targets.lock import WatchedLock, give_lock_back, take_target_lock
from hsm.transfer.base import Batch, Engine, get_temporary_folder, make_workspace
from hsm.transfer.outcome import Outcome, TransferResult
from hsm.wandb_log.artifacts import StagedArtifact


@dataclass(frozen=True, slots=True)
class Staged:
    """Files that were copied, or in a dry run would be.

    Attributes:
        n_files: Number of files.
        n_bytes: Their bytes.
        paths: Their absolute paths without the leading slash, as of `hsm.sync.after.upload.list_staging`.
        awaited: Likewise, those that could not be copied now and may be another time.
        problems: Everything that did not go as it should.
    """

    n_files: int = 0
    n_bytes: int = 0
    paths: frozenset[str] = frozenset()
    awaited: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


class Staging:
    """Copies waiting files to one target.

    Args:
        arrival: The sweep whose runs logged the artifacts, and the target.
        observer: Told what moves.
        breaks_lock: Take the lock there from any holder.
    """

    def __init__(self, arrival: Arrival, observer: Observer, *, breaks_lock: bool = False) -> None:
        self._arrival = arrival
        self._connection = arrival.connection
        self._observer = observer
        self._breaks_lock = breaks_lock
        self._nonce = make_nonce()

    def copy(self, runs: Mapping[Run, Sequence[StagedArtifact]], *, is_dry_run: bool) -> Staged:
        """Copy what waits here and is not there to the same absolute paths there.

        What is there with the same content is skipped, what is there with another one is a problem. A second call
        finds nothing to do. A failure leaves whole files under their names, and nothing else there.

        Args:
            runs: The artifacts of each run's log.
            is_dry_run: Change nothing.

        Raises:
            CommandStoppedError: The user interrupted.
        """
        files = find_waiting(self._arrival.source, runs)
        parts = [self._copy_folder(base, found, is_dry_run=is_dry_run) for base, found in files.items()]
        return Staged(
            sum(part.n_files for part in parts),
            sum(part.n_bytes for part in parts),
            frozenset(path for part in parts for path in part.paths),
            frozenset(path for part in parts for path in part.awaited),
            tuple(problem for part in parts for problem in part.problems),
        )

    def _copy_folder(self, base: str, files: Sequence[SourceFile], *, is_dry_run: bool) -> Staged:
        """Copy the files of one staging folder; an error that may pass leaves them awaited."""
        try:
            state = self._look(base, files)
            if is_dry_run or not state.sends:
                return _make_staged(base, state.sends, problems=state.problems)
            return self._send(base, files, state.base)
        except UnwritableError as error:  # it cannot be at the target at all: there is nothing to wait for
            return Staged(problems=(make_unwritable(base, self._connection.name, error.message),))
        except HsmError as error:
            # Awaited: a run that is uploaded without its artifacts is never uploaded again.
            problem = Problem(base, error.kind, error.message, error.hint)
            return Staged(awaited=_make_paths(base, files), problems=(problem,))

    def _look(self, base: str, files: Sequence[SourceFile]) -> WaitingState:
        """Look at what of the files is there; those of one size and another time are compared by content."""
        listing = self._connection.endpoint.survey([Tree(base, list_names_there(files), 0)]).listings[0]
        state = compare_waiting(base, files, listing, target=self._connection.name)
        if not state.doubtful:
            return state
        differs = self._make_engine(state.base).compare(Batch(Root.WANDB, state.doubtful)).different
        problems = (make_conflict(f"{base}/{file.path}") for file in state.doubtful if file.path in differs)
        return WaitingState(state.base, state.sends, (), (*state.problems, *problems))

    def _make_engine(self, base: str) -> Engine:
        return self._connection.make_engine(
            {Root.WANDB: base}, workspace=make_workspace(self._arrival.sweep, self._nonce), update_only=True
        )

    def _send(self, base: str, files: Sequence[SourceFile], base_there: str) -> Staged:
        """With the lock held: look again, since somebody else may have been there, and send."""
        sweep = self._arrival.sweep
        # Not beside the receipt: a sync of the sweep tells by its own two temporary folders whether a lock is alive,
        # and nobody's sync should wait for artifacts, which may be large.
        places = GuardPlaces(f"{base_there}/{RECEIPT_FOLDER}.{sweep}", (get_temporary_folder(base_there, sweep),))
        lock = take_target_lock(
            self._connection.make_guard,
            places,
            source_id=self._arrival.source_id,
            sweep=sweep,
            target=self._connection.name,
            breaks=self._breaks_lock,
            nonce=self._nonce,
        )
        has_seen_replaced = False
        try:
            state = self._look(base, files)
            result = self._transfer(state, WatchedLock(lock, sweep=sweep, target=self._connection.name))
            has_seen_replaced = True
        finally:
            give_lock_back(lock.guard, drops=(self._nonce,) if has_seen_replaced else ())
            self._observer.reporter.report(StepStarted(self._connection.name, "after_sync"))
        if result.is_interrupted:
            raise CommandStoppedError
        sent = [file for key, file in result.files.items() if result.outcomes.get(key) is Outcome.SENT]
        awaited = [file for file in state.sends if file.key not in result.files]
        return _make_staged(base, sent, awaited, problems=(*state.problems, *_iter_failures(base, result)))

    def _transfer(self, state: WaitingState, lock: WatchedLock) -> TransferResult:
        from hsm.transfer.destination.watch import DestinationWatch  # noqa: PLC0415 - as above
        from hsm.transfer.rounds import Transfer  # noqa: PLC0415 - where nothing is sent, it is not needed

        if not state.sends:
            return TransferResult()
        roots, there = {Root.WANDB: state.base}, self._connection.endpoint
        transfer = Transfer(
            self._make_engine(state.base),
            source=self._arrival.source,
            destination=there,
            roots=roots,
            reporter=self._observer.reporter,
            target=self._connection.name,
            sleep=self._observer.sleep,
            watch=DestinationWatch(there, roots, self._arrival.sweep, lock),
        )
        transfer.run(state.sends, n_workers=self._arrival.settings.options.parallel_transfers)
        return transfer.look_at_replaced()


def _make_staged(
    base: str, files: Sequence[SourceFile], awaited: Sequence[SourceFile] = (), *, problems: tuple[Problem, ...]
) -> Staged:
    n_bytes = sum(file.size for file in files)
    return Staged(len(files), n_bytes, _make_paths(base, files), _make_paths(base, awaited), problems)


def _make_paths(base: str, files: Iterable[SourceFile]) -> frozenset[str]:
    return frozenset(f"{base}/{file.path}".lstrip("/") for file in files)


def _iter_failures(base: str, result: TransferResult) -> Iterator[Problem]:
    for problem in result.problems:
        yield Problem(f"{base}/{problem.path}", problem.kind, problem.message, problem.hint)
    if result.error is not None:
        yield Problem(base, result.error.kind, result.error.message, result.error.hint)
