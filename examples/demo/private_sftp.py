"""A private SFTP server on 127.0.0.1, for the demo on a machine that has no sshd and may not get one.

It serves SFTP alone, over SSH, by paramiko: no commands, no terminal, no forwarding. It has its own host key and its
own user key, and keeps all of it in one folder. Clients see one folder as `/` and cannot leave it: names are looked
up below it one by one, and a symlink is never followed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import posixpath
import pwd
import socket
import stat
import threading
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import paramiko

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

HOST = "127.0.0.1"

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

_Server = TypeVar("_Server")
_Answer = TypeVar("_Answer")
_Arguments = ParamSpec("_Arguments")


class PrivateSftp:
    """One private SFTP server. A context manager: started on entry, stopped on exit.

    Attributes:
        folder: Where keys and known hosts lie.
        root: What clients see as `/`; made when missing.
        user: The account that clients log in to: who calls.
        identity_file: The private key that opens a session.
        known_hosts: A file with the host key, as `UserKnownHostsFile` wants it.
        port: The port that it listens on; 0 before the start.
    """

    host = HOST

    def __init__(self, folder: Path, *, root: Path) -> None:
        self.folder = folder.absolute()
        self.root = root.absolute()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.identity_file = self.folder / "user_key"
        self.known_hosts = self.folder / "known_hosts"
        self.port = 0
        self._n_logins = 0
        self._n_sessions = 0
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._transports: list[paramiko.Transport] = []
        self._lock = threading.Lock()

    def __enter__(self) -> PrivateSftp:
        logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else it prints that clients went away
        for folder in (self.folder, self.root):
            folder.mkdir(parents=True, exist_ok=True)
        self._host_key, self._user_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
        self._user_key.write_private_key_file(str(self.identity_file))
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self.known_hosts.write_text(f"[{HOST}]:{self.port} {self._host_key.get_name()} {self._host_key.get_base64()}\n")
        self._thread = threading.Thread(target=self._listen, args=(self._listener,), name="private-sftp", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for the next client
            self._listener.close()
        if self._thread is not None:
            self._thread.join()
        for transport in self._transports:
            transport.close()
            transport.join()

    def count_logins(self) -> int:
        """Count the logins over which something was asked for."""
        with self._lock:
            return self._n_logins

    def count_sessions(self) -> int:
        """Count the SFTP sessions that were opened over these logins."""
        with self._lock:
            return self._n_sessions

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = listener.accept()
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        """Let one client in; all further happens in the transport's own threads."""
        transport = paramiko.Transport(client)
        transport.add_server_key(self._host_key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, self.root)
        self._transports.append(transport)
        try:
            transport.start_server(event=threading.Event(), server=_Gate(self, self._user_key))
        except (paramiko.SSHException, EOFError, OSError):
            transport.close()

    def note_login(self) -> None:
        """Count one more login."""
        with self._lock:
            self._n_logins += 1

    def note_session(self) -> None:
        """Count one more session."""
        with self._lock:
            self._n_sessions += 1


class _Gate(paramiko.ServerInterface):
    """Lets in who holds the user key, and allows sessions, which may then ask for the subsystem `sftp` alone."""

    def __init__(self, server: PrivateSftp, key: paramiko.PKey) -> None:
        self.sftp = server
        self._key = key
        self._is_counted = False

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - paramiko's contract
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if username == self.sftp.user and key == self._key:
            return paramiko.AUTH_SUCCESSFUL
        return paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - as above
        if kind != "session":
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        if not self._is_counted:
            self._is_counted = True
            self.sftp.note_login()
        return paramiko.OPEN_SUCCEEDED


def _answering(
    step: Callable[Concatenate[_Server, _Arguments], _Answer],
) -> Callable[Concatenate[_Server, _Arguments], _Answer | int]:
    """Answer with SFTP's number for it where the system refuses."""

    @wraps(step)
    def answer(server: _Server, *args: _Arguments.args, **options: _Arguments.kwargs) -> _Answer | int:
        try:
            return step(server, *args, **options)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    return answer


class _Files(paramiko.SFTPServerInterface):
    """Files below one folder. Every name is opened below the folder before it, without following symlinks."""

    def __init__(self, server: _Gate, root: Path) -> None:
        super().__init__(server)
        server.sftp.note_session()
        self._root = root

    @contextlib.contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that a path lies in; with the path's last name, `.` for the root itself."""
        *folders, name = _split(path) or ["."]
        descriptor = os.open(self._root, _FOLDER_FLAGS)
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)

    def canonicalize(self, path: str) -> str:
        return "/" + "/".join(_split(path))

    @_answering
    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes]:
        with self._above(path) as (above, name):
            descriptor = os.open(name, _FOLDER_FLAGS, dir_fd=above)
            try:
                names = os.listdir(descriptor)  # noqa: PTH208 - an open folder has no path
                found = [(each, os.stat(each, dir_fd=descriptor, follow_symlinks=False)) for each in names]
            finally:
                os.close(descriptor)
        return [paramiko.SFTPAttributes.from_stat(status, each) for each, status in found]

    @_answering
    def lstat(self, path: str) -> paramiko.SFTPAttributes:
        with self._above(path) as (above, name):
            return paramiko.SFTPAttributes.from_stat(os.stat(name, dir_fd=above, follow_symlinks=False))

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        found = self.lstat(path)
        if isinstance(found, paramiko.SFTPAttributes) and stat.S_ISLNK(found.st_mode or 0):
            return paramiko.SFTP_PERMISSION_DENIED
        return found

    @_answering
    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle:
        mode = 0o666 if attr.st_mode is None else attr.st_mode & 0o777
        with self._above(path) as (above, name):
            return _File(os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode, dir_fd=above))

    @_answering
    def remove(self, path: str) -> int:
        with self._above(path) as (above, name):
            os.unlink(name, dir_fd=above)
        return paramiko.SFTP_OK

    @_answering
    def rename(self, oldpath: str, newpath: str) -> int:
        """Rename a file to a free name: version 3 of the protocol never replaces."""
        with self._above(oldpath) as (old, old_name), self._above(newpath) as (new, new_name):
            os.link(old_name, new_name, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)
            os.unlink(old_name, dir_fd=old)
        return paramiko.SFTP_OK

    @_answering
    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:  # noqa: ARG002 - as above
        with self._above(path) as (above, name):
            os.mkdir(name, dir_fd=above)
        return paramiko.SFTP_OK

    @_answering
    def rmdir(self, path: str) -> int:
        with self._above(path) as (above, name):
            os.rmdir(name, dir_fd=above)
        return paramiko.SFTP_OK


class _File(paramiko.SFTPHandle):
    """An open file."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    @_answering
    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    @_answering
    def write(self, offset: int, data: bytes) -> int:
        view = memoryview(data)
        while view:
            n_written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[n_written:], offset + n_written
        return paramiko.SFTP_OK

    @_answering
    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self._descriptor))

    @_answering
    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        """Set size, permissions and times; owners are refused."""
        if attr.st_uid is not None or attr.st_gid is not None:
            return paramiko.SFTP_PERMISSION_DENIED
        if attr.st_size is not None:
            os.ftruncate(self._descriptor, attr.st_size)
        if attr.st_mode is not None:
            os.fchmod(self._descriptor, attr.st_mode & 0o777)
        if attr.st_atime is not None and attr.st_mtime is not None:
            os.utime(self._descriptor, (attr.st_atime, attr.st_mtime))
        return paramiko.SFTP_OK


def _split(path: str) -> list[str]:
    """The names of a path; `..` never leads above the root."""
    return [name for name in posixpath.normpath(f"/{path}").split("/") if name]
