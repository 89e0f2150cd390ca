"""Scores in step: nodes pull the coordinator's file and push their new rows; how far each has drifted."""

from __future__ import annotations

import secrets
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import DamagedScoresError, HsmError, RefusedError, TargetError, UsageError
from hsm.files import save_json
from hsm.hosts.files.aria2 import has_aria2
from hsm.hosts.files.fetch import Fetched, fetch
from hsm.hosts.inventory.identity import is_self
from hsm.hosts.inventory.load import COORDINATOR_VARIABLES, get_coordinator_address
from hsm.hosts.inventory.node import ClusterNode, Inventory, make_url
from hsm.hosts.scores.database import remove_leftovers, replace_database
from hsm.hosts.scores.state import SCHEMA, get_state_path
from hsm.hosts.scores.tables import TableComparison, compare, make_delta

ANSWER_SECONDS = 10.0
TRANSFER_SECONDS = 600.0
_N_PARALLEL = 16


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the coordinator's score file.

    Attributes:
        transport: `tailscale`, `aria2` or `http`.
        url: Where it is.
    """

    transport: str
    url: str


@dataclass(frozen=True, slots=True)
class Pulled:
    """A pull that went well.

    Attributes:
        way: By which the file came.
        fetched: What came.
        before: How the former file differed from the coordinator's; None where there was none.
        failures: Ways that were tried before -> why they failed.
    """

    way: Way
    fetched: Fetched
    before: TableComparison | None
    failures: dict[str, str]


@dataclass(frozen=True, slots=True)
class NodeScores:
    """How one node's scores stand.

    Attributes:
        name: The node.
        is_coordinator: Whether its file is the authority.
        comparison: Against the coordinator's file; None where the node's file could not be had.
        last_sync: When the node pulled last, seconds since the epoch; None where unknown.
        has_diverged: The largest difference of a rating is more than `divergence_threshold`.
        problem: Why there is no comparison; empty where there is.
    """

    name: str
    is_coordinator: bool
    comparison: TableComparison | None = None
    last_sync: float | None = None
    has_diverged: bool = False
    problem: str = ""


def iter_ways(inventory: Inventory, hosts_file: Path | None = None) -> Iterator[Way]:
    """Yield the ways to the coordinator's score file, in the order of `transports`.

    `tailscale` is its Tailscale address; `aria2` is every address, by aria2c where it is installed; `http` is every
    address. Without a coordinator in the inventory, the variables' address counts.
    """
    config = inventory.elo_sync
    node = inventory.nodes.get(config.coordinator)
    address = get_coordinator_address(hosts_file)[0]
    addresses = list(node.addresses) if node and node.addresses else [address] if address else []
    for transport in config.transports:
        if transport == "aria2" and not has_aria2():
            continue
        fitting = [node.tailscale_ip] if node and node.tailscale_ip else []
        for place in fitting if transport == "tailscale" else addresses:
            yield Way(transport, make_url(place, config.sync_port, "/db"))


def pull_database(
    inventory: Inventory, database: Path, *, discard: bool = False, hosts_file: Path | None = None
) -> Pulled:
    """Replace a score file by the coordinator's, whole or not at all (`hsm.hosts.scores.database.replace_database`).

    Args:
        inventory: Names the coordinator and the transports.
        database: The file here; its folder must exist.
        discard: Also where it has rows that the coordinator has not.
        hosts_file: See `hsm.hosts.inventory.load.find_hosts_file`.

    Raises:
        TargetError: No way leads to it (kind `no_source`), or what came is damaged.
        RefusedError: Rows here would be lost (kind `unpushed_rows`).
    """
    remove_leftovers(database.parent)
    beside = database.with_name(f".hsm-pull-{secrets.token_hex(8)}")
    try:
        way, fetched, failures = _fetch_scores(inventory, beside, hosts_file)
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
    state = {"pulled_at": time.time(), "sha256": fetched.sha256, "from": way.url, "transport": way.transport}
    save_json(get_state_path(database), state, schema=SCHEMA)
    return Pulled(way, fetched, before, failures)


def make_push_delta(inventory: Inventory, database: Path, to: Path, *, hosts_file: Path | None = None) -> int:
    """Write the rows that the coordinator has not into a new file; how many they are.

    Raises:
        TargetError: No way leads to the coordinator's file (kind `no_source`), or one of the files is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="hsm-scores-") as folder:
        theirs = Path(folder) / "theirs.db"
        _fetch_scores(inventory, theirs, hosts_file)
        try:
            return make_delta(database, theirs, to)
        except sqlite3.Error as error:
            raise DamagedScoresError(f"{database} cannot be read: {error}.") from error


def get_coordinator(inventory: Inventory) -> ClusterNode:
    """Return the coordinator.

    Raises:
        UsageError: The inventory has none (kind `no_coordinator`).
    """
    node = inventory.nodes.get(inventory.elo_sync.coordinator)
    if node is None:
        raise UsageError(
            f"The coordinator {inventory.elo_sync.coordinator} is not in the hosts file.",
            hint=f"Name another one in `elo_sync`, or set {COORDINATOR_VARIABLES[0]} for pulls.",
            kind="no_coordinator",
        )
    return node


def read_scores(inventory: Inventory, statuses: dict[str, dict[str, object]], urls: dict[str, str]) -> list[NodeScores]:
    """Compare every node's scores with the coordinator's, at the same time.

    Args:
        inventory: The machines.
        statuses: What each data server answered to `/status`, by node.
        urls: Where each data server is.

    Raises:
        TargetError: The coordinator's file cannot be had (kind `no_source`).
    """
    with tempfile.TemporaryDirectory(prefix="hsm-scores-") as place, ThreadPoolExecutor(_N_PARALLEL) as pool:
        folder = Path(place)
        _fetch_scores(inventory, folder / "authority", None)
        nodes = [node for node in inventory.nodes.values() if node.is_active]
        calls = [
            pool.submit(_read_node, node, inventory, folder, statuses.get(node.name), urls.get(node.name, ""))
            for node in nodes
        ]
        return [call.result() for call in calls]


def _read_node(
    node: ClusterNode, inventory: Inventory, folder: Path, status: dict[str, object] | None, url: str
) -> NodeScores:
    is_coordinator = node.name == inventory.elo_sync.coordinator
    if status is None or not status.get("has_db"):
        return NodeScores(node.name, is_coordinator, problem="serves no scores" if status else "no answer")
    found = status.get("last_sync")
    last_sync = float(found) if isinstance(found, int | float) else None
    path = folder / f"node-{node.name}"
    try:
        fetch([f"{url}/db"], path, timeout_seconds=TRANSFER_SECONDS, answer_seconds=ANSWER_SECONDS, may_use_aria2=False)
        comparison = compare(path, folder / "authority")
    except (HsmError, sqlite3.Error, OSError) as error:
        return NodeScores(node.name, is_coordinator, last_sync=last_sync, problem=str(error))
    threshold = inventory.elo_sync.divergence_threshold
    diverged = comparison.divergence is not None and comparison.divergence > threshold
    return NodeScores(node.name, is_coordinator, comparison, last_sync, diverged)


def _fetch_scores(inventory: Inventory, to: Path, hosts_file: Path | None) -> tuple[Way, Fetched, dict[str, str]]:
    failures: dict[str, str] = {}
    for way in iter_ways(inventory, hosts_file):
        try:
            fetched = fetch(
                [way.url],
                to,
                timeout_seconds=TRANSFER_SECONDS,
                answer_seconds=ANSWER_SECONDS,
                may_use_aria2=way.transport == "aria2",
            )
        except TargetError as error:
            failures[f"{way.transport} {way.url}"] = error.message
        else:
            return way, fetched, failures
    reasons = "; ".join(f"{way}: {why}" for way, why in failures.items()) or "no coordinator has an address"
    raise TargetError(
        f"The coordinator's scores cannot be had: {reasons}",
        hint="Does `hsm hosts serve --db FILE` run there? `hsm hosts check` looks.",
        kind="no_source",
    )


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


def is_coordinator_here(inventory: Inventory) -> bool:
    """Whether this machine is the coordinator; a loopback address does not tell, it may be a tunnel's."""
    node = inventory.nodes.get(inventory.elo_sync.coordinator)
    return node is not None and is_self(node, with_loopback=False)
