"""Scores of all nodes, each compared with the coordinator's."""

from __future__ import annotations

import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import HsmError
from hsm.hosts.files.fetch import fetch
from hsm.hosts.inventory.node import ClusterNode, Inventory
from hsm.hosts.scores.coordinator import ANSWER_SECONDS, TRANSFER_SECONDS, fetch_scores
from hsm.hosts.scores.tables import TableComparison, compare

_N_PARALLEL = 16


@dataclass(frozen=True, slots=True)
class NodeScores:
    """Scores of one node against the coordinator's.

    Attributes:
        name: The node.
        is_coordinator: Its file is the authority.
        comparison: Against the coordinator's file; None where the node's file could not be fetched.
        last_sync: When the node pulled last, seconds since the epoch; None where unknown.
        has_diverged: The largest difference of a rating is more than `divergence_threshold`.
        problem: The reason why there is no comparison; empty where there is.
    """

    name: str
    is_coordinator: bool
    comparison: TableComparison | None = None
    last_sync: float | None = None
    has_diverged: bool = False
    problem: str = ""


def read_scores(inventory: Inventory, statuses: dict[str, dict[str, object]], urls: dict[str, str]) -> list[NodeScores]:
    """Compare every node's scores with the coordinator's, at the same time.

    Args:
        inventory: The machines.
        statuses: The answers of the data servers to `/status`, by node.
        urls: Of the data servers, by node.

    Raises:
        TargetError: The coordinator's file cannot be fetched (kind `no_source`).
    """
    with tempfile.TemporaryDirectory(prefix="hsm-scores-") as place, ThreadPoolExecutor(_N_PARALLEL) as pool:
        folder = Path(place)
        fetch_scores(inventory, folder / "authority")
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
        # One stream: with many nodes at once, several connections to each would be many.
        fetch([f"{url}/db"], path, timeout_seconds=TRANSFER_SECONDS, answer_seconds=ANSWER_SECONDS, may_use_aria2=False)
        comparison = compare(path, folder / "authority")
    except (HsmError, sqlite3.Error, OSError) as error:
        return NodeScores(node.name, is_coordinator, last_sync=last_sync, problem=str(error))
    threshold = inventory.elo_sync.divergence_threshold
    diverged = comparison.divergence is not None and comparison.divergence > threshold
    return NodeScores(node.name, is_coordinator, comparison, last_sync, diverged)
