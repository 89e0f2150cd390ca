"""Pull of the coordinator's scores, and the note beside a score file of its last pull."""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import RefusedError, TargetError
from hsm.files import DamagedFileError, load_json, save_json
from hsm.hosts.files.fetch import Fetched
from hsm.hosts.inventory.node import Inventory
from hsm.hosts.scores.coordinator import Way, fetch_scores
from hsm.hosts.scores.database import remove_leftovers, replace_database
from hsm.hosts.scores.tables import TableComparison, compare

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Pulled:
    """A pull that succeeded.

    Attributes:
        way: The way that the file came by.
        fetched: The file.
        before: Differences of the former file from the coordinator's; None where there was none.
        failures: Ways that were tried before -> why they failed.
    """

    way: Way
    fetched: Fetched
    before: TableComparison | None
    failures: dict[str, str]


def pull_database(
    inventory: Inventory, database: Path, *, discard: bool = False, hosts_file: Path | None = None
) -> Pulled:
    """Replace a score file by the coordinator's, whole or not at all (`hsm.hosts.scores.database.replace_database`).

    Args:
        inventory: Names the coordinator and the transports.
        database: The file here; its folder must exist.
        discard: Replace it also where it has rows that the coordinator has not.
        hosts_file: See `hsm.hosts.inventory.load.find_hosts_file`.

    Raises:
        TargetError: No way leads to it (kind `no_source`), or what came is damaged.
        RefusedError: Rows here would be lost (kind `unpushed_rows`).
    """
    remove_leftovers(database.parent)
    beside = database.with_name(f".hsm-pull-{secrets.token_hex(8)}")
    try:
        found = fetch_scores(inventory, beside, hosts_file)
        before = _compare_former(database, beside)
        if before and before.n_new and not discard:
            raise RefusedError(
                f"{database} has {before.n_new:,} rows that the coordinator has not; a pull would lose them.",
                hint="`hsm hosts scores push` brings them there; `hsm hosts scores pull --discard` gives them up.",
                kind="unpushed_rows",
            )
        replace_database(beside, database)
    finally:
        beside.unlink(missing_ok=True)
    way, sha256 = found.way, found.fetched.sha256
    state = {"pulled_at": time.time(), "sha256": sha256, "from": way.url, "transport": way.transport}
    save_json(get_state_path(database), state, schema=SCHEMA)
    return Pulled(way, found.fetched, before, found.failures)


def get_state_path(database: Path) -> Path:
    """Get the path of the note beside a score file."""
    return database.with_name(f"{database.name}.hsm-sync.json")


_LAST_MOMENT = 2.0**53
"""Of a clock in seconds that a float tells apart."""


def read_last_sync(database: Path) -> float | None:
    """Read when a score file was pulled last, seconds since the epoch; None where that is not known."""
    try:
        state = load_json(get_state_path(database), schema=SCHEMA) or {}
    except (DamagedFileError, OSError):
        return None
    found = state.get("pulled_at")
    return float(found) if isinstance(found, int | float) and 0 <= found < _LAST_MOMENT else None


def _compare_former(database: Path, new: Path) -> TableComparison | None:
    if not database.exists():
        return None
    try:
        return compare(database, new)
    except sqlite3.OperationalError as error:
        raise TargetError(
            f"{database} cannot be read: {error}.", hint="End what keeps it locked.", kind="scores_locked"
        ) from error
    except sqlite3.Error:
        return None  # damaged: it will be kept under another name
