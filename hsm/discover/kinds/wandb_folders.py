"""Wandb folders of a project: searched for, remembered for ten minutes, or named by the configuration.

What is remembered saves the search and decides nothing else: it may be missing, damaged or unwritable at any time. A
folder that vanished since is listed as any that is not there; one that came is found by the next search.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from hsm.endpoint import CutReason, CutSearch, FolderSearch, FoundFolders, SearchBounds
from hsm.files import USELESS_ERRORS, load_json, save_json
from hsm.model import Problem

SCHEMA = 1
SEARCH_CUT = "search_cut"
REMEMBERED_SECONDS = 600
_MOST_NAMES = 5


def recall_folders(cache: Path, search: FolderSearch) -> FoundFolders | None:
    """Read what the same search found less than ten minutes ago by this machine's clock; None for nothing."""
    try:
        document: dict[str, Any] | None = load_json(cache, schema=SCHEMA)
        if document is None or document["search"] != _make_key(search):
            return None
        age_ns = time.time_ns() - int(document["time_ns"])
        if not 0 <= age_ns < REMEMBERED_SECONDS * 10**9:  # negative where the clock was set back
            return None
        cut = tuple(CutSearch(_parse_path(path), CutReason(reason)) for path, reason in document["cut"])
        wandb, multiruns, jobs = (tuple(map(_parse_path, document[name])) for name in ("wandb", "multiruns", "jobs"))
        return FoundFolders(str(document["base"]), wandb, multiruns, jobs, cut)
    except USELESS_ERRORS:
        return None


def remember_folders(cache: Path, search: FolderSearch, found: FoundFolders) -> None:
    """Remember what a search found; where that cannot be written, the next call searches again."""
    document = {
        "search": _make_key(search),
        "time_ns": time.time_ns(),
        "base": found.base,
        "wandb": found.wandb,
        "multiruns": found.multiruns,
        "jobs": found.jobs,
        "cut": found.cut,
    }
    with contextlib.suppress(OSError):
        save_json(cache, document, schema=SCHEMA)


def name_folders(found: FoundFolders, named: Sequence[str]) -> FoundFolders:
    """Put the wandb folders that the configuration names in place of those that were found. Pure.

    What the search had to leave is no longer worth a word then: the user has said where runs lie.

    Args:
        found: By the search.
        named: `source.wandb_folders`; nothing where it is not set.
    """
    if not named:
        return found
    below = f"{found.base.rstrip('/')}/"
    return replace(found, wandb=tuple(sorted({name.removeprefix(below) for name in named})), cut=())


def list_search_notes(found: FoundFolders, *, bounds: SearchBounds) -> tuple[Problem, ...]:
    """Make the one note that names what a search left, if it left anything. Pure."""
    if not found.cut:
        return ()
    words = {
        CutReason.ENTRIES: f"more than {bounds.n_entries:,} entries",
        CutReason.FOLDERS: f"the search ended before it, after {bounds.n_folders:,} folders",
        CutReason.TIME: f"the search ended there, after {bounds.seconds:g} seconds",
        CutReason.UNREADABLE: CutReason.UNREADABLE.value,
    }
    names = [f"{cut.path or 'the project itself'} ({words[cut.reason]})" for cut in found.cut[:_MOST_NAMES]]
    more = f" and {len(found.cut) - _MOST_NAMES} more" if len(found.cut) > _MOST_NAMES else ""
    message = f"Not searched for wandb folders to the end: {', '.join(names)}{more}."
    hint = "If runs lie there, name all wandb folders in `source.wandb_folders`."
    return (Problem(found.cut[0].path, SEARCH_CUT, message, hint, is_failure=False),)


def _make_key(search: FolderSearch) -> list[object]:
    return [search.base, sorted(search.left), list(astuple(search.bounds))]


def _parse_path(path: object) -> str:
    """Check a remembered path: who may write the file must not lead the next call out of the project."""
    if not isinstance(path, str) or path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise ValueError("a path that no search finds")
    return path
