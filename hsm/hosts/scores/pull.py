"""Pull of the coordinator's scores, and the note beside a score file of its last pull."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from hsm.files import DamagedFileError, load_json, save_json
from hsm.hosts.files.fetch import Fetched
from hsm.hosts.inventory.node import Inventory
from hsm.hosts.scores.coordinator import Way, fetch_scores
from hsm.hosts.scores.database import remove_leftovers
from hsm.hosts.scores.numbers import read_highest_numbers
from hsm.hosts.scores.replacement import replace_database
from hsm.hosts.scores.tables import TableComparison

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Pulled:
    """A pull that succeeded.

    Attributes:
        way: The way that the file came by.
        fetched: The file.
        before: Differences of the former file from the coordinator's; None where there was none.
        kept_tables: Tables here that the coordinator has not, which stayed.
        was_damaged: The former file was damaged, and is kept as `FILE.hsm-damaged`.
        failures: Ways that were tried before -> why they failed.
    """

    way: Way
    fetched: Fetched
    before: TableComparison | None
    kept_tables: tuple[str, ...]
    was_damaged: bool
    failures: dict[str, str]


def pull_database(
    inventory: Inventory, database: Path, *, discard: bool = False, hosts_file: Path | None = None
) -> Pulled:
    """Replace a score file by the coordinator's, whole or not at all (`hsm.hosts.scores.replacement`).

    Args:
        inventory: Names the coordinator and the transports.
        database: The file here; its folder must exist.
        discard: Replace it also where it has rows, columns or tables that the coordinator has not.
        hosts_file: See `hsm.hosts.inventory.load.find_hosts_file`.

    Raises:
        TargetError: No way leads to it (kind `no_source`), or what came is damaged.
        RefusedError: As `hsm.hosts.scores.replacement.replace_database`.
    """
    remove_leftovers(database.parent)
    beside = database.with_name(f".hsm-pull-{secrets.token_hex(8)}")
    try:
        found = fetch_scores(inventory, beside, hosts_file)
        numbers = read_highest_numbers(beside)
        replaced = replace_database(beside, database, may_lose=discard, numbers=read_last_numbers(database))
    finally:
        beside.unlink(missing_ok=True)
    way, sha256 = found.way, found.fetched.sha256
    state = {"pulled_at": time.time(), "sha256": sha256, "from": way.url, "transport": way.transport}
    state["numbers"] = numbers
    save_json(get_state_path(database), state, schema=SCHEMA)
    return Pulled(way, found.fetched, replaced.before, replaced.kept_tables, replaced.was_damaged, found.failures)


def get_state_path(database: Path) -> Path:
    """Get the path of the note beside a score file."""
    return database.with_name(f"{database.name}.hsm-sync.json")


# Of a clock in seconds that a float tells apart.
_LAST_MOMENT = 2.0**53


def read_last_numbers(database: Path) -> dict[str, int] | None:
    """Read the highest numbers of the last pull, as `hsm.hosts.scores.losses.list_losses` takes them."""
    try:
        state = load_json(get_state_path(database), schema=SCHEMA)
    except (DamagedFileError, OSError):
        return {}
    if state is None:
        return {}
    found = state.get("numbers")
    if not isinstance(found, dict):
        return None  # of a version that did not note them
    return {str(name): number for name, number in found.items() if isinstance(number, int)}


def read_last_sync(database: Path) -> float | None:
    """Read when a score file was pulled last, seconds since the epoch; None where that is not known."""
    try:
        state = load_json(get_state_path(database), schema=SCHEMA) or {}
    except (DamagedFileError, OSError):
        return None
    found = state.get("pulled_at")
    return float(found) if isinstance(found, int | float) and 0 <= found < _LAST_MOMENT else None
