"""Walk: a look at everything in a folder here, without following a symlink."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hsm.model import EntryKind
from hsm.sync.clean.values import Seen
from hsm.targets.contents.marks import is_mark

# A space and the like, as mountinfo writes them.
_OCTAL = re.compile(rb"\\([0-7]{3})")

MOUNTS = "/proc/self/mountinfo"

# A name that became a symlink since it was listed cannot be opened so.
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Walk:
    """Everything that lies in a folder.

    Attributes:
        identity: Device and inode of the folder itself; None where there is none.
        entries: Everything below it, by relative path.
        problems: Folders that could not be read or may not be emptied, and other file systems that are mounted in it.
    """

    identity: tuple[int, int] | None = None
    entries: Mapping[str, Seen] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitPlace:
    """Place of a unit here.

    Attributes:
        folder: Absolute real path of the folder that holds it.
        base: Its name there.
        walk: Everything that was seen in it.
    """

    folder: str
    base: str
    walk: Walk

    @property
    def path(self) -> str:
        """Its absolute path."""
        return f"{self.folder}/{self.base}"


def walk_folder(path: str, *, without: frozenset[str] = frozenset()) -> Walk:
    """Look at everything in a folder, opened by its own name and never through a symlink.

    Args:
        path: Absolute. What is above its last name may be reached through symlinks.
        without: Absolute paths of folders that are neither looked into nor named.
    """
    try:
        descriptor = os.open(path, OPEN_FOLDER)
    except FileNotFoundError:
        return Walk()
    except OSError as error:
        return Walk(problems=(f"it cannot be opened as a folder: {error.strerror}",))
    status = os.fstat(descriptor)
    entries: dict[str, Seen] = {}
    problems = [f"{mount} is mounted on its own" for mount in list_mounts() if f"{mount}/".startswith(f"{path}/")]
    skipped = frozenset(name.removeprefix(f"{path}/") for name in without if name.startswith(f"{path}/"))
    walker = _Walker(status.st_dev, skipped, entries, problems)
    try:
        walker.walk(descriptor, "")
    finally:
        os.close(descriptor)
    return Walk((status.st_dev, status.st_ino), entries, tuple(problems))


@dataclass(frozen=True, slots=True)
class _Walker:
    device: int
    without: frozenset[str]
    entries: dict[str, Seen]
    problems: list[str]

    def walk(self, descriptor: int, prefix: str) -> None:
        # Known before anything goes: a removal that stops half way would leave a run in pieces.
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor, effective_ids=True):
            self.problems.append(f"{prefix.rstrip('/') or 'it'} may not be written to, so it cannot be emptied")
        for name in sorted(os.listdir(descriptor)):
            path = f"{prefix}{name}"
            if path in self.without:
                continue
            seen = look(descriptor, name)
            if seen is None:
                self.problems.append(f"{path} vanishes while it is looked at")
                continue
            if is_mark(name) and seen.kind is EntryKind.FILE and seen.size == 0:  # of a clean that was killed
                continue
            self.entries[path] = seen
            if seen.kind is EntryKind.FOLDER:
                self._enter(descriptor, name, path)

    def _enter(self, parent: int, name: str, path: str) -> None:
        try:
            descriptor = os.open(name, OPEN_FOLDER, dir_fd=parent)
        except OSError as error:
            self.problems.append(f"{path} cannot be read: {error.strerror}")
            return
        try:
            # A mount in a run is somebody's disk, and inodes are compared within one file system.
            if os.fstat(descriptor).st_dev != self.device:
                self.problems.append(f"{path} is another file system")
                return
            self.walk(descriptor, f"{path}/")
        except OSError as error:
            self.problems.append(f"{path} cannot be read: {error.strerror}")
        finally:
            os.close(descriptor)


def list_mounts() -> list[str]:
    """List where file systems are mounted, as far as this system tells: proc_pid_mountinfo(5).

    A bind mount of the same file system has the same device, so that nothing else tells it from a folder.
    """
    try:
        lines = Path(MOUNTS).read_bytes().splitlines()
    except OSError:
        return []
    return [os.fsdecode(_OCTAL.sub(_decode, line.split(b" ")[4])) for line in lines if line.count(b" ") > 4]


def _decode(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)])


def look(folder: int, name: str) -> Seen | None:
    """Look at one entry of an open folder; None where there is none."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    kind = _get_kind(status.st_mode)
    if kind is EntryKind.FOLDER:
        return Seen(kind, 0, 0, 0, status.st_ino, status.st_dev)
    link = ""
    if kind is EntryKind.SYMLINK:
        try:
            link = os.readlink(name, dir_fd=folder)
        except OSError:
            return None
    size = status.st_size if kind is EntryKind.FILE else 0
    return Seen(kind, size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, link)


def _get_kind(mode: int) -> EntryKind:
    if stat.S_ISREG(mode):
        return EntryKind.FILE
    if stat.S_ISDIR(mode):
        return EntryKind.FOLDER
    return EntryKind.SYMLINK if stat.S_ISLNK(mode) else EntryKind.OTHER
