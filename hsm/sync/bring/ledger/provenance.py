"""The provenance of files that were pulled: whose each file here is.

A sweep that ran on two clusters is pulled from both into one folder. What differs at one path is then a conflict,
whichever is newer; what this target brought itself and what grew there since is an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from hsm.endpoint import Endpoint, Tree
from hsm.errors import TargetError
from hsm.model import EntryKind, FileKey, PlanItem, Reason, Root, SourceFile, SweepInventory, SyncPlan
from hsm.plan.destination import Destination
from hsm.plan.digest import make_digest
from hsm.plan.disk.file_system import SECOND_NS
from hsm.project_folder import ProjectFolder
from hsm.records.origins import Mark, Origins, has_set_time, is_alike, iter_origins, save_origins
from hsm.records.receipt import Sender
from hsm.records.receipt_files import iter_receipts
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import receipt_folder
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.ledger.found_origins import FoundOrigins
from hsm.targets.contents.comparison import ContentComparison

# Of the times that a file system keeps: exFAT's.
_COARSEST_STEP_NS = 2 * SECOND_NS


class Provenance:
    """The files of one sweep here that came from one target.

    Args:
        books: Of the target.
        sweep: The sweep's id.
        source: The target's end.
        sweeps: The folder of sweeps here.
        vouches: Tells whether a receipt here is of the target's project; may ask the target.
    """

    def __init__(
        self, books: Books, sweep: str, *, source: Endpoint, sweeps: str, vouches: Callable[[Sender], bool]
    ) -> None:
        self._books = books
        self._sweep = sweep
        self._source = source
        self._vouches = vouches
        self._receipts = Path(sweeps, receipt_folder(sweep))
        self._origins_path = ProjectFolder(books.project).origins(books.target, sweep)
        self._known: Origins | None = None
        self._before: Mapping[FileKey, Mark] = {}
        self._own: frozenset[FileKey] = frozenset()
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
        own_runs = self._find_own_runs(inventory, {file.run for file in differing}, proven)
        claims = self._find_claims(differing)
        foreign = {
            file.key: f"it came from {claims[file.key]}, and differs" for file in differing if file.key in claims
        }
        for file in differing:
            if file.key not in claims and file.run not in own_runs and not self._came(file.key):
                foreign[file.key] = f"what is here did not come from {self._books.target}, and differs"
        content = ContentComparison(self._source, self._roots, {key: mark[0] for key, mark in self._before.items()})
        equal = content.find_equal(file for file in differing if file.key in foreign)
        # What a pull that was killed had begun to bring may have grown there before it was read.
        begun = foreign.keys() & self._load().coming.keys() - claims.keys()
        for key in equal | content.find_begun(file for file in differing if file.key in begun):
            del foreign[key]
        self._own = frozenset(file.key for file in differing) - foreign.keys() - equal
        return FoundOrigins(foreign, equal)

    def begin(self, plan: SyncPlan) -> None:
        """Note what is about to come, so that a pull that is killed knows its own files again.

        Only their names would make everything this target's own that lies there after a kill, whoever wrote it.

        Raises:
            TargetError: It could not be written down.
        """
        known = self._load()
        coming = {file.key: (file.size, file.mtime_ns) for file in plan.sends}
        own = {key: self._before[key] for key in coming if key in self._own}
        self._save_origins({**known.files, **own}, {**known.coming, **coming})

    def note_arrived(
        self,
        plan: SyncPlan,
        sent: Mapping[FileKey, SourceFile],
        unsettled: Mapping[FileKey, SourceFile | None] = MappingProxyType({}),
    ) -> None:
        """Note how everything that is this target's lies here, also what changed on its way.

        Args:
            plan: What was planned.
            sent: What the transfer verified.
            unsettled: What changed at the source while it was sent, as it was there in the end.

        Raises:
            TargetError: It could not be written down.
        """
        after = self._look(plan.sends)
        known = self._load()
        files, coming = dict(known.files), dict(known.coming)
        for key in _iter_keys(plan.items, Reason.SAME):
            if key in self._before:
                files[key] = self._before[key]
                coming.pop(key, None)
        for file in plan.sends:
            mark = after.get(file.key)
            if mark is None:
                files.pop(file.key, None)
            elif self._has_come(file, mark, sent.get(file.key), unsettled.get(file.key)):
                files[file.key] = mark
                coming.pop(file.key, None)
        if (files, coming) != (known.files, known.coming):
            self._save_origins(files, coming)

    def _differs(self, file: SourceFile) -> bool:
        mark = self._before.get(file.key)
        # Also where a file system here has cut the time: the plan knows how it does, and compares before it asks whose.
        return mark is not None and mark != (file.size, file.mtime_ns)

    def _came(self, key: FileKey) -> bool:
        """Tell whether a file lies here just as this target's pulls brought it, or were about to."""
        known, mark = self._load(), self._before[key]
        coming = known.coming.get(key)
        return known.files.get(key) == mark or (coming is not None and is_alike(coming, mark))

    def _has_come(self, file: SourceFile, mark: Mark, sent: SourceFile | None, unsettled: SourceFile | None) -> bool:
        """Tell whether what lies here after a transfer is what it brought, and nothing that was written here since."""
        if sent is not None:
            as_sent = sent.size == mark[0]
            return as_sent and (sent.mtime_ns == mark[1] or has_set_time(self._get_path(file)))
        if mark == self._before.get(file.key):
            return False
        if is_alike((file.size, file.mtime_ns), mark):
            return True
        # What changed at the source meanwhile came as it was at some moment between plan and end.
        return (
            unsettled is not None
            and file.mtime_ns - _COARSEST_STEP_NS <= mark[1] <= unsettled.mtime_ns + _COARSEST_STEP_NS
            and has_set_time(self._get_path(file))
        )

    def _get_path(self, file: SourceFile) -> str:
        return f"{self._roots[file.root]}/{file.path}"

    def _load(self) -> Origins:
        """Load what came from this target, also under another name of it."""
        if self._known is None:
            mine = [found for _, found in iter_origins(self._books.project, self._sweep) if self._is_mine(found)]
            files = {key: mark for found in mine for key, mark in found.files.items()}
            coming = {key: mark for found in mine for key, mark in found.coming.items()}
            self._known = Origins(self._books.route, files, coming)
        return self._known

    def _is_mine(self, found: Origins) -> bool:
        return found.route == self._books.route

    def _find_claims(self, files: Iterable[SourceFile]) -> dict[FileKey, str]:
        """Find the files that lie here as another target's pulls brought them, with its name."""
        every = iter_origins(self._books.project, self._sweep)
        others = [(name, found.files) for name, found in every if not self._is_mine(found)]
        claims: dict[FileKey, str] = {}
        for file in files:
            for name, marks in others:
                if marks.get(file.key) == self._before[file.key]:
                    claims.setdefault(file.key, name)
        return claims

    def _find_own_runs(self, inventory: SweepInventory, names: Iterable[str], journal: Mapping[str, str]) -> set[str]:
        """The runs that lie here just as the journal, or a receipt of this source, says they were proven.

        So what the source pushed here is known as its own.
        """
        members: dict[str, list[SourceFile]] = {name: [] for name in names}
        for file in inventory.files:
            mark = self._before.get(file.key)
            if mark is not None and file.run in members:
                members[file.run].append(file._replace(size=mark[0], mtime_ns=mark[1]))
        digests = {name: make_digest(files) for name, files in members.items()}
        own = {name for name, digest in digests.items() if journal.get(name) == digest}
        for receipt in iter_receipts(self._receipts) if own != digests.keys() else ():
            named = {
                name for name, digest in digests.items() if name in receipt.runs and receipt.runs[name].digest == digest
            }
            if not named <= own and self._vouches(receipt.source):
                own |= named
        return own

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

    def _save_origins(self, files: Mapping[FileKey, Mark], coming: Mapping[FileKey, Mark | None]) -> None:
        self._known = Origins(self._books.route, files, coming)
        try:
            save_origins(self._origins_path, self._known)
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


def _iter_keys(items: Iterable[PlanItem], reason: Reason) -> Iterable[FileKey]:
    return (item.file.key for item in items if item.reason is reason)
