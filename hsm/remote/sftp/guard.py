"""The guard of a destination where no command runs: SFTP alone.

What one program of `hsm.remote.shell_programs.guard` does in one round trip takes several here. Each step leaves the
same behind as that program when it is cut at this place: the lock is a hard link of a file that was written first, or
a file that is made exclusively where there are no hard links; the receipt is written beside its place, flushed to the
disk and renamed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from hsm.errors import HsmError
from hsm.model import EntryKind
from hsm.remote.cksum import make_checksum
from hsm.remote.guard import (
    REPLACED_SUFFIX,
    GuardPlaces,
    LockHeld,
    LockTaken,
    ReplacedFile,
    UnseenReplaced,
    get_replaced_folder,
    make_unwritable_error,
)
from hsm.remote.sftp.files import SftpFiles
from hsm.remote.sftp.probe import probe_by_sftp
from hsm.remote.sftp.session import SftpSession, SftpSessions
from hsm.remote.sftp.wire import SftpError

_OWN_PREFIXES = ("lock.", "old.", "new.")
_PARTS = ".hsm-partial"
_NONCE = re.compile(rf"[0-9a-z]+{re.escape(REPLACED_SUFFIX)}")
_Answer = TypeVar("_Answer")


class _CannotError(Exception):
    """A file or folder of HSM's own cannot be made there; its text says which."""


class SftpGuard:
    """Implements `hsm.remote.guard.Guard` over SFTP; ages are told by the clock of the disk that holds the lock.

    Args:
        sessions: To the destination.
        places: Of HSM's own files.
        nonce: This process's, as in the lock's content.
    """

    def __init__(self, sessions: SftpSessions, places: GuardPlaces, nonce: str) -> None:
        self._sessions = sessions
        self._places = places
        self.nonce = nonce

    def take(
        self,
        content: bytes,
        *,
        minutes: int,
        stale: str | None = None,
        breaks: bool = False,
        measures: Sequence[str] = (),
    ) -> LockTaken | LockHeld:
        """See `hsm.remote.guard.Guard.take`."""

        def take(work: _Work) -> LockTaken | LockHeld:
            return work.take(content, minutes=minutes, stale=stale, breaks=breaks)

        answer = self._do(take)
        if isinstance(answer, LockTaken) and measures:
            # Whatever is wrong, the lock is ours and has to be given back; what follows will hear of it again.
            with contextlib.suppress(HsmError):
                return replace(answer, file_systems=probe_by_sftp(self._sessions, measures))
        return answer

    def release(
        self,
        receipt: tuple[str, bytes] | None,
        *,
        keeps_damaged: bool = False,
        drops: Collection[str] = (),
        has_looked: bool = False,
        expected: Collection[ReplacedFile] = (),  # noqa: ARG002 - only rsync keeps files, and needs a shell
    ) -> LockTaken | UnseenReplaced | None:
        """See `hsm.remote.guard.Guard.release`."""
        return self._do(lambda work: work.release(receipt, keeps_damaged, drops, has_looked))

    def is_held(self) -> bool:
        """See `hsm.remote.guard.Guard.is_held`."""
        return self._do(lambda work: work.is_mine())

    def put_back(self, moves: Sequence[tuple[str, str]]) -> frozenset[str]:
        """See `hsm.remote.guard.Guard.put_back`."""
        return self._do(lambda work: work.put_back(moves))

    def tidy(self) -> bool:
        """See `hsm.remote.guard.Guard.tidy`."""
        return self._do(lambda work: work.tidy())

    def _do(self, call: Callable[[_Work], _Answer]) -> _Answer:
        def work(session: SftpSession, check: Callable[[], None]) -> _Answer:
            return call(_Work(SftpFiles(session, check), self._places, self.nonce))

        try:
            return self._sessions.use_sftp(work)
        except (SftpError, _CannotError) as error:
            raise make_unwritable_error(self._sessions.name, str(error), detail=str(error)) from error


class _Work:
    """The steps of one call, over one session."""

    def __init__(self, files: SftpFiles, places: GuardPlaces, nonce: str) -> None:
        self._files = files
        self._folder = places.folder.rstrip("/")
        self._temporary = places.temporary
        self._nonce = nonce
        self._lock = f"{self._folder}/lock"

    def is_mine(self) -> bool:
        """Tell whether the lock there holds our nonce."""
        content = self._files.read(self._lock)
        return content is not None and self._nonce.encode() in content

    def take(self, content: bytes, *, minutes: int, stale: str | None, breaks: bool) -> LockTaken | LockHeld:
        if self._files.get_kind(self._folder) is EntryKind.SYMLINK:
            raise _CannotError(f"{self._folder} is a symlink")
        own = f"{self._lock}.{self._nonce}"
        try:
            self._files.make_folders(self._folder)
            if self._files.get_kind(self._lock) not in (None, EntryKind.FILE):
                raise _CannotError(f"{self._lock} is no file")
            self._files.remove(own)  # of an earlier try of this call
            written_at = self._files.write(own, content)  # by the clock of the disk, which ages are told by
            if (breaks or stale) and self._files.read(self._lock) != content:
                self._move_aside(None if breaks else stale)
            if not self._claim(own, content):
                return self._describe_held(own, written_at, minutes)
            self._remove_left_overs()
            self._check_temporary()
            replaced = self._empty_temporary()
            for path in self._temporary:
                self._files.make_folders(f"{path}/{self._nonce}")
        except (SftpError, _CannotError):
            self._give_up(own)
            raise
        return LockTaken(self._files.read_receipts(self._folder), replaced)

    def put_back(self, moves: Sequence[tuple[str, str]]) -> frozenset[str]:
        done: set[str] = set()
        for old, final in moves if self.is_mine() else ():
            with contextlib.suppress(SftpError):
                folder = final.rpartition("/")[0]
                self._files.make_folders(folder)
                # The roots are real paths, so no symlink belongs on the way.
                parts = folder.strip("/").split("/")
                above = ["/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1)]
                is_real = all(self._files.get_kind(path) is EntryKind.FOLDER for path in above)
                if is_real and self._files.get_kind(final) in (None, EntryKind.FILE):
                    self._files.replace(old, final)
                    done.add(final)
        return frozenset(done)

    def tidy(self) -> bool:
        if not self.is_mine():
            return False
        with contextlib.suppress(SftpError, _CannotError):
            self._check_temporary()
            for path in self._temporary:
                self._files.remove_tree(f"{path}/{self._nonce}")
                self._files.make_folders(f"{path}/{self._nonce}")
        return True

    def release(
        self,
        receipt: tuple[str, bytes] | None,
        keeps_damaged: bool,
        drops: Collection[str],
        has_looked: bool,
    ) -> LockTaken | UnseenReplaced | None:
        failure: Exception | None = None
        is_lost = not self.is_mine()
        is_seen = has_looked or self._nonce in drops
        if not is_lost and receipt is not None and not is_seen and self._has_replaced():
            return UnseenReplaced()
        if is_lost:
            # Written by an earlier try whose answer was lost.
            is_lost = receipt is None or self._files.read(f"{self._folder}/{receipt[0]}") != receipt[1]
        elif receipt is not None:
            try:
                self._write_receipt(*receipt, keeps_damaged=keeps_damaged)
            except (SftpError, _CannotError) as error:
                failure = error
                self._files.remove(f"{self._folder}/new.{self._nonce}")
        receipts = self._files.read_receipts(self._folder)
        if self.is_mine():
            with contextlib.suppress(SftpError, _CannotError):
                self._check_temporary()
                self._remove_temporary(drops)
            self._files.remove(self._lock)
        self._files.remove_folder(self._folder)
        if failure is not None:
            raise failure
        return None if is_lost else LockTaken(receipts)

    def _empty_temporary(self) -> frozenset[str]:
        """Empty the temporary folders but for replaced files; the nonces of those that replaced them."""
        replaced: set[str] = set()
        for path in self._temporary:
            names = self._files.list_names(path)
            old = {name for name in names if name.endswith(REPLACED_SUFFIX)}
            replaced |= {name.removesuffix(REPLACED_SUFFIX) for name in old if _NONCE.fullmatch(name)}
            if not old:
                self._files.remove_tree(path)
            for name in names if old else ():
                if name not in old:
                    self._files.remove_tree(f"{path}/{name}")
        return frozenset(replaced)

    def _has_replaced(self) -> bool:
        paths = (get_replaced_folder(path, self._nonce) for path in self._temporary)
        return any(self._files.get_kind(path) is EntryKind.FOLDER for path in paths)

    def _check_temporary(self) -> None:
        for path in self._temporary:
            for place in (path, path.rpartition("/")[0]):
                if self._files.get_kind(place) is EntryKind.SYMLINK:
                    raise _CannotError(f"{path} is or lies below a symlink")

    def _remove_temporary(self, drops: Collection[str]) -> None:
        for path in self._temporary:
            for nonce in drops:
                self._files.remove_tree(get_replaced_folder(path, nonce))
        self._empty_temporary()
        for path in self._temporary:
            self._files.remove_folder(path)
            self._files.remove_folder(path.rpartition("/")[0])

    def _claim(self, own: str, content: bytes) -> bool:
        """Give the lock its name, if that is free."""
        if self._files.has_links:  # fails where the name is taken, also on NFS
            with contextlib.suppress(SftpError):
                self._files.link(own, self._lock)
                return True
        if self._files.read(self._lock) == content:  # taken by an earlier try whose answer was lost
            return True
        if self._files.get_kind(self._lock) is None:
            with contextlib.suppress(SftpError):
                self._files.write(self._lock, content)
                return True
        return False

    def _move_aside(self, stale: str | None) -> None:
        """Take a lock away, if it is the one that was seen; else it is put back."""
        aside = f"{self._folder}/old.{self._nonce}"
        try:
            self._files.rename(self._lock, aside)
        except SftpError:
            return
        found = self._files.read(aside)
        # Another process has taken it over meanwhile: two that found the same stale lock would else both win.
        if stale is not None and (found is None or make_checksum(found) != stale) and self._files.has_links:
            with contextlib.suppress(SftpError):
                self._files.link(aside, self._lock)
        self._files.remove(aside)

    def _describe_held(self, own: str, now: int, minutes: int) -> LockHeld:
        content = self._files.read(self._lock) or b""
        limit = now - minutes * 60
        is_fresh = self._files.get_mtime(self._lock, default=now) > limit or self._has_fresh(limit)
        self._files.remove(own)
        return LockHeld(content, make_checksum(content), is_fresh)

    def _has_fresh(self, limit: int) -> bool:
        roots = {path.rpartition("/")[0].rpartition("/")[0] for path in self._temporary}
        own = [f"{path}/{name}" for path in self._temporary for name in self._files.list_names(path)]
        if any(self._files.get_mtime(path, default=0) > limit for path in (*self._temporary, *own)):
            return True
        below = (each for path in self._temporary for each in self._files.iter_times(path))
        if any(mtime > limit for path, mtime in below if "/probe/" not in path):  # it gives files times to come
            return True
        # An engine continues a part where it lies, so that one is a sign of life as well.
        found = (each for root in roots for each in self._files.iter_times(root))
        return any(mtime > limit for path, mtime in found if f"/{_PARTS}/" in path)

    def _remove_left_overs(self) -> None:
        names = [name for name in self._files.list_names(self._folder) if name.startswith(_OWN_PREFIXES)]
        self._files.remove(*(f"{self._folder}/{name}" for name in names))

    def _give_up(self, own: str) -> None:
        self._files.remove(own)
        if self.is_mine():
            for path in self._temporary:
                for folder in (f"{path}/{self._nonce}", path, path.rpartition("/")[0]):
                    self._files.remove_folder(folder)
            self._files.remove(self._lock)
        self._files.remove_folder(self._folder)

    def _write_receipt(self, name: str, content: bytes, *, keeps_damaged: bool) -> None:
        fresh, final = f"{self._folder}/new.{self._nonce}", f"{self._folder}/{name}"
        self._files.remove(fresh)
        self._files.write(fresh, content, syncs=True)
        damaged = f"{final}.damaged"
        if keeps_damaged and self._files.get_kind(damaged) is not EntryKind.FOLDER:
            with contextlib.suppress(SftpError):
                self._files.replace(final, damaged)
        if self._files.get_kind(final, follow=True) is EntryKind.FOLDER:
            raise _CannotError(f"{final} is a folder")
        self._files.replace(fresh, final)
