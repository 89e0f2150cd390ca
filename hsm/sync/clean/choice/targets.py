"""Targets whose copies count for a clean."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hsm.config.loaded import LoadedConfig, resolve_for_sweep
from hsm.config.settings import TargetSettings
from hsm.errors import UsageError
from hsm.project_folder import ProjectFolder


def choose_counting_targets(loaded: LoadedConfig, sweep: str, names: Sequence[str]) -> dict[str, TargetSettings]:
    """Choose the targets that count: those asked for, or all to which the sweep was copied from here.

    Args:
        loaded: The configuration.
        sweep: The sweep's id.
        names: Those asked for.

    Raises:
        UsageError: There is none.
    """
    targets, folder = loaded.config.sync_targets, ProjectFolder(loaded.project)
    found = names or [name for name in targets if os.path.isfile(folder.journal(name, sweep))]  # noqa: PTH113
    if not found:
        raise UsageError(
            f"{sweep} was not brought to any target from here.",
            hint=f"Bring it to one first: `hsm sync to {sweep}`.",
            kind="never_synced",
        )
    return {name: resolve_for_sweep(loaded, name, sweep, targets[name]) for name in found}
