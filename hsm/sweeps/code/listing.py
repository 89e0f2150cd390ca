"""Choice of what a snapshot holds: files that are copied, and places that are linked to the project. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hsm.errors import UsageError
from hsm.sweeps.code.git import GitFiles

MOST_FILES = 50_000
MOST_LINKS = 5_000
"""More of either is data, not code."""

# Python makes these anew; shared, they would hold what the project's own files were compiled to.
_CACHES = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})
# A task that calls `hsm`, or git, must find the project and not the snapshot.
_OWN = frozenset({".hsm", ".git"})
# Results that a project forgot to have ignored; what of them is tracked is code all the same.
_RESULTS = ("wandb", "outputs", "multirun", "lightning_logs", "mlruns")


@dataclass(frozen=True, slots=True)
class SnapshotListing:
    """Content of a snapshot, as paths relative to the project.

    Attributes:
        files: That are copied: files and symlinks.
        links: Files and folders that are linked to those of the project.
    """

    files: tuple[str, ...]
    links: tuple[str, ...]


def choose_files(found: GitFiles, *, outputs: str) -> SnapshotListing:
    """Choose what is copied and what is linked.

    Args:
        found: What git says.
        outputs: The folder of the sweeps' folders, relative to the project.

    Raises:
        UsageError: It is far too much (kind `too_much_code`).
    """
    results = (outputs, *_RESULTS)
    new = frozenset(found.new)
    files, links = [], [path.rstrip("/") for path in found.ignored]
    for path in found.own:
        home = next((folder for folder in results if path.startswith(f"{folder}/")), "")
        if path in new and home:
            links.append(home)
        else:
            files.append(path)
    files = [path for path in files if not _has_part(path, _OWN)]
    parents = {parent for path in files for parent in _iter_parents(path)}
    # A folder with tracked files in it cannot be a link at the same time.
    links = [path for path in dict.fromkeys(links) if path not in parents and not _has_part(path, _OWN | _CACHES)]
    listing = SnapshotListing(tuple(sorted(files)), tuple(sorted(_drop_inner(links))))
    _check_size(listing)
    return listing


def _has_part(path: str, names: frozenset[str]) -> bool:
    return not names.isdisjoint(path.split("/"))


def _iter_parents(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _drop_inner(links: Iterable[str]) -> Iterable[str]:
    """Leave out what lies in a folder that is linked itself."""
    known = frozenset(links)
    return (path for path in known if known.isdisjoint(_iter_parents(path)))


def _check_size(listing: SnapshotListing) -> None:
    for paths, most, what in ((listing.files, MOST_FILES, "files"), (listing.links, MOST_LINKS, "ignored files")):
        if len(paths) > most:
            counts: dict[str, int] = {}
            for path in paths:
                head = path.partition("/")[0]
                counts[head] = counts.get(head, 0) + 1
            largest = max(counts, key=lambda head: counts[head])
            raise UsageError(
                f"A snapshot of the code would have {len(paths)} {what}, {counts[largest]} of them in {largest}",
                hint=f"Have git ignore folders of data (`echo /{largest}/ >> .gitignore`), or use `--code live`.",
                kind="too_much_code",
            )
