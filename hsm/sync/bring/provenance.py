"""The provenance of files that were pulled: whose each file here is.

A sweep that ran on two clusters is pulled from both into one folder. What differs at one path is then a conflict,
whichever is newer; what this target brought itself and what grew there since is an update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from hsm.endpoint import Endpoint, Tree
from hsm.errors import TargetError
from hsm.model import EntryKind, FileKey, PlanItem, Reason, Root, SourceFile, SweepInventory, SyncPlan
from hsm.plan.destination import Destination
from hsm.plan.digest import make_digest
from hsm.plan.planner import is_same_time
from hsm.project_folder import ProjectFolder
from hsm.records.origins import Mark, Origins, iter_origins, save_origins
from hsm.records.receipt import get_receipt_name, parse_receipt
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import receipt_folder
from hsm.sync.bring.books import Books
from hsm.sync.bring.found_origins import FoundOrigins

# Content is compared only where a conflict may be none: metadata and small tables that two clusters wrote alike. Both
# ends read them whole, over the network.
_MOST_COMPARED_BYTES = 1024 * 1024
_MOST_COMPARED_FILES = 500


class Provenance:
    """The files of one sweep here that came from one target.

    Args:
        books: Of the target.
        sweep: The sweep's id.
        source: The target's end.
        sweeps: The folder of sweeps here.
    """

    def __init__(self, books: Books, sweep: str, *, source: Endpoint, sweeps: str) -> None:
        self._books = books
        self._sweep = sweep
        self._source = source
        self._receipt_path = f"{sweeps}/{receipt_folder(sweep)}/{get_receipt_name(books.source.id)}"
        self._origins_path = ProjectFolder(books.project).origins(books.target, sweep)
        self._files: dict[FileKey, Mark | None] | None = None
        self._before: Mapping[FileKey, Mark] = {}
        self._roots: Mapping[Root, str] = {}

    def find(self, inventory: SweepInventory, destination: Destination, *, proven: Mapping[str, str]) -> FoundOrigins:
        """Find whose the files here are that differ from the source's: this target's, another one's or nobody's.

        Files of the same size and time need no question; without others nothing is read.

        Args:
            inventory: What the source has.
            destination: What is here.
            proven: By run: a digest of what the journal says was verified here.
        """
        self._roots = {root: there.path for root, there in destination.items()}
        self._before = _read_marks(inventory.files, destination)
        differing = [file for file in inventory.files if self._differs(file)]
        if not differing:
            return FoundOrigins()
        own = self._load()
        own_runs = self._find_own_runs(inventory, {file.run for file in differing}, proven)
        others = self._load_others()
        foreign: dict[FileKey, str] = {}
        for file in differing:
            key = file.key
            mark = self._before[key]
            # The other target's mark says how the file lay here when it came: if it lies so still, it is that one's.
            claimed = next((name for name, files in others.items() if files.get(key) == mark), "")
            is_own = file.run in own_runs or (key in own and own[key] in (mark, None))
            if claimed:
                foreign[key] = f"it came from {claimed}, and differs"
            elif not is_own:
                foreign[key] = f"what is here did not come from {self._books.target}, and differs"
        equal = self._find_equal([file for file in differing if file.key in foreign])
        return FoundOrigins({key: words for key, words in foreign.items() if key not in equal}, equal)

    def begin(self, plan: SyncPlan) -> None:
        """Note what is about to come, so that a pull that is killed knows its own files again.

        Raises:
            TargetError: It could not be written down.
        """
        self._save_origins({**self._load(), **{file.key: None for file in plan.sends}})

    def note_arrived(self, plan: SyncPlan, sent: Mapping[FileKey, SourceFile]) -> None:
        """Note how everything that is this target's lies here, also what changed on its way.

        Raises:
            TargetError: It could not be written down.
        """
        sends = [item for item in plan.items if item.reason.is_send]
        after = self._look(item.file for item in sends)
        known = self._load()
        marks = {key: self._before[key] for key in _iter_keys(plan.items, Reason.SAME) if key in self._before}
        gone: set[FileKey] = set()
        for item in sends:
            key = item.file.key
            is_as_before = (
                item.reason is Reason.OVERWRITE and key not in sent and after.get(key) == self._before.get(key)
            )
            if key not in after or is_as_before:
                gone.add(key)
            else:
                marks[key] = after[key]
        files = {key: mark for key, mark in known.items() if key not in gone}
        if {**files, **marks} != known:
            self._save_origins({**files, **marks})

    def _differs(self, file: SourceFile) -> bool:
        mark = self._before.get(file.key)
        return mark is not None and not (file.size == mark[0] and is_same_time(file.mtime_ns, mark[1]))

    def _load(self) -> dict[FileKey, Mark | None]:
        """Load what came from this target, also under another name of it."""
        if self._files is None:
            self._files = {}
            for _, found in iter_origins(self._books.project, self._sweep):
                if found.route == self._books.route:
                    self._files.update(found.files)
        return self._files

    def _load_others(self) -> dict[str, Mapping[FileKey, Mark | None]]:
        """Load what came from other targets, by their names."""
        every = iter_origins(self._books.project, self._sweep)
        return {name: found.files for name, found in every if found.route != self._books.route}

    def _find_own_runs(self, inventory: SweepInventory, names: Iterable[str], journal: Mapping[str, str]) -> set[str]:
        """The runs that lie here just as the journal, or a receipt of this source, says they were proven.

        So what the source pushed here is known as its own.
        """
        proven = [journal]
        try:
            receipt = parse_receipt(LocalEndpoint().read_file(self._receipt_path))
            proven.append({name: record.digest for name, record in receipt.runs.items()})
        except (FileNotFoundError, ValueError):
            pass
        members: dict[str, list[SourceFile]] = {name: [] for name in names}
        for file in inventory.files:
            mark = self._before.get(file.key)
            if mark is not None and file.run in members:
                members[file.run].append(file._replace(size=mark[0], mtime_ns=mark[1]))
        return {
            name
            for name, files in members.items()
            if any(digests.get(name) == make_digest(files) for digests in proven)
        }

    def _find_equal(self, files: Sequence[SourceFile]) -> frozenset[FileKey]:
        """Find the files with the same content here and there; only small ones are looked into."""
        small = [
            file for file in files if file.size <= _MOST_COMPARED_BYTES and self._before[file.key][0] == file.size
        ][:_MOST_COMPARED_FILES]
        if not small:
            return frozenset()
        there = _read_whole(self._source, [f"{file.prefix}/{file.path}" for file in small])
        here = _read_whole(LocalEndpoint(), [f"{self._roots[file.root]}/{file.path}" for file in small])
        return frozenset(
            file.key
            for file in small
            if f"{file.prefix}/{file.path}" in there
            and there[f"{file.prefix}/{file.path}"] == here.get(f"{self._roots[file.root]}/{file.path}")
        )

    def _look(self, files: Iterable[SourceFile]) -> dict[FileKey, Mark]:
        by_root = {
            root: tuple(file.path for file in members)
            for root, members in groupby(sorted(files), key=lambda file: file.root)
        }
        trees = [Tree(self._roots[root], names, max_depth=0) for root, names in by_root.items()]
        listings = LocalEndpoint().survey(trees).listings if trees else ()
        return {
            (root, entry.path): (entry.size, entry.mtime_ns)
            for root, listing in zip(by_root, listings, strict=True)
            for entry in listing.entries
            if entry.kind is EntryKind.FILE
        }

    def _save_origins(self, files: dict[FileKey, Mark | None]) -> None:
        self._files = files
        try:
            save_origins(self._origins_path, Origins(self._books.route, files))
        except OSError as error:
            raise TargetError(
                f"{self._origins_path} cannot be written: {error.strerror}.",
                hint="Check the free space and the permissions of .hsm/ here.",
                kind="journal_unwritable",
            ) from error


def _read_marks(files: Iterable[SourceFile], destination: Destination) -> dict[FileKey, Mark]:
    """Size and time of the files here that have the names of the source's."""
    marks: dict[FileKey, Mark] = {}
    for file in files:
        there = destination.get(file.root)
        entry = there.entries.get(file.path) if there is not None else None
        if entry is not None and entry.kind is EntryKind.FILE:
            marks[file.key] = (entry.size, entry.mtime_ns)
    return marks


def _read_whole(endpoint: Endpoint, paths: Sequence[str]) -> dict[str, bytes]:
    found = endpoint.read_ends(paths, n_blocks=0, head_bytes=_MOST_COMPARED_BYTES + 1)
    return {ends.path: ends.head for ends in found if ends.size == len(ends.head)}


def _iter_keys(items: Iterable[PlanItem], reason: Reason) -> Iterable[FileKey]:
    return (item.file.key for item in items if item.reason is reason)
