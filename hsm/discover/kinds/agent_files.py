"""Names that W&B's agents give to runs: `<wandb folder>/sweep-<name>/config-<run id>.yaml`, or `.json`. Pure.

An agent writes the file before the run begins (wandb's `wandb/agents/pyagent.py` and `wandb/wandb_agent.py`). Up to
wandb 0.15.0 it is all that says so, since the run record's sweep id stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hsm.discover.membership import Candidate
from hsm.discover.sweeps import WANDB_NAMES
from hsm.endpoint import Listing
from hsm.model import EntryKind

AGENTS_PREFIX = "sweep-"
"""Beginning of the name of an agents' folder, before that of its W&B sweep."""

_FOLDER = re.compile(rf"{AGENTS_PREFIX}(.+)", re.DOTALL)
_FILE = re.compile(r"config-(.+)\.(?:yaml|json)", re.DOTALL)

AgentNames = Mapping[str, frozenset[str]]
"""The names of W&B sweeps, by the id of a run."""


def read_agent_names(listings: Iterable[Listing]) -> AgentNames:
    """Read the names of the files that agents left in wandb folders.

    Args:
        listings: Of wandb folders, two levels deep or more.
    """
    found: dict[str, set[str]] = {}
    for listing in listings:
        for entry in listing.entries:
            *above, folder, file = ("", *entry.path.split("/"))
            if entry.kind is not EntryKind.FILE or not _is_wandb_folder(above):
                continue
            sweep, run = _FOLDER.fullmatch(folder), _FILE.fullmatch(file)
            if sweep is not None and run is not None:
                found.setdefault(run[1], set()).add(sweep[1])
    return {run: frozenset(names) for run, names in found.items()}


def find_agent_names(candidate: Candidate, names: AgentNames) -> frozenset[str]:
    """Find the names that agents gave to a run."""
    return names.get(candidate.run_id, frozenset()) if names else frozenset()


def _is_wandb_folder(above: list[str]) -> bool:
    """Tell whether what lies above is the wandb folder itself, or a wandb folder in it."""
    return WANDB_NAMES.issuperset(above[1:])
