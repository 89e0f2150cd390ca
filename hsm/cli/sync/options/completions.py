"""Words that the shell offers for arguments and options of `hsm sync`; none where anything is wrong."""

from __future__ import annotations

import os
from itertools import islice

from hsm.cli.sync.options.project import load_current_config
from hsm.errors import HsmError

_MOST_ENTRIES = 2_000
"""Of a folder that is completed: one of data may hold any number."""


def complete_sweep(incomplete: str) -> list[str]:
    """List the sweeps here that begin with what was typed, and `latest`; with a `/` in it, folders.

    Those that are folders are looked for, the others are as the caches have them: nothing is searched, no log is read.
    """
    from hsm.remote.local import LocalEndpoint
    from hsm.sync.places import list_known_words

    if "/" in incomplete:
        return _list_folders(incomplete)
    try:
        known = list_known_words(load_current_config(), LocalEndpoint())
    except HsmError:
        return []
    return [name for name in dict.fromkeys(("latest", *known)) if name.startswith(incomplete)]


def _list_folders(incomplete: str) -> list[str]:
    """List the folders that a path may go on to; hidden ones only where that is typed."""
    above, _, start = incomplete.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(f"{above}/")) as entries:  # noqa: PTH111 - as it was typed
            names = [entry.name for entry in islice(entries, _MOST_ENTRIES) if entry.is_dir()]
    except OSError:
        return []
    return [f"{above}/{name}" for name in sorted(names) if name.startswith(start) and (start or name[0] != ".")]


def complete_target(incomplete: str) -> list[str]:
    """List the configured targets that begin with what was typed."""
    try:
        targets = load_current_config().config.sync_targets
    except HsmError:
        return []
    return [name for name in targets if name.startswith(incomplete)]


def complete_state(incomplete: str) -> list[str]:
    """List the states of runs that begin with what was typed."""
    from hsm.model import RunState

    return [word for word in (*(state.value for state in RunState), "all") if word.startswith(incomplete)]
