"""Inventory of machines: their addresses, who of them answers, and their URLs.

What is exported here is loaded when it is first used; importing the package does no work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsm.hosts.inventory.load import (
        find_hosts_file,
        get_active_nodes,
        get_cluster_nodes,
        get_coordinator_address,
        get_coordinator_node,
        get_elo_sync_config,
        load_hosts_config,
        load_inventory,
    )
    from hsm.hosts.inventory.node import (
        DATA_SYNC_PORT,
        ELO_SYNC_PORT,
        MODEL_SYNC_PORT,
        ClusterNode,
        EloSyncConfig,
        Inventory,
    )
    from hsm.hosts.reach.statuses import check_http_endpoint, check_node_reachable, discover_reachable_nodes
    from hsm.hosts.reach.urls import get_data_sync_urls, get_elo_sync_urls, get_sync_urls

__all__ = [
    "DATA_SYNC_PORT",
    "ELO_SYNC_PORT",
    "MODEL_SYNC_PORT",
    "ClusterNode",
    "EloSyncConfig",
    "Inventory",
    "check_http_endpoint",
    "check_node_reachable",
    "discover_reachable_nodes",
    "find_hosts_file",
    "get_active_nodes",
    "get_cluster_nodes",
    "get_coordinator_address",
    "get_coordinator_node",
    "get_data_sync_urls",
    "get_elo_sync_config",
    "get_elo_sync_urls",
    "get_sync_urls",
    "load_hosts_config",
    "load_inventory",
]

_REACH = ("check_http_endpoint", "check_node_reachable", "discover_reachable_nodes")
_NODE = ("DATA_SYNC_PORT", "ELO_SYNC_PORT", "MODEL_SYNC_PORT", "ClusterNode", "EloSyncConfig", "Inventory")
_URLS = ("get_data_sync_urls", "get_elo_sync_urls", "get_sync_urls")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - classes, functions and numbers
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _REACH:
        home = "reach.statuses"
    elif name in _NODE:
        home = "inventory.node"
    else:
        home = "reach.urls" if name in _URLS else "inventory.load"
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
