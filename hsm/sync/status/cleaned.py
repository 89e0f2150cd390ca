"""What was removed here of a sweep, for `hsm sync status`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from hsm.records.cleaned import find_cleaned
from hsm.records.record import SWEEP_FOLDER
from hsm.sync.status.report import CleanedStatus


def read_cleaned(project: Path, sweep: str) -> CleanedStatus | None:
    """Sum up what `hsm sync clean` removed of a sweep and what has not come back; None where there is nothing.

    Raises:
        ConfigError: A record cannot be read.
    """
    units = find_cleaned(project, sweep)
    if not units:
        return None
    return CleanedStatus(
        runs=tuple(sorted(name for name in units if name)),
        sweep_folder=SWEEP_FOLDER in units,
        n_files=sum(len(unit.files) for unit in units.values()),
        n_bytes=sum(unit.n_bytes for unit in units.values()),
        copies=dict(sorted(Counter(target for unit in units.values() for target in unit.copies).items())),
        left=tuple(unit.aside_path for unit in units.values() if os.path.lexists(unit.aside_path)),
    )
