"""The check: one look at a destination, restricted to what a plan for one sweep can touch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hsm.discover.results import OWN_PREFIX, is_own
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.errors import TargetError
from hsm.model import EntryKind, Root, SweepInventory
from hsm.plan.destination import Destination, DestinationRoot, make_destination_root
from hsm.remote.shell_programs.guard import GuardPlaces
from hsm.sweep_folder import OUTPUTS, receipt_folder, sweep_folder
from hsm.sync.bring.early_survey import EarlySurvey
from hsm.transfer.base import PARTIAL_FOLDER, get_temporary_folder


@dataclass(frozen=True, slots=True)
class DestinationState:
    """What the check found.

    Attributes:
        destination: For the plan: the roots that are synced.
        receipts: The checksums of the sweep's receipts there, by file name.
        places: Where HSM's own things lie there.
        system: As `uname -s` says there.
        rsync: What `rsync --version` printed there.
    """

    destination: Destination
    receipts: Mapping[str, str]
    places: GuardPlaces
    system: str = ""
    rsync: str = ""

    @property
    def roots(self) -> dict[Root, str]:
        """The real paths of the destination's folders."""
        return {root: there.path for root, there in self.destination.items()}


def check_destination(
    endpoint: Endpoint,
    configured: Mapping[Root, str],
    inventory: SweepInventory,
    *,
    roots: tuple[Root, ...],
    max_depth: int | None,
    early: EarlySurvey | None = None,
) -> DestinationState:
    """Look at a destination, in one session where it is remote.

    Args:
        endpoint: The destination.
        configured: Its folders as configured.
        inventory: What may be sent.
        roots: Which of the folders are synced.
        max_depth: Levels of the sweep folder that count.
        early: A look at it that was begun before.

    Raises:
        TargetError: Something else stands where HSM keeps its lock and its receipts.
    """
    names = tuple(run.name for run in inventory.runs)
    guard_tree, trees, receipts = _make_trees(configured, inventory.sweep, names, roots=roots, max_depth=max_depth)
    ask = endpoint.survey if early is None else early.finish
    survey = ask([guard_tree, *trees.values()], receipts=receipts)
    guard_listing = survey.listings[0]
    listings = dict(zip(trees, survey.listings[1:], strict=True))
    _check_guard(guard_listing, endpoint.name)
    destination: dict[Root, DestinationRoot] = {}
    for root, listing in listings.items():
        there = make_destination_root([guard_listing, listing] if root is Root.SWEEPS else [listing])
        _check_parts(there, endpoint.name)
        destination[root] = _without_own(there)
    paths = dict.fromkeys(there.path for there in destination.values())
    places = GuardPlaces(
        folder=f"{guard_listing.base.rstrip('/')}/{receipt_folder(inventory.sweep)}",
        temporary=tuple(get_temporary_folder(path, inventory.sweep) for path in paths),
    )
    return DestinationState(destination, survey.receipts, places, survey.machine.system, survey.machine.rsync_version)


def begin_check(
    endpoint: Endpoint,
    configured: Mapping[Root, str],
    sweep: str,
    runs: Sequence[str],
    *,
    roots: tuple[Root, ...],
    max_depth: int | None,
    known: str = "",
    tell: Callable[[str], object] = str,
) -> EarlySurvey:
    """Begin the look that `check_destination` will want, in a thread; arguments as there.

    Args:
        endpoint: The destination.
        configured: Its folders as configured.
        sweep: The sweep's id.
        runs: The names of those that will probably be asked for.
        roots: Which of the folders are synced.
        max_depth: Levels of the sweep folder that count.
        known: The digest of the answer of an earlier sync, whose listings need not be read again.
        tell: As for `EarlySurvey`.
    """
    guard_tree, trees, receipts = _make_trees(configured, sweep, tuple(runs), roots=roots, max_depth=max_depth)
    return EarlySurvey(endpoint, [guard_tree, *trees.values()], receipts=receipts, known=known, tell=tell)


def _make_trees(
    configured: Mapping[Root, str],
    sweep: str,
    runs: tuple[str, ...],
    *,
    roots: tuple[Root, ...],
    max_depth: int | None,
) -> tuple[Tree, dict[Root, Tree], str]:
    """What to list for HSM's own files and for each root, and where receipts lie."""
    folder, own = sweep_folder(sweep), receipt_folder(sweep)
    trees: dict[Root, Tree] = {}
    if Root.SWEEPS in roots:
        trees[Root.SWEEPS] = Tree(configured[Root.SWEEPS], (folder,), max_depth)
    if Root.WANDB in roots:
        trees[Root.WANDB] = Tree(configured[Root.WANDB], runs)
    guard_tree = Tree(configured[Root.SWEEPS], (OUTPUTS, folder, own), 0)
    return guard_tree, trees, f"{configured[Root.SWEEPS].rstrip('/')}/{own}"


def _check_guard(listing: Listing, name: str) -> None:
    blocked = [entry.path for entry in listing.entries if entry.kind is not EntryKind.FOLDER]
    if blocked:
        raise TargetError(
            f"At {name}, {listing.base}/{blocked[0]} is no folder, so there is no place for lock and receipt.",
            hint="Only the folders in `paths` may be symlinks. Move it away there, or correct `paths`.",
            kind="type_conflict",
        )


def _check_parts(there: DestinationRoot, name: str) -> None:
    """Refuse a symlink where rsync keeps a part: 3.2.7 writes through it, into whatever has the file's name."""
    for path, entry in there.entries.items():
        if path.rpartition("/")[2] == PARTIAL_FOLDER and entry.kind is not EntryKind.FOLDER:
            raise TargetError(
                f"At {name}, {there.path}/{path} is no folder, so there is no place for parts of cut files.",
                hint="HSM makes it itself: move it away there.",
                kind="type_conflict",
            )


def _without_own(there: DestinationRoot) -> DestinationRoot:
    """Leave out HSM's own files and folders, which are no results."""
    entries = {
        path: entry
        for path, entry in there.entries.items()
        if OWN_PREFIX not in path or not is_own(path.split("/"))
    }
    return DestinationRoot(there.path, there.kind, there.nearest, entries, there.problems, there.space)
