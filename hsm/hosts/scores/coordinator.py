"""The coordinator, whose score file is the authority, and the ways to that file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import TargetError, UsageError
from hsm.hosts.files.aria2 import has_aria2
from hsm.hosts.files.fetch import Fetched, fetch
from hsm.hosts.inventory.identity import is_self
from hsm.hosts.inventory.load import COORDINATOR_VARIABLES, get_coordinator_address
from hsm.hosts.inventory.node import ClusterNode, Inventory, make_url

ANSWER_SECONDS = 10.0
TRANSFER_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the coordinator's score file.

    Attributes:
        transport: `tailscale`, `aria2` or `http`.
        url: Of the file.
    """

    transport: str
    url: str


@dataclass(frozen=True, slots=True)
class FetchedScores:
    """The coordinator's score file, fetched.

    Attributes:
        way: The way that it came by.
        fetched: The file.
        failures: Ways that were tried before -> why they failed.
    """

    way: Way
    fetched: Fetched
    failures: dict[str, str]


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


def fetch_scores(inventory: Inventory, to: Path, hosts_file: Path | None = None) -> FetchedScores:
    """Fetch the coordinator's score file by the first way that works.

    Args:
        inventory: Names the coordinator and the transports.
        to: The new file.
        hosts_file: See `hsm.hosts.inventory.load.find_hosts_file`.

    Raises:
        TargetError: No way leads to it (kind `no_source`).
    """
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
            return FetchedScores(way, fetched, failures)
    reasons = "; ".join(f"{way}: {why}" for way, why in failures.items()) or "no coordinator has an address"
    raise TargetError(
        f"The coordinator's scores cannot be had: {reasons}",
        hint="Does `hsm hosts serve --db FILE` run there? `hsm hosts check` looks.",
        kind="no_source",
    )


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


def is_coordinator_here(inventory: Inventory) -> bool:
    """Tell whether this machine is the coordinator; a loopback address does not tell, it may be a tunnel's."""
    node = inventory.nodes.get(inventory.elo_sync.coordinator)
    return node is not None and is_self(node, with_loopback=False)
