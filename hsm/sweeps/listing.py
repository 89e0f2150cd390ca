"""List of the sweeps of a project that `hsm sweep` prepared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import HsmError
from hsm.prepared_sweep.document import PreparedSweep, load_prepared
from hsm.prepared_sweep.folder import PreparedFolder


@dataclass(frozen=True, slots=True)
class ListedSweep:
    """A sweep in the list.

    Attributes:
        name: Its id.
        prepared: What it is; None where that cannot be read.
        is_submitted: An executor was given some of it.
        problem: Why it cannot be read; empty where it can.
    """

    name: str
    prepared: PreparedSweep | None
    is_submitted: bool = False
    problem: str = ""


def list_prepared(outputs: Path) -> list[ListedSweep]:
    """List the sweeps of a folder, the oldest first.

    Raises:
        OSError: The folder cannot be read; one that is missing holds none.
    """
    try:
        with os.scandir(outputs) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except FileNotFoundError:
        return []
    folders = [PreparedFolder(outputs / name) for name in names]
    found = [_read(folder) for folder in folders if os.path.lexists(folder.document)]
    return sorted(found, key=lambda sweep: (sweep.prepared.created if sweep.prepared else "", sweep.name))


def _read(folder: PreparedFolder) -> ListedSweep:
    name = folder.folder.name
    try:
        return ListedSweep(name, load_prepared(folder), is_submitted=folder.state.exists())
    except HsmError as error:
        return ListedSweep(name, None, problem=error.message)
