"""The survey: one look at a destination, restricted to what a plan for one sweep can touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hsm.discover.results import OWN_PREFIX, is_own
from hsm.endpoint import Endpoint, Listing
from hsm.errors import TargetError
from hsm.model import Entry, EntryKind, Root, SourceFile, SweepInventory
from hsm.plan.destination import Destination, DestinationRoot, make_destination_root
from hsm.plan.disk.file_system import FileSystem
from hsm.remote.guard import GuardPlaces
from hsm.sweep_folder import receipt_folder
from hsm.sync.bring.survey_ahead import SurveyAhead, make_survey_question
from hsm.transfer.base import PARTIAL_FOLDER, get_temporary_folder


@dataclass(frozen=True, slots=True)
class DestinationState:
    """A destination as the survey found it.

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

    def find_entry(self, file: SourceFile, disk: FileSystem | None) -> Entry | None:
        """Find what lies in a file's place there.

        Args:
            file: Of the source.
            disk: Of its root there; None where nothing is known of it.
        """
        return self.destination[file.root].entries.get(disk.spell(file.path) if disk is not None else file.path)


def survey_destination(
    endpoint: Endpoint,
    configured: Mapping[Root, str],
    inventory: SweepInventory,
    *,
    roots: tuple[Root, ...],
    max_depth: int | None,
    own: str = "",
    ahead: SurveyAhead | None = None,
) -> DestinationState:
    """Look at a destination, in one session where it is remote.

    Args:
        endpoint: The destination.
        configured: Its folders as configured.
        inventory: What may be sent.
        roots: Which of the folders are synced.
        max_depth: Levels of the sweep folder that count.
        own: The folder of sweeps there, in which lock and receipts lie, where that is none of `configured`.
        ahead: A survey of it that was begun before.

    Raises:
        TargetError: Something else stands where HSM keeps its lock and its receipts.
    """
    question = make_survey_question(
        configured,
        inventory.sweep,
        [run.name for run in inventory.runs],
        roots=roots,
        max_depth=None if inventory.has_jobs else max_depth,
        own=own,
        place=inventory.place,
    )
    ask = endpoint.survey if ahead is None else ahead.finish
    survey = ask(question.trees, receipts=question.receipts)
    guard_listing, *above = survey.listings[: 1 + len(question.above)]
    listings = dict(zip(question.roots, survey.listings[1 + len(above) :], strict=True))
    _check_guard(guard_listing, endpoint.name)
    destination: dict[Root, DestinationRoot] = {}
    for root, listing in listings.items():
        # The folders above the sweep's are asked for apart, and the guard's lie below it, whatever `max_depth` says.
        parts = [*(above or [guard_listing]), listing] if root is Root.SWEEPS else [listing]
        there = make_destination_root(parts)
        _check_parts(there, endpoint.name)
        destination[root] = _without_own(there)
    paths = dict.fromkeys(there.path for there in destination.values())
    places = GuardPlaces(
        folder=f"{guard_listing.base.rstrip('/')}/{receipt_folder(inventory.sweep)}",
        temporary=tuple(get_temporary_folder(path, inventory.sweep) for path in paths),
    )
    return DestinationState(destination, survey.receipts, places, survey.machine.system, survey.machine.rsync_version)


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
        path: entry for path, entry in there.entries.items() if OWN_PREFIX not in path or not is_own(path.split("/"))
    }
    return replace(there, entries=entries)
