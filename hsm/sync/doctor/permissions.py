"""Permissions at a destination, looked at by a dry run so that it refuses what the sync would refuse.

They are looked at, never tried by writing. Where no command may run (SFTP) nothing can be told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from hsm.discover.parts import cut_by_bytes
from hsm.endpoint import Endpoint
from hsm.errors import UnwritableError
from hsm.model import EntryKind, SyncPlan
from hsm.plan.destination import Destination
from hsm.remote.guard import make_unwritable_error
from hsm.remote.shell import RemoteShell, quote_path
from hsm.sync.doctor.folders import make_probe_program

# Of the paths that are looked at: the program is one argument of a shell (`hsm.remote.shell.MAX_PROGRAM_BYTES`).
_MOST_BYTES = 32 * 1024


def check_writable(
    endpoint: Endpoint, shell: RemoteShell | None, destination: Destination, plan: SyncPlan, *, own: str
) -> None:
    """Look whether files of a plan and HSM's own may be written; one session where the destination is remote.

    Args:
        endpoint: The destination.
        shell: Runs commands there; not needed for this machine.
        destination: What lies there.
        plan: What is to be sent.
        own: The folder there of HSM's own files.

    Raises:
        UnwritableError: A folder may not be written to, or not be made.
    """
    folders = [own, *(root.path for root in destination.values()), *_iter_folders(destination, plan)]
    wanted = next(cut_by_bytes(dict.fromkeys(folders), _count_bytes, most_bytes=_MOST_BYTES))
    found = _look_here(wanted) if not endpoint.is_remote else _look_there(shell, wanted) if shell is not None else []
    for path, nearest, is_folder, is_writable in found:
        if is_folder and not is_writable:
            raise _make_error(endpoint.name, path, nearest)


def _iter_folders(destination: Destination, plan: SyncPlan) -> Iterator[str]:
    """Yield the folders that are there and get a file, or a folder for one."""
    for file in plan.sends:
        root = destination[file.root]
        folder = file.path.rpartition("/")[0]
        while folder and (folder not in root.entries or root.entries[folder].kind is not EntryKind.FOLDER):
            folder = folder.rpartition("/")[0]
        yield f"{root.path}/{folder}".rstrip("/")


def _count_bytes(path: str) -> int:
    return len(os.fsencode(quote_path(path))) + len("probe \n")


def _look_here(folders: Sequence[str]) -> list[tuple[str, str, bool, bool]]:
    found = []
    for path in folders:
        nearest = path
        while nearest != "/" and not os.path.lexists(nearest):
            nearest = os.path.dirname(nearest)  # noqa: PTH120 - as the bytes are
        is_writable = os.access(nearest, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
        found.append((path, nearest, os.path.isdir(nearest), is_writable))  # noqa: PTH112 - as above
    return found


def _look_there(shell: RemoteShell, folders: Sequence[str]) -> list[tuple[str, str, bool, bool]]:
    fields = os.fsdecode(shell.run(make_probe_program(folders)).stdout).split("\0")
    answers = zip(folders, fields[::3], fields[1::3], fields[2::3], strict=False)  # what is cut says nothing
    return [(path, nearest, folder == "y", writable == "y") for path, nearest, folder, writable in answers]


def _make_error(name: str, path: str, nearest: str) -> UnwritableError:
    made = "" if path == nearest else f", so {path} cannot be made"
    return make_unwritable_error(name, f"no permission to write to {nearest}{made}", detail=path)
