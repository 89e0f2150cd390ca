"""The last step of a file over SFTP: from a temporary name to its own, after a look at what is there."""

from __future__ import annotations

from collections.abc import Generator

from hsm.model import EntryKind, SourceFile
from hsm.remote.guard import REPLACED_SUFFIX
from hsm.remote.sftp.listing import NANOSECONDS, get_kind, join
from hsm.remote.sftp.replies import check_status, parse_attributes, parse_status
from hsm.remote.sftp.session import RequestBatch
from hsm.remote.sftp.wire import POSIX_RENAME, Code, PacketType, Reply, SftpError, make_mkdir, make_path, make_two_paths
from hsm.transfer.disk.landing import StrangerError
from hsm.transfer.sftp.batch import BatchJob, Talk
from hsm.transfer.sftp.diagnosis import BlockedError
from hsm.transfer.sftp.remote_files import read_attributes


def give_remote_name(job: BatchJob, place: str, file: SourceFile) -> Talk:
    """Rename a file that is whole to its name.

    Args:
        job: The batch that it belongs to.
        place: Where it lies.
        file: Its source.

    Raises:
        StrangerError: The name is taken by what must not be replaced.
        BlockedError: Something on the way there is no folder.
        SftpError: The server refuses; what had the name has it still.
    """
    yield from _look(job, file)
    yield from _rename(job, place, join(job.root, file.path))


def _look(job: BatchJob, file: SourceFile) -> Talk:
    """Look at the file's name and at the folders above it."""
    parts = file.path.split("/")
    folders = [join(job.root, "/".join(parts[:count])) for count in range(1, len(parts))]
    final = join(job.root, file.path)
    *above, last = yield RequestBatch([make_path(PacketType.LSTAT, path) for path in (*folders, final)])
    for folder, reply in zip(folders, above, strict=True):
        found = read_attributes(reply)
        if found is not None and get_kind(found) is not EntryKind.FOLDER:
            raise BlockedError(folder)
    try:
        there = parse_attributes(last)
    except SftpError as error:
        if error.code != Code.NO_SUCH_FILE:  # what cannot be seen must not be replaced
            raise
        return
    mtime_ns = (there.mtime or 0) * NANOSECONDS
    if get_kind(there) is not EntryKind.FILE or not job.batch.seen.may_replace(file, there.size or 0, mtime_ns):
        raise StrangerError


def _rename(job: BatchJob, place: str, final: str) -> Talk:
    """Rename over the final name: in one step where the server can, else what is there is moved aside first."""
    name = POSIX_RENAME if POSIX_RENAME in job.session.extensions else ""
    (first,) = yield RequestBatch([make_two_paths(name, place, final)])
    if name or parse_status(first)[0] in (Code.OK, Code.NO_SUCH_FILE):
        _check_rename(first, place)
        return
    aside = yield from _move_aside(job, final)
    if not aside:  # nothing was in the way, or it must not be moved
        check_status(first)
    (second,) = yield RequestBatch([make_two_paths("", place, final)])
    if parse_status(second)[0] != Code.OK:
        yield RequestBatch([make_two_paths("", aside, final)])
        check_status(second)
    yield RequestBatch([make_path(PacketType.REMOVE, aside)])


def _move_aside(job: BatchJob, final: str) -> Generator[RequestBatch, list[Reply], str]:
    """Move a file to where the next holder of the lock finds it; its path there, empty where it cannot be moved."""
    base = f"{job.temporary}{REPLACED_SUFFIX}"
    aside = f"{base}{final.removeprefix(job.root)}"
    names = aside.removeprefix(base).split("/")[1:-1]
    folders = [base, *(f"{base}/{'/'.join(names[:count])}" for count in range(1, len(names) + 1))]
    yield RequestBatch([make_mkdir(folder) for folder in folders])
    (reply,) = yield RequestBatch([make_two_paths("", final, aside)])
    return aside if parse_status(reply)[0] == Code.OK else ""


def _check_rename(reply: Reply, place: str) -> None:
    """Check a rename; the folders of the new name have just been seen, so what is missing is the file itself."""
    code, text = parse_status(reply)
    if code != Code.OK:
        raise SftpError(code, text, place if code == Code.NO_SUCH_FILE else reply.path)
