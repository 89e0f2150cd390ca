"""The state of every file while a transfer runs, and the result that is made of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hsm.errors import HsmError, PassingError, UnreachableError
from hsm.model import CONFLICT, FileKey, Problem, SourceFile
from hsm.transfer.base import BatchEnd
from hsm.transfer.outcome import Outcome, Streams, TransferResult
from hsm.transfer.workers import RoundEnd


class TransferState:
    """The files of one transfer, each in exactly one of the groups `open`, `changed`, or one of the settled ones.

    Args:
        files: All that are to be sent.

    Attributes:
        open: Files that are still to be sent.
        sent: Files whose arrival is verified.
        changed: Files that changed at the source while they were sent, as they are now; None for one that vanished.
        error: The error that ended the last round early; None otherwise.
        streams: That carry the files; None before the first round.
        is_interrupted: The user stopped it.
        was_broken: The connection broke before the last round began.
    """

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self.open: dict[FileKey, SourceFile] = {file.key: file for file in files}
        self.sent: dict[FileKey, SourceFile] = {}
        self.changed: dict[FileKey, SourceFile | None] = {}
        self.error: HsmError | None = None
        self.streams: Streams | None = None
        self.is_interrupted = False
        self.was_broken = False
        self._unchanged: dict[FileKey, SourceFile] = {}
        self._skipped: set[FileKey] = set()
        self._strangers: dict[FileKey, str] = {}
        self._tried: set[FileKey] = set()
        self._complaints: dict[FileKey, tuple[str, HsmError | None]] = {}

    @property
    def is_broken(self) -> bool:
        """The connection broke in the last round: the open files may be tried again."""
        return isinstance(self.error, PassingError) and bool(self.open)

    @property
    def n_sent_bytes(self) -> int:
        """The sum of the sizes of the files that are sent."""
        return sum(file.size for file in self.sent.values())

    def begin_round(self, end: RoundEnd) -> None:
        """Take the end of a round, before its files are verified."""
        self.was_broken = self.was_broken or isinstance(self.error, UnreachableError)
        self.error = end.error
        self._tried = {(batch.root, file.path) for batch in end.tried for file in batch.files}
        for batch, answer in end.ends:
            for file in batch.files:
                self._complaints[batch.root, file.path] = (_get_complaint(answer, file), answer.error)

    def list_tried(self) -> list[SourceFile]:
        """List the open files that the last round has tried."""
        return [file for key, file in self.open.items() if key in self._tried]

    def sort(
        self,
        *,
        arrived: Collection[FileKey],
        skipped: Collection[FileKey],
        now: Mapping[FileKey, SourceFile | None],
    ) -> None:
        """Settle the files of a round; those that did not arrive stay open.

        Args:
            arrived: Files that are at the destination as planned.
            skipped: Files that the engine was offered and did not send.
            now: Every tried file as it is at the source.
        """
        for key in self._tried & self.open.keys():
            if now[key] != self.open[key]:
                self.changed[key] = now[key]
                del self.open[key]
            elif key in skipped and key in arrived:
                self._unchanged[key] = self.open.pop(key)
            elif key in skipped:
                self._skipped.add(key)
                del self.open[key]
            elif key in arrived:
                self.sent[key] = self.open.pop(key)

    def leave(self, strangers: Mapping[FileKey, str]) -> None:
        """Leave files whose names at the destination somebody else has taken since the check, each with the reason."""
        for key, reason in strangers.items():
            self.open.pop(key, None)
            self.sent.pop(key, None)
            self.changed.pop(key, None)
            self._unchanged.pop(key, None)
            self._skipped.discard(key)
            self._strangers[key] = reason

    def reopen_changed(self) -> None:
        """Open changed files once more, as they are now; a file that vanished stays as it is."""
        for key, file in list(self.changed.items()):
            if file is not None:
                self.open[key] = file
                del self.changed[key]

    def list_problems(self) -> tuple[Problem, ...]:
        """Make a problem for each file that is not sent, where there is something to say of it."""
        found = [_make_changed_problem(path, now) for (_, path), now in self.changed.items()]
        for _, path in self._skipped:
            message = "Left alone: meanwhile the destination has a newer one."
            found.append(Problem(path, CONFLICT, message, "`--overwrite` sends it after all."))
        for (_, path), reason in self._strangers.items():
            found.append(Problem(path, CONFLICT, reason, "Look at both, then run the same command again."))
        for key in self.open:
            complaint, error = self._complaints.get(key, ("", None))
            if complaint or (error is not None and self.error is None):
                message = complaint or (error.message if error else "")
                kind, hint = (error.kind, error.hint) if error else ("failed", "")
                found.append(Problem(key[1], kind, message, hint))
        return tuple(found)

    def make_result(self) -> TransferResult:
        """Make the result of the transfer; files that an interrupt left open have no outcome."""
        outcomes: dict[FileKey, Outcome] = dict.fromkeys(self.sent, Outcome.SENT)
        outcomes.update(dict.fromkeys(self._unchanged, Outcome.UNCHANGED))
        outcomes.update(dict.fromkeys(self.changed, Outcome.UNSETTLED))
        outcomes.update(dict.fromkeys((*self._skipped, *self._strangers), Outcome.SKIPPED))
        if not self.is_interrupted:
            outcomes.update(dict.fromkeys(self.open, Outcome.FAILED))
        proven = {**self.sent, **self._unchanged}
        problems = self.list_problems()
        return TransferResult(
            outcomes,
            proven,
            problems,
            self.error,
            self.is_interrupted,
            self.streams,
            dict(self.changed),
            frozenset(self._strangers),
        )


def _get_complaint(answer: BatchEnd, file: SourceFile) -> str:
    return (answer.complaints or {}).get(file.path, "")


def _make_changed_problem(path: str, now: SourceFile | None) -> Problem:
    if now is None:
        message, kind = "The file vanished from the source while it was sent.", "vanished"
        return Problem(path, kind, message, "Run the same command again.")
    message = "The file changed at the source while it was sent."
    return Problem(path, "unsettled", message, "Run the same command again once it rests.")
