"""HSM, the HPC Sweep Manager: brings the results of hyper-parameter sweeps home.

For Python programs: `load_config`, `sync_to`, `sync_from`, and `HsmError`, which they raise. They are loaded when they
are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hsm._version import __version__

if TYPE_CHECKING:
    from hsm.api import load_config, sync_from, sync_to
    from hsm.errors import HsmError
    from hsm.sync.reports import SyncReport

__all__ = ["HsmError", "SyncReport", "__version__", "load_config", "sync_from", "sync_to"]

_HOMES = {
    "HsmError": "hsm.errors",
    "SyncReport": "hsm.sync.reports",
    "load_config": "hsm.api",
    "sync_from": "hsm.api",
    "sync_to": "hsm.api",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
