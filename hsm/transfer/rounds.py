"""A transfer to one destination: rounds of workers, each followed by a proof, until all is settled or hopeless."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from hsm.endpoint import Endpoint
from hsm.errors import HsmError, NoInodesError, NoSpaceError, PassingError, UnreachableError
from hsm.model import CONFLICT, FileKey, Problem, Root, SourceFile
from hsm.process.runner import CommandStoppedError
from hsm.progress import Reporter
from hsm.transfer.base import BatchEnd, Engine
from hsm.transfer.batches import choose_streams, make_batches
from hsm.transfer.outcome import Outcome, Patience, Streams, TransferResult
from hsm.transfer.proof import find_arrived, measure_lack, refresh
from hsm.transfer.workers import Progress, RoundEnd, run_round


class Transfer:
    """Sends files from a source to one destination. One object serves one destination.

    Args:
        engine: Carries batches.
        source: Looked at again after each round.
        destination: Looked at after a round that did not end well.
        roots: The destination's folders, real paths.
        reporter: Told what moves, under the name `target`.
        target: The target's name in events.
        sleep: Waits so many seconds; raises CommandStoppedError when the user interrupts.
        patience: How long to wait and how often to try.
        tidy: Called before what a broken connection left open is sent again: takes from what still runs at the other
            end the files that it could yet put somewhere.
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
        sleep: Callable[[float], None],
        patience: Patience | None = None,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._source = source
        self._destination = destination
        self._roots = roots
        self._reporter = reporter
        self._target = target
        self._sleep = sleep
        self._patience = patience or Patience()
        self._tidy = tidy

    def run(self, files: Sequence[SourceFile], *, n_workers: int) -> TransferResult:
        """Send files and prove what arrived.

        A file that changed meanwhile is sent again in further passes; after a broken connection the rest is sent
        over a new one. Never raises for what goes wrong at one file or at the destination. After an interrupt
        it ends soon, and its answer still holds what is proven.

        Args:
            files: Sorted by root, as a plan's `sends` are.
            n_workers: Wanted; the engine and the other end may allow fewer.
        """
        state = _State(files)
        if not files:
            return state.make_result()
        n_workers = max(1, min(n_workers, self._engine.capabilities.max_workers))
        progress = Progress(self._reporter, self._target, files)
        try:
            self._run_rounds(state, n_workers, progress)
            self._tell_lack(state)
        except HsmError as error:
            state.error = error
        except CommandStoppedError:
            state.is_interrupted = True
        progress.tell(state.problems)
        return state.make_result()

    def _run_rounds(self, state: _State, n_workers: int, progress: Progress) -> None:
        pauses = list(self._patience.settle_seconds)
        n_fruitless = 0
        while state.open:
            n_streams = self._choose_streams(state, n_workers)
            batches = make_batches(
                sorted(state.open.values()),
                n_streams=n_streams,
                max_name_bytes=self._engine.capabilities.max_name_bytes,
            )
            end = run_round(self._engine, batches, n_workers=n_workers, progress=progress)
            n_before = len(state.sent)
            state.begin_round(end)
            has_torn = self._prove(state, end)
            progress.settle(*state.count_sent())
            n_workers = end.n_workers
            if end.is_interrupted:
                raise CommandStoppedError
            n_fruitless = n_fruitless + 1 if len(state.sent) == n_before else 0
            if (state.is_broken or has_torn) and n_fruitless < self._patience.n_fruitless_rounds:
                self._tidy()
                continue
            if state.error is not None or not state.changed or not pauses:
                return
            self._sleep(pauses.pop(0))
            state.reopen_changed()

    def _choose_streams(self, state: _State, n_workers: int) -> int:
        """As many as the link repays; what must be sent to two folders may use two."""
        files = state.open.values()
        n_bytes = sum(file.size for file in files)
        can = self._engine.capabilities
        trip = can.round_trip_seconds
        n_streams = choose_streams(n_bytes, n_workers=n_workers, round_trip_seconds=trip)
        n_streams = min(n_workers, max(n_streams, len({file.root for file in files})))
        state.streams = state.streams or Streams(can.name, n_streams, trip, can.compression)
        return n_streams

    def _prove(self, state: _State, end: RoundEnd) -> bool:
        """Sort the files of a round by what a fresh look at both ends shows.

        Once a connection broke, later rounds look also at what the engine vouches for: what still runs at the other
        end, and has not noticed, may have put its own part in the place of the one that was gone on with.

        Returns:
            Whether something that the engine vouches for is not there.
        """
        answers = [answer for answer in end.ends if answer[1].is_clean]
        sent = {(batch.root, path) for batch, answer in answers for path in answer.sent}
        skipped = {(batch.root, file.path) for batch, _ in answers for file in batch.files} - sent
        tried = [file for key, file in state.open.items() if key in state.tried]
        doubtful = [file for file in tried if state.was_broken or file.key not in sent]
        now = refresh(self._source, tried)
        try:
            arrived = find_arrived(self._destination, self._roots, doubtful) if doubtful else set()
        except (HsmError, CommandStoppedError):
            state.sort(sent=set() if state.was_broken else sent, arrived=set(), skipped=set(), now=now)
            raise
        torn = sent - arrived if state.was_broken else set()
        state.sort(sent=sent - torn, arrived=arrived, skipped=skipped, now=now)
        return not torn.isdisjoint(state.open)

    def _tell_lack(self, state: _State) -> None:
        """Add to the error of a destination that ran full how much is missing there."""
        error = state.error
        if not isinstance(error, NoSpaceError | NoInodesError):
            return
        with contextlib.suppress(HsmError):
            n_bytes, n_inodes = measure_lack(self._destination, self._roots, list(state.open.values()))
            n_lacking, what = (n_bytes, "bytes") if isinstance(error, NoSpaceError) else (n_inodes, "free inodes")
            if n_lacking:
                message = f"{error.message} At least {n_lacking} {what} are missing for the rest."
                state.error = error.reword(message, hint=error.hint)


class _State:
    """What is known of every file while a transfer runs."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self.open: dict[FileKey, SourceFile] = {file.key: file for file in files}
        self.sent: dict[FileKey, SourceFile] = {}
        self.unchanged: dict[FileKey, SourceFile] = {}
        self.changed: dict[FileKey, SourceFile | None] = {}
        self.skipped: set[FileKey] = set()
        self.tried: set[FileKey] = set()
        self.error: HsmError | None = None
        self.streams: Streams | None = None
        self.is_interrupted = False
        self.was_broken = False
        self._complaints: dict[FileKey, tuple[str, HsmError | None]] = {}

    @property
    def is_broken(self) -> bool:
        """The connection broke: what is still open may be tried again."""
        return isinstance(self.error, PassingError) and bool(self.open)

    def begin_round(self, end: RoundEnd) -> None:
        self.was_broken = self.was_broken or isinstance(self.error, UnreachableError)
        self.error = end.error
        self.tried = {(batch.root, file.path) for batch in end.tried for file in batch.files}
        for batch, answer in end.ends:
            for file in batch.files:
                self._complaints[batch.root, file.path] = (_complaint_of(answer, file), answer.error)

    def sort(
        self,
        *,
        sent: set[FileKey],
        arrived: set[FileKey],
        skipped: set[FileKey],
        now: Mapping[FileKey, SourceFile | None],
    ) -> None:
        """Move the files of a round to where they belong; those that did not arrive stay open."""
        for key in self.tried & self.open.keys():
            if now[key] != self.open[key]:
                self.changed[key] = now[key]
                del self.open[key]
            elif key in skipped and key in arrived:
                self.unchanged[key] = self.open.pop(key)
            elif key in skipped:
                self.skipped.add(key)
                del self.open[key]
            elif key in sent or key in arrived:
                self.sent[key] = self.open.pop(key)

    def reopen_changed(self) -> None:
        """Try those that changed once more, as they are now; what vanished stays as it is."""
        for key, file in list(self.changed.items()):
            if file is not None:
                self.open[key] = file
                del self.changed[key]

    def count_sent(self) -> tuple[int, int]:
        return sum(file.size for file in self.sent.values()), len(self.sent)

    @property
    def problems(self) -> tuple[Problem, ...]:
        found = [_make_changed_problem(path, now) for (_, path), now in self.changed.items()]
        for _, path in self.skipped:
            message = "Left alone: meanwhile the destination has a newer one."
            found.append(Problem(path, CONFLICT, message, "`--overwrite` sends it after all."))
        for key in self.open:
            complaint, error = self._complaints.get(key, ("", None))
            if complaint or (error is not None and self.error is None):
                message = complaint or (error.message if error else "")
                kind, hint = (error.kind, error.hint) if error else ("failed", "")
                found.append(Problem(key[1], kind, message, hint))
        return tuple(found)

    def make_result(self) -> TransferResult:
        outcomes: dict[FileKey, Outcome] = dict.fromkeys(self.sent, Outcome.SENT)
        outcomes.update(dict.fromkeys(self.unchanged, Outcome.UNCHANGED))
        outcomes.update(dict.fromkeys(self.changed, Outcome.UNSETTLED))
        outcomes.update(dict.fromkeys(self.skipped, Outcome.SKIPPED))
        if not self.is_interrupted:
            outcomes.update(dict.fromkeys(self.open, Outcome.FAILED))
        proven = {**self.sent, **self.unchanged}
        return TransferResult(outcomes, proven, self.problems, self.error, self.is_interrupted, self.streams)


def _complaint_of(answer: BatchEnd, file: SourceFile) -> str:
    return (answer.complaints or {}).get(file.path, "")


def _make_changed_problem(path: str, now: SourceFile | None) -> Problem:
    if now is None:
        message, kind = "The file vanished from the source while it was sent.", "vanished"
        return Problem(path, kind, message, "Run the same command again.")
    message = "The file changed at the source while it was sent."
    return Problem(path, "unsettled", message, "Run the same command again once it rests.")
