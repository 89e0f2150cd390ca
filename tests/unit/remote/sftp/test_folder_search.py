"""The search for wandb folders over SFTP, with a server that tells less than others, or lies."""

from __future__ import annotations

import os
import stat
import struct
from collections import deque
from collections.abc import Iterable

from hsm.endpoint import CutReason, CutSearch, FolderSearch, FoundFolders, SearchBounds
from hsm.remote.sftp.folder_search import FolderSearcher
from hsm.remote.sftp.session import Work
from hsm.remote.sftp.wire import HAS_MODE, Code, PacketType, Reply, Request, pack_text


class Server:
    """Answers for folders that are given with their names; a name that ends with `/` is a folder's."""

    def __init__(self, folders: dict[str, list[str]], *, tells_modes: bool = True) -> None:
        self.folders = folders
        self.tells_modes = tells_modes
        self.listed: set[str] = set()
        self.asked: list[str] = []

    def answer(self, request: Request) -> Reply:
        self.asked.append(f"{PacketType(request.kind).name} {request.path}")
        kind, body = self._answer(request)
        return Reply(kind, body, request.path, request.tag)

    def _answer(self, request: Request) -> tuple[int, bytes]:
        path = request.path
        if request.kind in (PacketType.STAT, PacketType.LSTAT):
            return self._tell_type(path)
        if request.kind == PacketType.REALPATH:
            return PacketType.NAME, self._pack([path])
        if request.kind == PacketType.OPENDIR and path in self.folders:
            return PacketType.HANDLE, pack_text(path)
        if request.kind == PacketType.READDIR and path not in self.listed:
            self.listed.add(path)
            return PacketType.NAME, self._pack(self.folders[path])
        codes = {PacketType.OPENDIR: Code.PERMISSION_DENIED, PacketType.READDIR: Code.EOF}
        return PacketType.STATUS, struct.pack(">I", codes.get(PacketType(request.kind), Code.OK))

    def _tell_type(self, path: str) -> tuple[int, bytes]:
        folder, _, name = path.rpartition("/")
        names = self.folders.get(folder, ())
        if path in self.folders or f"{name}/" in names:
            return PacketType.ATTRS, struct.pack(">II", HAS_MODE, stat.S_IFDIR)
        if name in names:
            return PacketType.ATTRS, struct.pack(">II", HAS_MODE, stat.S_IFREG)
        return PacketType.STATUS, struct.pack(">I", Code.NO_SUCH_FILE)

    def _pack(self, names: Iterable[str]) -> bytes:
        names = list(names)
        found = [struct.pack(">I", len(names))]
        for name in names:
            mode = stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
            attributes = struct.pack(">II", HAS_MODE, mode) if self.tells_modes else struct.pack(">I", 0)
            told = name if name in ("/", "../", "x/y/") else name.rstrip("/")
            found.append(pack_text(os.fsencode(told)) + pack_text("") + attributes)
        return b"".join(found)


def search(server: Server, **bounds: float) -> FoundFolders:
    queue: deque[Work] = deque()
    given = SearchBounds(**{"seconds": 60, **bounds})  # type: ignore[arg-type]
    searcher = FolderSearcher(FolderSearch("/p", bounds=given), "/p", queue, has_room=False)
    queue.append(searcher.look())
    while queue:
        work = queue.popleft()
        try:
            step = next(work)
            while True:
                step = work.send([server.answer(request) for request in step.requests])
        except StopIteration:
            pass
    return searcher.make_found()


FOLDERS = {
    "/p": ["part/", "wandb/", "venv/", "file", "closed/"],
    "/p/part": [".wandb/", ".hydra/", ".hsm/"],
    "/p/part/.hsm": [],
    "/p/venv": ["pyvenv.cfg", "wandb/"],
}


def test_a_server_may_leave_out_the_types() -> None:
    expected = FoundFolders(
        "/p", ("part/.wandb", "wandb"), jobs=("part",), cut=(CutSearch("closed", CutReason.UNREADABLE),)
    )
    assert search(Server(FOLDERS)) == expected
    assert search(Server(FOLDERS, tells_modes=False)) == expected


def test_files_are_not_asked_for() -> None:
    server = Server(FOLDERS)
    search(server)
    asked = [line for line in server.asked if line.startswith(("STAT", "LSTAT"))]
    assert asked == ["STAT /p", "STAT /p/part/.hsm/sync_config.yaml"]
    assert sum(line.startswith("OPENDIR") for line in server.asked) == 4
    assert sum(line.startswith("CLOSE") for line in server.asked) == 3


def test_names_that_lead_elsewhere_are_left() -> None:
    folders = {"/p": ["../", "/", "x/y/", "part/"], "/p/part": ["wandb/"]}
    assert search(Server(folders)) == FoundFolders("/p", ("part/wandb",))


def test_a_large_folder_is_left_half_read() -> None:
    folders = {"/p": ["data/", "part/"], "/p/data": [*(f"{n}" for n in range(9)), "x/"], "/p/part": ["wandb/"]}
    found = search(Server(folders), n_entries=9)
    assert found == FoundFolders("/p", ("part/wandb",), cut=(CutSearch("data", CutReason.ENTRIES),))
