"""When a score file was pulled: noted beside it."""

from __future__ import annotations

from pathlib import Path

from hsm.files import DamagedFileError, load_json

SCHEMA = 1


def get_state_path(database: Path) -> Path:
    """Where it is noted when a score file was pulled."""
    return database.with_name(f"{database.name}.hsm-sync.json")


def read_last_sync(database: Path) -> float | None:
    """Return when a score file was pulled last, seconds since the epoch; None where that is not known."""
    try:
        state = load_json(get_state_path(database), schema=SCHEMA) or {}
    except (DamagedFileError, OSError):
        return None
    found = state.get("pulled_at")
    return float(found) if isinstance(found, int | float) else None
