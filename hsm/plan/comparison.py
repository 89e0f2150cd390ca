"""Comparison of the source's files with one root of the destination: what is equal, and what is in their way. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.model import (
    CONFLICT,
    TYPE_CONFLICT,
    Entry,
    EntryKind,
    FileKey,
    PlanItem,
    Problem,
    Reason,
    SourceFile,
)
from hsm.plan.destination import DestinationRoot
from hsm.plan.digest import make_digest
from hsm.plan.disk.collisions import find_collisions, make_collision_problems
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.disk.names import find_refused, make_refused_problems
from hsm.plan.disk.times import TimeMatch, is_near_time, match_times

_UNMEASURED = FileSystem()


@dataclass(frozen=True, slots=True)
class Known:
    """Knowledge that a comparison rests on, beside the two listings.

    Attributes:
        is_checked: Compare with what is there; otherwise every file is offered.
        overwrite: Send what is newer at the destination after all.
        proven: By run, the digest of what was proven at the destination before (`hsm.plan.digest`).
        foreign: Files at the destination that did not come from this source, each with its owner in words.
        equal: Files whose content there is known to be the source's.
        different: Files whose content there is known to be another.
    """

    is_checked: bool = True
    overwrite: bool = False
    proven: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[FileKey, str] = field(default_factory=dict)
    equal: Collection[FileKey] = frozenset()
    different: Collection[FileKey] = frozenset()


class RootComparison:
    """Comparison of files with one root of the destination. A file of which nothing is known counts as different.

    Args:
        there: What is in the root.
        file_system: Of the root; None where it has not been measured.
        known: What else is known.

    Attributes:
        problems: What is in the way of files, once it is known.
        doubts: The files that only their content can tell, as far as they are in neither set of `known`.
        asks_file_system: Measuring the file system may lead to another answer.
    """

    def __init__(self, there: DestinationRoot, file_system: FileSystem | None, known: Known) -> None:
        self._entries = there.entries
        self._measured = file_system
        self._known = known
        self._obstacles: dict[str, str | None] = {"": None}  # by folder, so that each is looked up and told once
        self._vague: dict[str, TimeMatch] = {}  # files that are the same only as far as times tell
        self._unreadable = {problem.path for problem in there.problems}
        self.problems: list[Problem] = list(there.problems)
        self.doubts: list[SourceFile] = []
        self.asks_file_system = False

    @property
    def _file_system(self) -> FileSystem:
        return self._measured or _UNMEASURED

    def find_bad_names(self, files: Sequence[SourceFile]) -> dict[str, PlanItem]:
        """Find the files that cannot have their names there, by path: refused ones, and those that collide."""
        paths = [file.path for file in files]
        refused = find_refused(paths, self._file_system)
        collisions = find_collisions(paths, self._entries, self._file_system)
        self.problems += make_refused_problems(refused)
        self.problems += make_collision_problems(collisions)
        found: dict[str, PlanItem] = {}
        for file in files:
            if file.path in refused:
                detail = f"the destination cannot have a name with {refused[file.path][1]}"
                found[file.path] = PlanItem(file, Reason.CONFLICT, detail)
            elif file.path in collisions:
                detail = f"its name is the same there as that of {collisions[file.path].other}"
                found[file.path] = PlanItem(file, Reason.CONFLICT, detail)
        return found

    def compare(self, file: SourceFile) -> PlanItem:
        """Decide about a file."""
        entry = self._find_entry(file.path)
        obstacle = self._find_obstacle(file.path.rpartition("/")[0])
        if obstacle is not None:
            return PlanItem(file, Reason.CONFLICT, f"{obstacle} is in the way")
        if entry is not None and entry.kind is not EntryKind.FILE:
            self._add_type_problem(file.path, entry.kind, "a file")
            return PlanItem(file, Reason.CONFLICT, f"{_describe(entry.kind)} there")
        # rsync's own --update compares then, which knows nothing of whose a file there is.
        if not self._known.is_checked and file.key not in self._known.foreign:
            return PlanItem(file, Reason.UNCHECKED)
        if entry is None:
            return PlanItem(file, Reason.NEW)
        # rsync itself compares whole seconds, and misses a file that was rewritten within one at the same size.
        match = match_times(file.mtime_ns, entry.mtime_ns, self._measured)
        self.asks_file_system = self.asks_file_system or match is TimeMatch.UNKNOWN
        return self._compare_content(file, entry, match)

    def judge_left(self, item: PlanItem) -> PlanItem:
        """Tell a file that is left out from one that an earlier sync brought and that is there as it is here."""
        entry = self._find_entry(item.file.path)
        is_left = item.reason in (Reason.CONFLICT, Reason.NO_RESULT, Reason.UNFINISHED)
        if is_left or entry is None or entry.kind is not EntryKind.FILE or not self._known.is_checked:
            return item
        match = match_times(item.file.mtime_ns, entry.mtime_ns, self._measured)
        is_same = entry.size == item.file.size and match in (TimeMatch.SAME, TimeMatch.CUT)
        return PlanItem(item.file, Reason.THERE, item.detail) if is_same else item

    def doubt_vague_times(self, items: list[PlanItem], run_name: str) -> list[PlanItem]:
        """Doubt what only seems the same because of what is kept of times there, if the run may have changed.

        A source time other than the verified one is a change, however the destination shows it.
        """
        vague = {item.file.path for item in items if item.reason is Reason.SAME and item.file.path in self._vague}
        if not vague:
            return items
        proven = self._known.proven.get(run_name)
        counting = [item.file for item in items if item.reason is Reason.SAME or item.reason.is_send]
        if proven is not None and make_digest(counting) == proven:
            return items
        if proven is None:  # nobody has verified it; what the disk keeps of times agrees
            vague = {path for path in vague if self._vague[path] is not TimeMatch.CUT}
        detail = "the run has changed, and the time there does not tell what of it"
        return [self._doubt(item, detail) if item.file.path in vague else item for item in items]

    def _doubt(self, item: PlanItem, detail: str) -> PlanItem:
        if item.file.key in self._known.equal:
            return item
        self._ask_content(item.file)
        return PlanItem(item.file, Reason.TIME, detail)

    def _ask_content(self, file: SourceFile) -> None:
        if file.key not in self._known.different:
            self.doubts.append(file)

    def _compare_content(self, file: SourceFile, entry: Entry, match: TimeMatch) -> PlanItem:
        is_alike = file.size == entry.size
        if is_alike and match not in (TimeMatch.SHIFTED, TimeMatch.OTHER):
            if match is not TimeMatch.SAME:
                self._vague[file.path] = match
            return PlanItem(file, Reason.SAME)
        if file.key in self._known.equal:
            return PlanItem(file, Reason.SAME, "the same content, with another time")
        conflict = self._find_conflict(file, entry, match)
        # A disk that the files came over, or a restored backup, may have kept less of their times than this one does.
        is_near = match is TimeMatch.SHIFTED or is_near_time(file.mtime_ns, entry.mtime_ns)
        if is_alike and (is_near or (conflict and not self._known.overwrite)):
            self._ask_content(file)
        if conflict and not self._known.overwrite:
            hint = "Look at both; `--overwrite` sends this one after all."
            self.problems.append(Problem(file.path, CONFLICT, f"Kept as it is: {conflict}.", hint))
            return PlanItem(file, Reason.CONFLICT, conflict)
        if conflict:
            return PlanItem(file, Reason.OVERWRITE, conflict)
        return PlanItem(file, Reason.TIME if is_alike else Reason.SIZE)

    def _find_conflict(self, file: SourceFile, entry: Entry, match: TimeMatch) -> str:
        """Find why a file there must not be replaced; empty where it may be."""
        foreign = self._known.foreign.get(file.key, "")
        if foreign:
            return foreign
        # wandb only ever appends to a log, so a longer one there has rows that are missing here.
        if file.path.endswith(".wandb") and file.size < entry.size:
            return f"the log there is longer ({entry.size} bytes, here {file.size})"
        is_limit = entry.mtime_ns in (self._file_system.earliest_ns, self._file_system.latest_ns)
        is_no_news = match in (TimeMatch.SAME, TimeMatch.CUT) or (match is TimeMatch.LOST and is_limit)
        return "newer at the destination" if entry.mtime_ns > file.mtime_ns and not is_no_news else ""

    def _find_entry(self, path: str) -> Entry | None:
        return self._entries.get(self._file_system.spell(path))

    def _find_obstacle(self, folder: str) -> str | None:
        """Find the nearest parent that is no folder there, or cannot be read; each is told once."""
        if folder not in self._obstacles:
            above = self._find_obstacle(folder.rpartition("/")[0])
            entry = self._find_entry(folder)
            if above is None and self._file_system.spell(folder) in self._unreadable:
                above = folder
            if above is None and entry is not None and entry.kind is not EntryKind.FOLDER:
                self._add_type_problem(folder, entry.kind, "a folder")
                above = folder
            self._obstacles[folder] = above
        return self._obstacles[folder]

    def _add_type_problem(self, path: str, kind: EntryKind, expected: str) -> None:
        message = f"There is {_describe(kind)} at the destination where the source has {expected}."
        hint = "Nothing is replaced. Move it away there, then run the same command again."
        self.problems.append(Problem(path, TYPE_CONFLICT, message, hint))


def _describe(kind: EntryKind) -> str:
    names = {
        EntryKind.FILE: "a file",
        EntryKind.FOLDER: "a folder",
        EntryKind.SYMLINK: "a symlink",
        EntryKind.OTHER: "a device, socket or pipe",
    }
    return names[kind]
