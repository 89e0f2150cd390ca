"""Reader and writer of HSM's own files: JSON with a schema number, replaced in one step, readable by the user alone.

State lies beside the project, often on Lustre, GPFS or NFS, where SQLite's locks cannot be trusted; a rename
within a folder is atomic on all of them.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from pathlib import Path

from hsm._version import __version__

PRIVATE_FILE_MODE = 0o600
PRIVATE_FOLDER_MODE = 0o700

MOST_BYTES = 512 * 1024**2
"""Of a file: the origins of three million files. A longer one is no work of HSM's, and fills the memory."""


class DamagedFileError(Exception):
    """A file of HSM's own cannot be understood: no JSON, or a schema that this version does not know."""


class NewerFileError(DamagedFileError):
    """A newer version of HSM wrote the file: nothing is wrong with it, but this version must leave it alone."""


USELESS_ERRORS = (
    AttributeError,
    DamagedFileError,
    KeyError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""Errors that reading a record may raise which only saves time: without it, HSM looks anew."""


def make_private_folder(folder: Path) -> None:
    """Make a folder of HSM's own and its missing parents, for the user alone; an existing one stays as it is.

    Raises:
        OSError: It could not be made.
    """
    if not folder.parent.exists():  # mkdir(parents=True) would leave the parents' mode to the umask
        make_private_folder(folder.parent)
    folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)


def save_json(path: Path, data: dict[str, object], *, schema: int) -> None:
    """Replace `path` by `data`, on disk before it takes the name, mode 0600; missing parents are made.

    A reader sees the old or the new file whole. A failure leaves the old one and nothing beside it.

    Args:
        path: The file.
        data: JSON values; text may hold surrogates (they are written as escapes).
        schema: The version of the layout; written as `schema`, beside HSM's own version as `hsm`.

    Raises:
        OSError: It could not be written.
    """
    make_private_folder(path.parent)
    header = {"schema": schema, "hsm": __version__}
    content = json.dumps({**header, **data, **header}, separators=(",", ":"))  # the header first, and never overridden
    beside = path.with_name(f".hsm-{secrets.token_hex(8)}")
    # Private from the first byte on, and no file or symlink that somebody else put there.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # after a crash the name may else lead to an empty file
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def load_json(path: Path, *, schema: int) -> dict[str, object] | None:
    """Load a file that `save_json` wrote.

    Returns:
        The data with `schema` and `hsm`, or None when there is no such file.

    Raises:
        NewerFileError: Its schema is newer than `schema`.
        DamagedFileError: It is no JSON object, or its schema is another one.
        OSError: It is there but cannot be read.
    """
    try:
        content = _read(path)
    except FileNotFoundError:
        return None
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:  # nested very deeply
        raise DamagedFileError(f"{path} is no valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise DamagedFileError(f"{path} holds no JSON object")
    found = data.get("schema")
    if isinstance(found, int) and found > schema:
        raise NewerFileError(f"{path} was written by HSM {data.get('hsm')} and has schema {found}, newer than {schema}")
    if found != schema:
        raise DamagedFileError(f"{path} has schema {found!r}, this version reads {schema}")
    return data


def _read(path: Path) -> bytes:
    """Read a regular file; opening a pipe would wait for its writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(code, "Is a folder" if stat.S_ISDIR(mode) else "Is no regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MOST_BYTES:
        raise DamagedFileError(f"{path} has more than {MOST_BYTES // 1024**2} MiB")
    return content
