"""Follower of symlinks that lead to folders, as far as they lead into places that were asked for.

A symlink is input: it may lead in a circle, into a tree that grows at each step, or to a folder of the system. So only
folders whose real path lies in one of the places are looked into, none above itself or twice on one way, and no more
than a limit of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hsm.discover.sweeps import Layout
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Entry, EntryKind

_MOST_HOPS = 8
_MOST_FOLDERS = 1000

Places = Mapping[str, frozenset[str]]
"""Real paths by the name of the place: the configured path, and the empty name for the project's own folders."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Listing with what lies behind its symlinked folders, and where each of these leads.

    A symlink that was followed is an entry of the kind FOLDER with a content.

    Attributes:
        listing: The listing.
        places: By the path of each symlinked folder, see `hsm.model.FolderLink`.
    """

    listing: Listing
    places: Mapping[str, frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class _Link:
    """A symlinked folder: its entry, the real folder that it lies in, and the real folders on the way to it."""

    entry: Entry
    folder: str
    way: tuple[str, ...] = ()


def resolve_places(endpoint: Endpoint, layout: Layout, paths: Sequence[str]) -> Places:
    """Resolve the places into which symlinks may lead; one that is missing allows nothing."""
    own = (layout.project, layout.sweeps, layout.wandb)
    listings = endpoint.survey([Tree(path, (), 0) for path in (*own, *paths)]).listings
    real = [listing.base if listing.kind is EntryKind.FOLDER else "" for listing in listings]
    named = {path: frozenset({found} - {""}) for path, found in zip(paths, real[len(own) :], strict=True)}
    return {**named, "": frozenset(real[: len(own)]) - {""}}


def find_real_paths(endpoint: Endpoint, paths: Sequence[str]) -> dict[str, str]:
    """Find where symlinks lead, of those that lead to a folder."""
    if not paths:
        return {}
    listings = endpoint.survey([Tree(path, (), 0) for path in paths]).listings
    found = zip(paths, listings, strict=True)
    return {path: listing.base for path, listing in found if listing.kind is EntryKind.FOLDER}


def follow_folders(endpoint: Endpoint, listing: Listing, places: Places) -> Followed:
    """List what lies behind the symlinked folders of a listing, two surveys for each hop, none where there are none.

    Args:
        endpoint: The source.
        listing: Made with `follow`.
        places: From `resolve_places`.
    """
    found: dict[str, frozenset[str] | None] = {}
    entries = list(listing.entries)
    problems = list(listing.problems)
    links = [_Link(entry, _join(listing.base, _get_folder(entry.path))) for entry in entries if _leads_to_folder(entry)]
    followed: dict[str, Entry] = {}
    for _ in range(_MOST_HOPS):
        links = links[: max(0, _MOST_FOLDERS - len(followed))]
        paths = [_join(listing.base, link.entry.path) for link in links]
        real = find_real_paths(endpoint, paths)
        going: list[tuple[_Link, str]] = []
        for link, path in zip(links, paths, strict=True):
            found[link.entry.path] = _judge(link, real.get(path, ""), places)
            if found[link.entry.path]:
                going.append((link, path))
        if not going:
            break
        surveys = endpoint.survey([Tree(path, follow=True) for _, path in going]).listings
        links = []
        for (link, path), behind in zip(going, surveys, strict=True):
            name = link.entry.path
            followed[name] = link.entry._replace(kind=EntryKind.FOLDER, followed=None)
            inside = [entry._replace(path=f"{name}/{entry.path}") for entry in behind.entries if entry.path]
            entries += inside
            problems += [replace(problem, path=_join(name, problem.path)) for problem in behind.problems]
            way = (*link.way, real[path])
            links += [
                _Link(entry, _join(behind.base, _get_folder(entry.path[len(name) + 1 :])), way)
                for entry in inside
                if _leads_to_folder(entry)
            ]
    entries = [followed.get(entry.path, entry) for entry in entries] if followed else entries
    return Followed(replace(listing, entries=tuple(entries), problems=tuple(problems)), found)


def _judge(link: _Link, real: str, places: Places) -> frozenset[str] | None:
    """Find the places that a symlink leads into; None where it leads in a circle, or to nothing."""
    is_circle = _is_in(link.folder, real) or real in link.way
    if not real or is_circle:
        return None
    return frozenset(name for name, folders in places.items() if any(_is_in(real, folder) for folder in folders))


def _leads_to_folder(entry: Entry) -> bool:
    return entry.kind is EntryKind.SYMLINK and entry.followed is not None and entry.followed.kind is EntryKind.FOLDER


def _is_in(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _get_folder(path: str) -> str:
    return path.rpartition("/")[0]


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if name else folder
