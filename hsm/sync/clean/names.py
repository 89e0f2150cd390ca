"""Names in a unit that stand for no result: wandb's own links and folders, and HSM's own files. Pure."""

from __future__ import annotations

from hsm.discover.results import WANDB_LINKS, is_own
from hsm.sweep_folder import RECEIPT_FOLDER

# Folders that wandb makes in every run and may leave empty.
_RUN_FOLDERS = frozenset({"files", "logs", "tmp", "tmp/code"})

_WANDB_NAMES = frozenset({"wandb", ".wandb"})

# Hydra's launcher makes it beside the jobs' folders: submitit puts in the job's number later (submitit launcher 1.2).
_SUBMITIT_FOLDER = ".submitit/%j"


def is_hsm_path(path: str) -> bool:
    """Tell whether a path is HSM's own, at any level."""
    return is_own(path.split("/"))


def is_receipt(path: str, *, is_folder: bool) -> bool:
    """Tell whether a path is a receipt of what was received here, which goes with the sweep's folder.

    Args:
        path: Relative to the unit.
        is_folder: The unit is the sweep's folder; in a run such a name is a file like any other.
    """
    folder, _, name = path.rpartition("/")
    is_named = name.startswith("receipt-") and name.endswith((".json", ".json.damaged"))
    return is_folder and folder == RECEIPT_FOLDER and is_named


def is_needless_folder(path: str, *, is_run: bool) -> bool:
    """Tell whether an empty folder is one that a tool makes and may leave empty, so that nothing of it can be missing.

    Args:
        path: Relative to the unit.
        is_run: The unit is a run.
    """
    if is_run:
        return path in _RUN_FOLDERS
    return path.rpartition("/")[2] in _WANDB_NAMES or f"/{path}".endswith(f"/{_SUBMITIT_FOLDER}")


def is_needless_link(path: str, *, is_run: bool) -> bool:
    """Tell whether wandb made a symlink itself: to a log of this machine, or beside its runs to the last of them.

    Args:
        path: Relative to the unit.
        is_run: The unit is a run.
    """
    folder, _, name = path.rpartition("/")
    if is_run:
        return folder == "logs" and name.startswith("debug") and name.endswith(".log")
    return folder.rpartition("/")[2] in _WANDB_NAMES and name in WANDB_LINKS
