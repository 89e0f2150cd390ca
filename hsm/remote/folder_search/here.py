"""The search for wandb folders on this machine.

Types come from the folders' listings, so files are not asked for (a file system that tells no types is asked all the
same). Each folder is opened once, by its descriptor, which also tells its file system: what was exchanged for a symlink
meanwhile is not followed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from hsm.endpoint import CutReason, FolderSearch, FoundFolders
from hsm.model import EntryKind
from hsm.remote.folder_search.rules import MARKS, PROJECT_CONFIG, FolderContent, FolderWalk

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC
_ENTRIES_PER_LOOK = 500


def search_folders(search: FolderSearch) -> FoundFolders:
    """Look for wandb folders and for the marks of Hydra on this machine. Changes nothing.

    Folders that vanish meanwhile are absent, those that cannot be read are told in `cut`.
    """
    asked = os.path.expanduser(search.base)  # noqa: PTH111 - pathlib would drop bytes that are no UTF-8 on errors
    base = os.path.realpath(asked)
    try:
        device = os.stat(base).st_dev  # noqa: PTH116 - one way here
    except OSError:
        return FoundFolders(asked)
    walk = FolderWalk(search, base)
    for level in walk.iter_levels():
        _read_level(walk, base, level, device)
    return walk.make_found()


def _read_level(walk: FolderWalk, base: str, level: Sequence[str], device: int) -> None:
    for path in level:
        if walk.is_late():
            walk.cut(path, CutReason.TIME)
            return
        try:
            _read_folder(walk, base, path, device)
        except (FileNotFoundError, NotADirectoryError):  # it has vanished, or another has its name
            continue
        except OSError as error:
            if error.errno != errno.ELOOP:  # as some systems say of a symlink
                walk.cut(path, CutReason.UNREADABLE)


def _read_folder(walk: FolderWalk, base: str, path: str, device: int) -> None:
    descriptor = os.open(f"{base}/{path}", _FLAGS | (os.O_NOFOLLOW if path else 0))
    try:
        if os.fstat(descriptor).st_dev != device:
            return
        content = walk.make_content()
        is_late = _read_entries(walk, descriptor, content)
        if content.may_be_project:
            content.is_project = _exists(PROJECT_CONFIG, descriptor)
    finally:
        os.close(descriptor)
    walk.add(path, content)
    if is_late:
        walk.cut(path, CutReason.TIME)


def _read_entries(walk: FolderWalk, descriptor: int, content: FolderContent) -> bool:
    """Read a folder's entries as far as the bounds allow; True where the time is over."""
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if not content.count():
                return False
            if entry.is_dir(follow_symlinks=False):
                content.add(entry.name, EntryKind.FOLDER)
            elif entry.name in MARKS:
                content.add(entry.name, _get_kind(entry))
            if not content.n_entries % _ENTRIES_PER_LOOK and walk.is_late():
                return True
    return False


def _get_kind(entry: os.DirEntry[str]) -> EntryKind:
    if entry.is_symlink():
        return EntryKind.SYMLINK
    return EntryKind.FILE if entry.is_file(follow_symlinks=False) else EntryKind.OTHER


def _exists(path: str, folder: int) -> bool:
    try:
        os.stat(path, dir_fd=folder)
    except OSError:
        return False
    return True
