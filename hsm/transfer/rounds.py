"""A transfer to one destination: rounds of workers, each followed by a proof, until all is settled or hopeless."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from hsm.endpoint import Endpoint
from hsm.errors import HsmError, NoInodesError, NoSpaceError
from hsm.model import Root, SourceFile
from hsm.process.runner import CommandStoppedError
from hsm.progress import Reporter
from hsm.remote.guard import Replaced
from hsm.transfer.base import Engine, Replacing
from hsm.transfer.batches import choose_streams, make_batches
from hsm.transfer.destination.watch import STRANGER, DestinationWatch
from hsm.transfer.outcome import Patience, Streams, TransferResult
from hsm.transfer.proof import Arrivals, measure_lack, read_claims, refresh
from hsm.transfer.state import TransferState
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
        patience: With files and links that may still recover.
        watch: Over the destination: its lock, and what may be replaced there; None where nothing can be lost.
        arrivals: Tells what has arrived; by default of disks of which nothing is known.
        leaves_look: The look at what was replaced may be left to the guard, by `replaced`: it saves a round trip
            (60 ms of 840 at 40 ms). Else `run` takes it.
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
        watch: DestinationWatch | None = None,
        arrivals: Arrivals | None = None,
        leaves_look: bool = False,
    ) -> None:
        self._engine = engine
        self._source = source
        self._destination = destination
        self._roots = roots
        self._reporter = reporter
        self._target = target
        self._sleep = sleep
        self._patience = patience or Patience()
        self._watch = watch or DestinationWatch(destination, roots, "")
        self._arrivals = arrivals or Arrivals(destination, roots)
        self._leaves_look = leaves_look
        self._state = TransferState(())

    def run(self, files: Sequence[SourceFile], *, n_workers: int) -> TransferResult:
        """Send files and prove what arrived.

        A file that changed meanwhile is sent again in further passes; after a broken connection the rest is sent
        over a new one. Never raises for a failure of one file or of the destination. After an interrupt it ends soon,
        and its answer still holds what is verified.

        Args:
            files: Sorted by root, as a plan's `sends` are.
            n_workers: Wanted; the engine and the other end may allow fewer.
        """
        self._state = state = TransferState(files)
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
        progress.tell(state.list_problems())
        return state.make_result()

    def _run_rounds(self, state: TransferState, n_workers: int, progress: Progress) -> None:
        pauses = list(self._patience.settle_seconds)
        n_fruitless = 0
        n_files = len(state.open)
        while state.open:
            n_before = len(state.sent)
            can = self._engine.capabilities
            state.leave(self._watch.look_before(list(state.open.values()), can))
            self._watch.forget_look()
            end = self._run_round(state, n_workers, progress)
            state.begin_round(end)
            tried = state.list_tried()
            state.leave({(batch.root, path): STRANGER for batch, answer in end.ends for path in answer.strangers})
            has_torn = self._prove(state, end)  # after an interrupt too: what arrived counts
            is_all = self._leaves_look and len(state.sent) == len(tried) == n_files
            if can.replacing is Replacing.KEEPS and not (is_all and self._watch.leave_look(tried)):
                state.leave(self._watch.look_after(tried))
            self._watch.seen.note_sent(tried)  # not before: nothing of ours was there to be replaced
            progress.settle(state.n_sent_bytes, len(state.sent))
            n_workers = end.n_workers
            if end.is_interrupted:
                raise CommandStoppedError
            n_fruitless = n_fruitless + 1 if len(state.sent) == n_before else 0
            if not all(answer.is_clean for _, answer in end.ends) or state.error is not None:
                self._watch.check(at_once=True)
            if (state.is_broken or has_torn) and n_fruitless < self._patience.n_fruitless_rounds:
                self._watch.tidy()  # without its temporary file an old rsync has nothing to rename
                continue
            if state.error is not None or not state.changed or not pauses:
                return
            self._sleep(pauses.pop(0))
            state.reopen_changed()

    def _run_round(self, state: TransferState, n_workers: int, progress: Progress) -> RoundEnd:
        batches = make_batches(
            sorted(state.open.values()),
            n_streams=self._choose_streams(state, n_workers),
            max_name_bytes=self._engine.capabilities.max_name_bytes,
            seen=self._watch.seen,
            mounts=self._watch.mounts,
        )
        return run_round(self._engine, batches, n_workers=n_workers, progress=progress, check=self._watch.check)

    @property
    def replaced(self) -> Replaced:
        """Knowledge about the files that were replaced."""
        return self._watch.replaced

    def look_at_replaced(self) -> TransferResult:
        """Look, after `run`, at all that was replaced, and make its result anew.

        Raises:
            HsmError: The destination is out of reach.
        """
        state = self._state
        files = [*state.open.values(), *state.sent.values(), *(file for file in state.changed.values() if file)]
        if files:
            state.leave(self._watch.look_after(files, always=True))
        return state.make_result()

    def _choose_streams(self, state: TransferState, n_workers: int) -> int:
        """Choose as many as the link repays, and at least one for each folder that files land in."""
        files = state.open.values()
        n_bytes = sum(file.size for file in files)
        can = self._engine.capabilities
        trip = can.round_trip_seconds
        n_streams = choose_streams(n_bytes, n_workers=n_workers, round_trip_seconds=trip)
        n_streams = min(n_workers, max(n_streams, len({file.root for file in files})))
        state.streams = state.streams or Streams(can.name, n_streams, trip, can.compression)
        return n_streams

    def _prove(self, state: TransferState, end: RoundEnd) -> bool:
        """Settle the files of a round by a fresh look at both ends: once for all files, which keeps it cheap.

        Returns:
            Whether a file that the engine claims to have sent is not at the destination.
        """
        claims = read_claims(end)
        # Once a connection broke, a clean exit is not believed either: an rsync that still runs at the other end, and
        # has not noticed, may put its own part in the place of a file that the next one continued.
        believed = frozenset() if state.was_broken else claims.sent
        tried = state.list_tried()
        doubtful = [file for file in tried if file.key not in believed]
        # Once a round, not once a file: cheap, and the same for every engine. Exit code 0 proves no consistent source:
        # a file that is rewritten meanwhile arrives torn, one that grows is cut.
        now = refresh(self._source, tried)
        try:
            seen = self._arrivals.find(doubtful, self._engine, skipped=claims.skipped) if doubtful else set()
        except (HsmError, CommandStoppedError):
            state.sort(arrived=believed, skipped=frozenset(), now=now)
            raise
        state.sort(arrived=believed | seen, skipped=claims.skipped, now=now)
        torn = claims.sent - believed - seen
        return not torn.isdisjoint(state.open)

    def _tell_lack(self, state: TransferState) -> None:
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
