"""Places of files at a destination, looked at by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hsm.endpoint import Endpoint, Tree
from hsm.model import Entry, FileKey, Root


def look_at_places(destination: Endpoint, roots: Mapping[Root, str], keys: Iterable[FileKey]) -> dict[FileKey, Entry]:
    """Look at what has these names, in one round trip where there are any; what is missing there is missing here.

    Args:
        destination: Looked at.
        roots: Its folders, real paths.
        keys: The names.

    Raises:
        HsmError: The destination is out of reach.
    """
    names: dict[Root, list[str]] = {}
    for root, path in keys:
        names.setdefault(root, []).append(path)
    trees = [Tree(roots[root], tuple(paths), 0) for root, paths in names.items()]
    listings = destination.survey(trees).listings if trees else ()
    return {
        (root, entry.path): entry for root, listing in zip(names, listings, strict=True) for entry in listing.entries
    }
