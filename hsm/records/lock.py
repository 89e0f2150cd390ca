"""Locks: one process at a time syncs a sweep with a target.

Here a lock file of `filelock`, which needs no lock server (NFS, Lustre) and takes over from a dead process of this
host. At the target a file made exclusively; this module says what it holds and when it is stale.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.errors import LockedError, TargetError
from hsm.file_errors import explain_os_error
from hsm.files import PRIVATE_FILE_MODE, make_private_folder

if TYPE_CHECKING:
    from filelock import SoftFileLock

_MOST_PID = 2**31
_MOST_LOCK_BYTES = 1024
_N_TRIES = 3
STALE_MINUTES = 15
"""A lock of another host is stale when neither it nor HSM's temporary files at the target are younger.

Ages there are told by the target's own clock: the clocks of two machines are never compared.
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock at a target.

    Attributes:
        nonce: Random, one per lock.
        source_id: Of the project that it works for.
        host: Name of the machine that the process runs on.
        pid: Its number.
        since: By that machine's clock, ISO 8601 in UTC.
        machine: Tells machines, and containers, of one name apart; empty where nothing does.
    """

    nonce: str
    source_id: str
    host: str
    pid: int
    since: str
    machine: str = ""


def make_nonce() -> str:
    """Make the random word of a new lock."""
    return secrets.token_hex(8)


def make_holder(source_id: str, since: str, *, nonce: str = "") -> Holder:
    """Make this process the holder of a new lock."""
    return Holder(nonce or make_nonce(), source_id, socket.gethostname(), os.getpid(), since, _read_machine())


def make_lock_content(holder: Holder) -> bytes:
    """Make the content of a lock file."""
    return json.dumps(asdict(holder)).encode("ascii") + b"\n"


def parse_holder(content: bytes) -> Holder | None:
    """Read a lock file's content; None for a damaged one, which HSM did not write: it writes them in one step."""
    try:
        found = Holder(**json.loads(content))
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (found.nonce, found.source_id, found.host, found.since, found.machine)
    is_right = type(found.pid) is int and 0 < found.pid < _MOST_PID and all(type(text) is str for text in texts)
    return found if is_right else None


# Nonces of locks that this process could not give back, since the destination was out of reach.
_abandoned: set[str] = set()


def abandon(nonce: str) -> None:
    """Remember a lock that could not be given back, so that a later call in this process takes it over."""
    _abandoned.add(nonce)


def is_dead_here(holder: Holder) -> bool:
    """Tell whether the holder was a process of this machine that has ended, or this one, which gave the lock up."""
    if holder.nonce in _abandoned:
        return True
    if (holder.host, holder.machine) != (socket.gethostname(), _read_machine()):
        return False
    try:
        os.kill(holder.pid, 0)  # signal 0 only asks whether there is such a process, see kill(2)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, as another user
        return False
    return False


def _read_machine() -> str:
    """Make a word for this machine and, in a container, for its process numbers: machine-id(5), namespaces(7)."""
    # Containers of one image share the machine's id and often its name, but not the namespace of process numbers.
    known = b""
    with contextlib.suppress(OSError):
        known += Path("/etc/machine-id").read_bytes()
    with contextlib.suppress(OSError):
        known += str(Path("/proc/self/ns/pid").stat().st_ino).encode()
    return hashlib.sha256(b"hsm" + known).hexdigest()[:16] if known else ""


def make_locked_error(holder: Holder | None, *, sweep: str, target: str) -> LockedError:
    """Make the error that names the holder of a target's lock."""
    who = f"process {holder.pid} on {holder.host} since {holder.since}" if holder else "somebody unknown"
    return LockedError(
        f"{sweep} is being brought to {target} already: the lock there is held by {who}.",
        hint=f"Wait for it. If it is certain that it is dead: `--break-lock`; after {STALE_MINUTES} minutes without "
        "a sign of life it is taken over by itself.",
        kind="locked",
    )


@contextlib.contextmanager
def hold_local_lock(path: Path, *, sweep: str, target: str, breaks: bool) -> Iterator[None]:
    """Hold the lock of this side while inside.

    Args:
        path: The lock file; missing parents are made.
        sweep: For the message.
        target: For the message.
        breaks: Take it from any holder (`--break-lock`).

    Raises:
        LockedError: Another process holds it.
    """
    from filelock import SoftFileLock, Timeout  # noqa: PLC0415 - not needed for a dry run

    # Soft: a file made exclusively, since flock does nothing, or only within a machine, on some NFS and Lustre.
    lock = SoftFileLock(path, timeout=0, mode=PRIVATE_FILE_MODE)
    try:
        make_private_folder(path.parent)
        if breaks or _is_abandoned(path):
            path.unlink(missing_ok=True)
        _acquire(lock, path)
    except OSError as error:
        if isinstance(error, Timeout):  # an OSError too
            raise LockedError(
                f"{sweep} is being brought to {target} already by {_describe_local_holder(path)}.",
                hint="Wait for it. If it is certain that it is dead: `--break-lock`.",
                kind="locked",
            ) from error
        reason, hint = explain_os_error(error, path)
        raise TargetError(f"The lock {path} cannot be made: {reason}.", hint=hint, kind="journal_unwritable") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: SoftFileLock, path: Path) -> None:
    """Take the lock; one of a dead process is removed and taken."""
    for _ in range(_N_TRIES):
        try:
            lock.acquire()
        except TimeoutError:
            # filelock before 4.2.4 (Python 3.10 has no newer one than 4.1) removes a dead process's lock, and says that
            # it is held.
            if os.path.lexists(path):
                raise
        else:
            return
    lock.acquire()


def _is_abandoned(path: Path) -> bool:
    """Tell whether a lock file is old and empty: its maker died before it wrote its name.

    `filelock` takes over only what names a process that it can look for.
    """
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_size == 0 and time.time() - status.st_mtime > STALE_MINUTES * 60


def _describe_local_holder(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
        with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
            words = file.read(_MOST_LOCK_BYTES).decode("utf-8", "replace").split()
            moment = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, timezone.utc)
        since = f" since {moment.isoformat(timespec='seconds')}"
    except (OSError, ValueError, OverflowError):
        words, since = [], ""
    if len(words) < 2:
        return "another process"
    return f"process {words[0]} on {words[1]}{since}"
