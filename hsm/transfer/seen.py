"""Files at a destination as a transfer knows them: as the check saw them, and as it has sent them since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hsm.model import Entry, EntryKind, FileKey, SourceFile

_SECOND_NS = 10**9


@dataclass(slots=True)
class SeenFiles:
    """Knowledge of what a transfer may replace. A file that is none of it is somebody else's, and stays.

    Attributes:
        there: The files that the check saw, of those that are to be sent.
        is_checked: There was a check; without one everything that is not newer than the source's file is expected.
        step_ns: To what the destination, or the way there, cuts or rounds the time of a file that is sent.
    """

    there: Mapping[FileKey, Entry] = field(default_factory=dict)
    is_checked: bool = True
    step_ns: int = 1
    _sent: dict[FileKey, list[SourceFile]] = field(default_factory=dict)

    def note_sent(self, files: Iterable[SourceFile]) -> None:
        """Note versions of files that were offered: they may have arrived, whatever was said of them."""
        for file in files:
            self._sent.setdefault(file.key, []).append(file)

    def may_replace(self, file: SourceFile, size: int, mtime_ns: int) -> bool:
        """Tell whether a file at the destination is one that `file` may replace.

        Args:
            file: To be sent.
            size: Of what is there, bytes.
            mtime_ns: Of what is there; at the step of whoever looked.
        """
        sent = self._sent.get(file.key, ())
        # Of the file itself only what is the same to the last digit: it may have been sent twice in one go.
        if (size, mtime_ns) == (file.size, file.mtime_ns) or self._is_version([*sent], file, size, mtime_ns):
            return True
        if not self.is_checked:
            return mtime_ns <= file.mtime_ns
        seen = self.there.get(file.key)
        return seen is not None and size == seen.size and _is_same(mtime_ns, seen.mtime_ns)

    def is_own(self, file: SourceFile, entry: Entry) -> bool:
        """Tell whether what is at the destination is a version of `file` that this transfer has sent."""
        sent = [*self._sent.get(file.key, ()), file]
        return entry.kind is EntryKind.FILE and self._is_version(sent, file, entry.size, entry.mtime_ns)

    def _is_version(self, sent: Sequence[SourceFile], file: SourceFile, size: int, mtime_ns: int) -> bool:
        if any(size == each.size and abs(mtime_ns - each.mtime_ns) < self.step_ns for each in sent):
            return True
        # A log that grows all the while came as it was at some moment between two looks at the source.
        pairs = list(pairwise([*sent, file]))
        if any(
            first.size <= size <= then.size and first.mtime_ns - self.step_ns < mtime_ns < then.mtime_ns + self.step_ns
            for first, then in pairs
        ):
            return True
        # A file that was cut meanwhile comes shorter, with the time that rsync had listed before.
        return any(
            then.size <= size <= first.size and abs(mtime_ns - first.mtime_ns) < self.step_ns for first, then in pairs
        )


def _is_same(one_ns: int, other_ns: int) -> bool:
    """Compare two looks at one file, of which one may show whole seconds alone (SFTP version 3, BSD's stat)."""
    if one_ns % _SECOND_NS and other_ns % _SECOND_NS:
        return one_ns == other_ns
    return one_ns // _SECOND_NS == other_ns // _SECOND_NS
