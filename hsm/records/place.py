"""Place of a project: by host, path and device it is told whether a project was copied together with its `.hsm/`.

The table of decisions, with the reasons, stands in `docs/design/proof-and-records.md`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from threading import Thread

from hsm.files import PRIVATE_FILE_MODE, DamagedFileError, load_json
from hsm.project_folder import ProjectFolder

# For a look at a place that may lie on a file system whose server does not answer.
_LOOK_SECONDS = 5.0

_MOST_PATH = 4096


@dataclass(frozen=True, slots=True)
class ProjectPlace:
    """The place of a project when its id was written.

    Attributes:
        host: Name of the machine.
        machine: Tells machines of one name apart (login1 of two clusters); empty where nothing does.
        path: Of the project's folder, every symlink resolved.
        device: Of its file system there; another one after the next mount, on NFS, btrfs and others.
        folder_inode: Of the project's folder.
        state_inode: Of its `.hsm/`, which no copy has, hard links included. A network file system shows the same one
            on all its machines and under all its mount points.
    """

    host: str
    machine: str
    path: str
    device: int
    folder_inode: int
    state_inode: int

    @property
    def inodes(self) -> tuple[int, int]:
        """Of both folders."""
        return self.folder_inode, self.state_inode

    def is_same_path(self, other: ProjectPlace) -> bool:
        """Tell whether both are one path of one machine."""
        return self.is_same_machine(other) and self.path == other.path

    def is_same_machine(self, other: ProjectPlace) -> bool:
        """Tell whether both are on one machine."""
        return (self.host, self.machine) == (other.host, other.machine)


class Sight(Enum):
    """The place that a project remembers, as it is seen from the machine on which it is now."""

    SAME_FOLDER = "the same folder, under another name"
    HOLDS_ID = "another folder, with the same id"
    GONE = "its file system is there, and the project is not"
    UNSEEN = "it cannot be told"


class Verdict(Enum):
    """The judgement of a project's place."""

    SAME = "it lies where it remembers"
    MOVED = "it was moved there or put back"
    COPIED = "it is a copy"


def read_place(project: Path) -> ProjectPlace:
    """Read where a project is, whose `.hsm/` exists.

    Raises:
        OSError: It cannot be looked at.
    """
    path = os.path.realpath(project)
    folder = os.stat(path)  # noqa: PTH116 - bytes that are no UTF-8 stay as they are
    state = ProjectFolder(Path(path)).path.stat()
    return ProjectPlace(socket.gethostname(), _read_machine(), path, folder.st_dev, folder.st_ino, state.st_ino)


def judge_place(known: ProjectPlace, now: ProjectPlace, sight: Sight) -> Verdict:
    """Judge whether a project is the one that it says it is. Pure.

    Args:
        known: The place that it remembers.
        now: The place where it is.
        sight: The remembered place as it is seen here; it does not count where both have one path.
    """
    is_same_machine, has_same_inodes = known.is_same_machine(now), known.inodes == now.inodes
    if known.path == now.path:
        if has_same_inodes:
            return Verdict.SAME
        return Verdict.MOVED if is_same_machine else Verdict.COPIED
    if sight in (Sight.SAME_FOLDER, Sight.HOLDS_ID):
        return Verdict.SAME if sight is Sight.SAME_FOLDER else Verdict.COPIED
    if has_same_inodes:
        return Verdict.MOVED if is_same_machine and sight is Sight.GONE else Verdict.SAME
    return Verdict.MOVED if is_same_machine and sight is Sight.GONE else Verdict.COPIED


def look_at_place(known: ProjectPlace, now: ProjectPlace, source_id: str) -> Sight:
    """Look at the place that a project remembers; whatever cannot be told within some seconds is unseen."""
    if known.path == now.path:
        return Sight.SAME_FOLDER
    found: list[Sight] = []

    def look() -> None:
        with contextlib.suppress(OSError):
            found.append(_look(known, now, source_id))

    thread = Thread(target=look, name="hsm-place", daemon=True)  # a dead server would hold it for ever
    thread.start()
    thread.join(_LOOK_SECONDS)
    return found[0] if found else Sight.UNSEEN


def parse_place(document: object) -> ProjectPlace | None:
    """Read a place from JSON values; None where they are none."""
    if not isinstance(document, Mapping):
        return None
    try:
        place = ProjectPlace(**document)
    except TypeError:
        return None
    texts = (place.host, place.machine, place.path)
    numbers = (place.device, *place.inodes)
    is_right = all(type(text) is str for text in texts) and all(type(number) is int for number in numbers)
    is_path = is_right and place.path.startswith("/") and "\0" not in place.path and len(place.path) <= _MOST_PATH
    return place if is_path else None


def make_place_document(place: ProjectPlace) -> dict[str, object]:
    """Make JSON values of a place."""
    return asdict(place)


def make_copied_id(source_id: str, place: ProjectPlace) -> str:
    """Make the id of a copy: the same one at each call, also after the original was copied over it again."""
    words = (source_id, place.host, place.machine, place.path)
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _look(known: ProjectPlace, now: ProjectPlace, source_id: str) -> Sight:
    try:
        folder = os.stat(known.path)  # noqa: PTH116 - as above
    except (FileNotFoundError, NotADirectoryError):
        return Sight.GONE if _read_device_above(known.path) == known.device else Sight.UNSEEN
    if (folder.st_dev, folder.st_ino) == _read_identity(now.path):
        return Sight.SAME_FOLDER
    if _holds_id(known.path, source_id):
        # A file system that is mounted twice shows one folder as two; a snapshot of it looks just like that.
        is_alike = known.inodes == now.inodes
        return Sight.SAME_FOLDER if is_alike and _shows_mark(now.path, known.path) else Sight.HOLDS_ID
    return Sight.GONE if folder.st_dev == known.device else Sight.UNSEEN


def _holds_id(path: str, source_id: str) -> bool:
    try:
        document = load_json(ProjectFolder(Path(path)).id, schema=1) or {}
    except FileNotFoundError:
        return False
    except DamagedFileError:
        return False
    return document.get("source_id") == source_id


def _shows_mark(here: str, there: str) -> bool:
    """Tell whether a file that is made in one project's `.hsm/` appears in the other's."""
    name = f".hsm-{secrets.token_hex(8)}"
    mark = ProjectFolder(Path(here)).path / name
    os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE))
    try:
        return (ProjectFolder(Path(there)).path / name).exists()
    finally:
        mark.unlink(missing_ok=True)


def _read_identity(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - as above
    return status.st_dev, status.st_ino


def _read_device_above(path: str) -> int:
    """Read the device of the nearest folder above a path that exists."""
    while True:
        path = os.path.dirname(path)  # noqa: PTH120 - as above
        try:
            return os.stat(path).st_dev  # noqa: PTH116 - as above
        except (FileNotFoundError, NotADirectoryError):
            if path == "/":
                raise


def _read_machine() -> str:
    """Make a word for this machine of machine-id(5), which is not to be shown itself."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(b"hsm-place" + Path("/etc/machine-id").read_bytes()).hexdigest()[:16]
    return ""
