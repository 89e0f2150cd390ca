"""Words as hints spell them, so that they mean what is meant. Pure but for where symlinks lead."""

from __future__ import annotations

import os
from collections.abc import Iterable

from hsm.discover.sweeps import WANDB_NAMES, Layout
from hsm.sweep_folder import LOOSE

LOOSE_WORD = "loose"


def spell_loose(folders: Iterable[str]) -> str:
    """Spell the loose runs so that their word is not taken for the beginning of a folder sweep.

    Args:
        folders: Ids of the folder sweeps.
    """
    return LOOSE if any(sweep.startswith(LOOSE_WORD) for sweep in folders) else LOOSE_WORD


def list_wandb_folders(layout: Layout) -> set[str]:
    """List the real paths of all wandb folders."""
    return {os.path.realpath(folder) for folder in (layout.wandb, *layout.shared, *layout.inner)}


def find_wandb_below(layout: Layout, working_folder: str, word: str) -> str:
    """Find the wandb folder directly in a folder that a word names, as it is typed; empty where there is none.

    Args:
        layout: Of the project.
        working_folder: From which paths count; empty where the project lies at a target.
        word: As typed.
    """
    path = os.path.join(working_folder, word)  # noqa: PTH118 - as the bytes are
    known = list_wandb_folders(layout) if working_folder and word else set()
    found = (name for name in sorted(WANDB_NAMES, reverse=True) if os.path.realpath(f"{path}/{name}") in known)
    return next((f"{word.rstrip('/')}/{name}" for name in found), "")
