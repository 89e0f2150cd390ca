"""Mount points below a destination's folders, across which no file can be renamed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hsm.model import Root, SourceFile


@dataclass(frozen=True, slots=True)
class Mounts:
    """Mount points in which files of a transfer land.

    Attributes:
        below: By root: their paths relative to it, the deepest first.
    """

    below: Mapping[Root, tuple[str, ...]] = field(default_factory=dict)

    def find(self, file: SourceFile) -> str:
        """Return the mount point that a file lands in, relative to its root; empty for the root's own."""
        return next((path for path in self.below.get(file.root, ()) if file.path.startswith(f"{path}/")), "")

    def list_bases(self, root: Root) -> tuple[str, ...]:
        """List the folders below a root that have temporary files of their own; the empty one is the root itself."""
        return (*self.below.get(root, ()), "")

    def choose(self, files: Iterable[SourceFile]) -> Mounts:
        """Choose those in which any of the files lands."""
        if not any(self.below.values()):
            return Mounts()
        used = {(file.root, self.find(file)) for file in files}
        return Mounts(
            {root: tuple(path for path in paths if (root, path) in used) for root, paths in self.below.items()}
        )


def find_mounts(points: Iterable[str], roots: Mapping[Root, str]) -> Mounts:
    """Find the mount points below the roots.

    Args:
        points: Absolute paths.
        roots: The destination's folders, real paths.
    """
    below: dict[Root, tuple[str, ...]] = {}
    for root, path in roots.items():
        start = f"{path.rstrip('/')}/"
        inside = {point.removeprefix(start) for point in points if point.startswith(start)}
        below[root] = tuple(sorted(inside, key=lambda name: (-name.count("/"), name)))
    return Mounts(below)
