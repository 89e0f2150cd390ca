"""Words that the shell offers for arguments and options of `hsm sync`; none where anything is wrong."""

from __future__ import annotations

from hsm.cli.sync.options.project import load_current_config
from hsm.errors import HsmError


def complete_sweep(incomplete: str) -> list[str]:
    """List the sweeps here that begin with what was typed, and `latest`."""
    from hsm.discover.sweeps import list_sweeps
    from hsm.remote.local import LocalEndpoint
    from hsm.sync.places import make_layout

    try:
        known = list_sweeps(LocalEndpoint(), make_layout(load_current_config()))
    except HsmError:
        return []
    return [name for name in ("latest", *(sweep.id for sweep in known)) if name.startswith(incomplete)]


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
