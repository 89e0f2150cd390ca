"""Direction of a project's syncs, as its records tell: so that a hint names the right one of two commands."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hsm.config.loaded import LoadedConfig
from hsm.project_folder import ProjectFolder
from hsm.sweep_folder import OUTPUTS
from hsm.sync.places import make_layout


def find_direction(loaded: LoadedConfig, targets: Sequence[str] = ()) -> str:
    """Find which way sweeps go: `to` targets, or `from` them. Asks nobody, and reads no file.

    Args:
        loaded: The configuration.
        targets: Those that are meant; none means all.
    """
    folder = ProjectFolder(loaded.project)
    names = targets or tuple(loaded.config.sync_targets)
    if any(folder.list_pulled(name) for name in names):
        return "from"
    if any(folder.list_journals(name) for name in names):
        return "to"
    layout = make_layout(loaded)
    places = (layout.wandb, f"{layout.sweeps}/{OUTPUTS}", f"{layout.project}/{OUTPUTS}", f"{layout.project}/multirun")
    return "to" if any(map(_has_entries, places)) else "from"


def _has_entries(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
