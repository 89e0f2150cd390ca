"""Results that can be sent, out of the entries of a listing."""

from __future__ import annotations

from collections.abc import Iterable

from hsm.model import Entry, EntryKind, Problem, Root, SourceFile

SYMLINKED_FOLDER = "symlinked_folder"
SPECIAL_FILE = "special_file"

OWN_PREFIX = ".hsm-"
"""Beginning of the names of HSM's own files and folders, which are no results at any level."""


def is_own(parts: Iterable[str]) -> bool:
    """Tell whether a path, given as its names, is HSM's own."""
    return any(part.startswith(OWN_PREFIX) for part in parts)


def make_file(entry: Entry, root: Root, path: str, prefix: str, run: str, problems: list[Problem]) -> SourceFile | None:
    """Make a file of an entry that is no folder; None, and a problem more, where it cannot be sent.

    Args:
        entry: From a listing that followed symlinks: a symlink to a file is sent as that file.
        root: The one of the destination's folders below which it lands.
        path: Relative to that folder.
        prefix: The absolute folder below which it has the same path at the source.
        run: The run it belongs to; empty for none.
        problems: Gets one for a dangling symlink, a symlink to a folder, a socket and the like.
    """
    # wandb leaves absolute symlinks to the user's files, and the user wants the files. Symlinks to folders are not
    # followed: they lead out of the project, or in circles.
    is_link = entry.kind is EntryKind.SYMLINK
    content = entry.followed if is_link else entry
    if content is not None and content.kind is EntryKind.FILE:
        file = SourceFile(root, path, prefix, content.size, content.mtime_ns, content.inode, run, is_link)
        return file._replace(leads_to=(entry.link_target,)) if entry.link_target else file
    if content is None:
        message = f"The symlink leads nowhere: {entry.link_target}"
        problems.append(Problem(path, "dangling_symlink", message, "Restore what it led to, or delete it."))
    elif content.kind is EntryKind.FOLDER:
        message = f"The symlink leads to a folder, which is not sent: {entry.link_target}"
        problems.append(Problem(path, SYMLINKED_FOLDER, message, is_failure=False))
    else:
        message = "This is a socket, a device or a pipe, which is not sent."
        problems.append(Problem(path, SPECIAL_FILE, message, is_failure=False))
    return None
