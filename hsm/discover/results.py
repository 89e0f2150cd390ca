"""Results that can be sent, out of the entries of a listing, and what of them cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hsm.model import Entry, EntryKind, FolderLink, Gap, GapReason, Problem, Root, SourceFile

SPECIAL_FILE = "special_file"

OWN_PREFIX = ".hsm-"
"""Beginning of the names of HSM's own files and folders, which are no results at any level."""

WANDB_LINKS = frozenset({"latest-run", "debug.log", "debug-internal.log", "debug-core.log", "debug-cli.log"})
"""Symlinks that wandb makes beside its runs, to the last of them."""


def is_own(parts: Iterable[str]) -> bool:
    """Tell whether a path, given as its names, is HSM's own."""
    return any(part.startswith(OWN_PREFIX) for part in parts)


def is_wandb_link(entry: Entry) -> bool:
    """Tell whether an entry of a folder of runs is a symlink that wandb made itself."""
    return entry.kind is EntryKind.SYMLINK and entry.path.rpartition("/")[2] in WANDB_LINKS


@dataclass(slots=True)
class Results:
    """Collector of what a source has: files that can be sent, and everything else with the reason why not."""

    files: list[SourceFile] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    links: list[FolderLink] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def take(
        self, entry: Entry, root: Root, path: str, prefix: str, run: str, *, places: frozenset[str] | None = None
    ) -> None:
        """Take an entry that is no folder, or a folder behind a symlink.

        Args:
            entry: From a listing that followed symlinks: a symlink to a file is sent as that file.
            root: The one of the destination's folders below which it lands.
            path: Relative to that folder.
            prefix: The absolute folder below which it has the same path at the source.
            run: The run it belongs to; empty for none.
            places: Of a symlinked folder, as of `FolderLink`.
        """
        # wandb leaves absolute symlinks to the user's files, and the user wants the files.
        is_link = entry.kind is EntryKind.SYMLINK
        content = entry.followed if is_link else entry
        if content is not None and content.kind is EntryKind.FILE:
            file = SourceFile(root, path, prefix, content.size, content.mtime_ns, content.inode, run, is_link)
            if content.disk_bytes is not None:
                file = file._replace(disk_bytes=content.disk_bytes)
            self.files.append(file._replace(leads_to=(entry.link_target,)) if entry.link_target else file)
        elif content is None:
            message = f"The symlink leads nowhere, or to what may not be looked at: {entry.link_target}"
            self.problems.append(Problem(path, "dangling_symlink", message, "Restore what it led to, or delete it."))
            self.gaps.append(Gap(run, path, GapReason.DANGLING))
        elif content.kind is EntryKind.FOLDER:
            self.links.append(FolderLink(run, path, entry.link_target, places))
        else:
            message = "This is a socket, a device or a pipe, which is not sent."
            self.problems.append(Problem(path, SPECIAL_FILE, message, is_failure=False))
            self.gaps.append(Gap(run, path, GapReason.SPECIAL))

    def take_unreadable(self, problem: Problem, run: str | None) -> None:
        """Take what could not be read, by its path at a destination; `run` is None where it may be of any."""
        self.problems.append(problem)
        if run is not None:
            self.gaps.append(Gap(run, problem.path, GapReason.UNREADABLE))

    def add(self, other: Results) -> None:
        """Add what another collector has."""
        self.files += other.files
        self.gaps += other.gaps
        self.links += other.links
        self.problems += other.problems
