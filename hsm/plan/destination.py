"""Destination as the plan sees it: what is there, by root and path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hsm.endpoint import Listing, Space
from hsm.model import Entry, EntryKind, Problem, Root

_UNKNOWN_SPACE = Space()


@dataclass(frozen=True, slots=True)
class DestinationRoot:
    """One of the destination's two folders, as the survey found it.

    Attributes:
        path: The folder's real path there.
        kind: What it is; None when it does not exist yet.
        nearest: What its nearest existing parent is.
        entries: By path relative to the folder; only what the plan can touch was listed.
        problems: Folders below it that could not be read; their `path` is relative to the folder.
        space: Room on its file system.
        device: That file system, as `hsm.endpoint.Listing` names it.
    """

    path: str
    kind: EntryKind | None = None
    nearest: EntryKind | None = EntryKind.FOLDER
    entries: Mapping[str, Entry] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    space: Space = _UNKNOWN_SPACE
    device: str = ""


Destination = Mapping[Root, DestinationRoot]
"""Second input of the plan."""


def make_destination_root(listings: Iterable[Listing]) -> DestinationRoot:
    """Join listings of one folder."""
    parts = list(listings)
    first = parts[0]
    return DestinationRoot(
        path=first.base,
        kind=first.kind,
        nearest=first.nearest,
        entries={entry.path: entry for listing in parts for entry in listing.entries},
        problems=tuple(problem for listing in parts for problem in listing.problems),
        space=first.space,
        device=first.device,
    )
