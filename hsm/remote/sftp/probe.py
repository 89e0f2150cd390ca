"""The probe over SFTP: the same tries as `hsm.remote.shell_programs.probe`, in three round trips.

Folders take the place of most files, since they need no handle. Times are whole seconds from 1970 to 2106, which is all
that version 3 of the protocol can say.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from hsm.plan.disk.file_system import SECOND_NS, FileSystem
from hsm.plan.disk.names import RULES
from hsm.remote.probe import (
    CASE_MADE,
    CASE_TRIED,
    EVEN_NS,
    LENGTHS,
    ODD_NS,
    PROBE_FOLDER,
    UNICODE_MADE,
    UNICODE_TRIED,
    Observation,
    make_file_system,
)
from hsm.remote.sftp.replies import WireError, check_status, parse_attributes, parse_handle, parse_names
from hsm.remote.sftp.session import SftpSession, SftpSessions
from hsm.remote.sftp.wire import (
    HARD_LINK,
    HAS_TIMES,
    POSIX_RENAME,
    Open,
    PacketType,
    Reply,
    Request,
    SftpError,
    make_handle,
    make_mkdir,
    make_open,
    make_path,
    make_two_paths,
    pack_text,
)

_MOST_SECONDS = 0xFFFFFFFF
_ODD, _EVEN = ODD_NS // SECOND_NS, EVEN_NS // SECOND_NS
_FAR = (0, _MOST_SECONDS)
_TIMES = (_EVEN, _ODD, *_FAR)
_FILES = ("new", "old", *(f"t{seconds}" for seconds in _TIMES))
_NAMES = (*(rule.sample for rule in RULES), *("n" * length for length in LENGTHS))


def probe_by_sftp(sessions: SftpSessions, folders: Sequence[str]) -> dict[str, FileSystem]:
    """Try how file systems behave. Leaves nothing behind.

    Args:
        sessions: To the machine.
        folders: HSM's temporary folders, which are there and writable, absolute.

    Returns:
        By folder; a folder in which nothing could be made is missing.
    """

    def probe(session: SftpSession, check: Callable[[], None], folder: str) -> FileSystem | None:
        return _Probe(session, check, f"{folder.rstrip('/')}/{PROBE_FOLDER}").run()

    found = {folder: sessions.use_sftp(partial(probe, folder=folder)) for folder in folders}
    return {folder: there for folder, there in found.items() if there is not None}


class _Probe:
    """The tries in one folder. A server takes the requests of one round trip in their order."""

    def __init__(self, session: SftpSession, check: Callable[[], None], path: str) -> None:
        self._session = session
        self._check = check
        self._path = path
        self._names = f"{path}/n"
        self._folding = f"{path}/u"

    def run(self) -> FileSystem | None:
        made = self._ask(*map(make_mkdir, (self._path, self._names, self._folding)))
        if not all(map(_is_done, made)):
            self._ask(*self._iter_removals())
            return None
        handles = self._make()
        there = make_file_system(self._observe(handles), sent_step_ns=SECOND_NS)
        return replace(
            there,
            earliest_ns=max(there.earliest_ns or 0, 0),
            latest_ns=_MOST_SECONDS * SECOND_NS if there.latest_ns is None else there.latest_ns,
        )

    def _make(self) -> list[bytes | None]:
        """Make everything; returns the handles of the files, and of the two folders that are to be listed."""
        opened = [make_open(f"{self._path}/{name}", Open.WRITE | Open.CREATE) for name in _FILES]
        folding = [f"{self._folding}/{name}" for name in (CASE_MADE, UNICODE_MADE)]
        names = [f"{self._names}/{name}" for name in _NAMES]
        listed = [make_path(PacketType.OPENDIR, path) for path in (self._names, self._folding)]
        replies = self._ask(*map(make_mkdir, (*folding, *names)), *opened, *listed)
        return [_read_handle(reply) for reply in replies[-len(opened) - len(listed) :]]

    def _observe(self, handles: Sequence[bytes | None]) -> Observation:
        tries: dict[str, list[Request]] = {
            "closed": [self._close(handle) for handle in handles[:-2] if handle],
            "set": [_make_time(f"{self._path}/t{seconds}", seconds) for seconds in _TIMES],
            "seen": [make_path(PacketType.LSTAT, f"{self._path}/t{seconds}") for seconds in _TIMES],
            "folds": [make_path(PacketType.LSTAT, f"{self._folding}/{name}") for name in (CASE_TRIED, UNICODE_TRIED)],
            "renamed": [self._rename()],
            "symlinks": [_make_symlink(f"{self._path}/s1", f"{self._path}/s2")],
            "links": self._link(),
            "names": self._list(handles[-2]),
            "shown": self._list(handles[-1]),
            "left": list(self._iter_removals()),
        }
        replies = iter(self._ask(*(request for requests in tries.values() for request in requests)))
        found = {key: [next(replies) for _ in requests] for key, requests in tries.items()}
        times = dict(zip(_TIMES, map(_read_time, found["set"], found["seen"]), strict=True))
        names = _read_names(found["names"])
        return Observation(
            odd=_pair(_ODD, times[_ODD]),
            even=_pair(_EVEN, times[_EVEN]),
            far={seconds: times[seconds] for seconds in _FAR},
            names=names,
            lengths=frozenset(length for length in LENGTHS if "n" * length in names),
            folds_case=_is_there(found["folds"][0]),
            folds_unicode=_is_there(found["folds"][1]),
            shown=_read_names(found["shown"]),
            replaces=_is_done(found["renamed"][0]),
            has_symlinks=_is_done(found["symlinks"][0]),
            has_hard_links=any(map(_is_done, found["links"])),
        )

    def _ask(self, *requests: Request) -> list[Reply]:
        return self._session.ask(*requests, check=self._check)

    def _close(self, handle: bytes) -> Request:
        return make_handle(PacketType.CLOSE, handle, self._path)

    def _rename(self) -> Request:
        way = POSIX_RENAME if POSIX_RENAME in self._session.extensions else ""
        return make_two_paths(way, f"{self._path}/new", f"{self._path}/old")

    def _link(self) -> list[Request]:
        if HARD_LINK not in self._session.extensions:
            return []
        return [make_two_paths(HARD_LINK, f"{self._path}/old", f"{self._path}/link")]

    def _list(self, handle: bytes | None) -> list[Request]:
        if not handle:
            return []
        return [*[make_handle(PacketType.READDIR, handle, self._path)] * 3, self._close(handle)]

    def _iter_removals(self) -> Iterator[Request]:
        """Remove what may be there, whether it was made or not."""
        for name in (*_FILES, "link", "s1", "s2"):
            yield make_path(PacketType.REMOVE, f"{self._path}/{name}")
        for name in _NAMES:
            yield make_path(PacketType.RMDIR, f"{self._names}/{name}")
        for name in (CASE_MADE, UNICODE_MADE):
            yield make_path(PacketType.RMDIR, f"{self._folding}/{name}")
        for path in (self._names, self._folding, self._path):
            yield make_path(PacketType.RMDIR, path)


def _make_symlink(one: str, other: str) -> Request:
    """Make the request for a symlink. Servers disagree which of the two paths is the link; either will do here."""
    return Request(PacketType.SYMLINK, pack_text(one) + pack_text(other), one)


def _make_time(path: str, seconds: int) -> Request:
    body = pack_text(path) + struct.pack(">III", HAS_TIMES, seconds, seconds)
    return Request(PacketType.SETSTAT, body, path)


def _is_done(reply: Reply) -> bool:
    try:
        check_status(reply)
    except (SftpError, WireError):
        return False
    return True


def _is_there(reply: Reply) -> bool:
    try:
        parse_attributes(reply)
    except (SftpError, WireError):
        return False
    return True


def _read_handle(reply: Reply) -> bytes | None:
    try:
        return parse_handle(reply)
    except (SftpError, WireError):
        return None


def _read_time(was_set: Reply, seen: Reply) -> int | None:
    try:
        check_status(was_set)
        found = parse_attributes(seen).mtime
    except (SftpError, WireError):
        return None
    return None if found is None else found * SECOND_NS


def _read_names(replies: Sequence[Reply]) -> frozenset[str]:
    names: set[str] = set()
    for reply in replies:
        try:
            names.update(name for name, _ in parse_names(reply) or [])
        except (SftpError, WireError):
            continue
    return frozenset(names)


def _pair(seconds: int, found_ns: int | None) -> tuple[int, int] | None:
    return None if found_ns is None else (seconds * SECOND_NS, found_ns)
