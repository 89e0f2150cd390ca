"""Resolver of the symlinks that are sent as files, so that a plan can judge these by their real paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Entry, EntryKind, SourceFile

_MOST_HOPS = 10  # ends circles


def resolve_links(endpoint: Endpoint, files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """Add to every symlink's `leads_to` the real paths on its way, and set `real`; changes nothing at the source.

    Costs one survey for each hop of the longest chain, and none where there are no symlinks. A path that may not be
    looked at, or that a far side does not tell (a `stat` without GNU's formats), stays unknown.

    Args:
        endpoint: The source.
        files: From `hsm.discover.inventory`.

    Returns:
        All of them, in their order.
    """
    found = {index: list(file.leads_to) for index, file in enumerate(files) if file.leads_to}
    waiting = {index: _join(_get_folder(_get_path(files[index])), hops[0]) for index, hops in found.items()}
    ends: dict[int, str] = {}
    for _ in range(_MOST_HOPS):
        if not waiting:
            break
        entries = _look(endpoint, list(waiting.values()))
        reached = {index: entries[path] for index, path in waiting.items() if path in entries}
        for index, (real, entry) in reached.items():
            found[index].append(real)
            if entry.kind is EntryKind.FILE:
                ends[index] = real
        waiting = {
            index: _join(_get_folder(real), entry.link_target)
            for index, (real, entry) in reached.items()
            if entry.kind is EntryKind.SYMLINK and entry.link_target
        }
    return tuple(
        file._replace(leads_to=tuple(dict.fromkeys(found[index])), real=ends.get(index, "")) if index in found else file
        for index, file in enumerate(files)
    )


def _look(endpoint: Endpoint, paths: Sequence[str]) -> Mapping[str, tuple[str, Entry]]:
    """Look up the entry at each path, and its real path, which is resolved but for its last name."""
    names: dict[str, dict[str, None]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name not in ("", ".", ".."):
            names.setdefault(folder or "/", {})[name] = None
    trees = [Tree(folder, names=tuple(inside), max_depth=0) for folder, inside in names.items()]
    listings = endpoint.survey(trees).listings if trees else ()
    return dict(_iter_found(trees, listings))


def _iter_found(trees: Sequence[Tree], listings: Sequence[Listing]) -> Iterator[tuple[str, tuple[str, Entry]]]:
    for tree, listing in zip(trees, listings, strict=True):
        for entry in listing.entries:
            yield _join(tree.base, entry.path), (_join(listing.base, entry.path), entry)


def _get_path(file: SourceFile) -> str:
    return f"{file.prefix}/{file.path}"


def _get_folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _join(folder: str, name: str) -> str:
    return name if name.startswith("/") else f"{folder.rstrip('/')}/{name}"
