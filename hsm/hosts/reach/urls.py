"""URLs of the data, models and scores of active nodes."""

from __future__ import annotations

from pathlib import Path

from hsm.hosts.inventory.identity import is_self
from hsm.hosts.inventory.load import get_active_nodes, get_elo_sync_config
from hsm.hosts.inventory.node import ELO_SYNC_PORT, MODEL_SYNC_PORT, ClusterNode, make_url
from hsm.hosts.reach.statuses import TIMEOUT_SECONDS, read_statuses

SCORES_PATH = "/db"
MODELS_PATH = "/models"


def get_sync_urls(
    port: int = ELO_SYNC_PORT,
    path: str = SCORES_PATH,
    timeout: float = TIMEOUT_SECONDS,
    *,
    hosts_file: Path | None = None,
) -> list[str]:
    """Return the URL of a path at every active node that answers on a port, by the address that answered.

    Args:
        port: The port that is asked.
        path: Put behind the address.
        timeout: Seconds for all nodes together.
        hosts_file: See `hsm.hosts.inventory.load.find_hosts_file`.

    Raises:
        ConfigError: The hosts file is broken.
    """
    return _list_at(get_active_nodes(hosts_file), port, path, timeout, reachable_only=True)


def get_elo_sync_urls(*, hosts_file: Path | None = None) -> list[str]:
    """Return the URLs of the score files (`/db` on `elo_sync.sync_port`) of the active nodes that answer.

    Raises:
        ConfigError: The hosts file is broken.
    """
    return get_sync_urls(get_elo_sync_config(hosts_file).sync_port, SCORES_PATH, hosts_file=hosts_file)


def get_data_sync_urls(
    *,
    exclude_self: bool = True,
    reachable_only: bool = True,
    timeout: float = TIMEOUT_SECONDS,
    hosts_file: Path | None = None,
) -> list[str]:
    """Return the base URLs of the data servers of the active nodes, each once, in the file's order.

    Args:
        exclude_self: Leave out this machine, known by name, alias and local address.
        reachable_only: Only those that answer, each on its own port; without it nobody is asked.
        timeout: Seconds for all nodes together.
        hosts_file: See `hsm.hosts.inventory.load.find_hosts_file`.

    Raises:
        ConfigError: The hosts file is broken.
    """
    nodes = [node for node in get_active_nodes(hosts_file) if not (exclude_self and is_self(node))]
    if reachable_only:
        found = read_statuses(nodes, port=None, timeout=timeout)
        urls = [reached.base_url for reached in found if reached.answer.content is not None]
    else:
        urls = [url for node in nodes if (url := node.data_server_base_url)]
    return list(dict.fromkeys(urls))


def list_urls(
    kind: str, *, exclude_self: bool, reachable_only: bool, timeout: float, hosts_file: Path | None = None
) -> list[str]:
    """Return the URLs of `data`, `models` or `scores`; the arguments are those of `get_data_sync_urls`.

    Raises:
        ConfigError: The hosts file is broken.
    """
    if kind == "data":
        return get_data_sync_urls(
            exclude_self=exclude_self, reachable_only=reachable_only, timeout=timeout, hosts_file=hosts_file
        )
    nodes = [node for node in get_active_nodes(hosts_file) if not (exclude_self and is_self(node))]
    is_models = kind == "models"
    port = MODEL_SYNC_PORT if is_models else get_elo_sync_config(hosts_file).sync_port
    path = MODELS_PATH if is_models else SCORES_PATH
    return _list_at(nodes, port, path, timeout, reachable_only=reachable_only)


def _list_at(nodes: list[ClusterNode], port: int, path: str, timeout: float, *, reachable_only: bool) -> list[str]:
    if reachable_only:
        found = read_statuses(nodes, port=port, timeout=timeout)
        urls = [reached.base_url for reached in found if reached.answer.content is not None]
    else:
        urls = [make_url(node.best_ip, port) for node in nodes if node.best_ip]
    suffix = path if not path or path.startswith("/") else f"/{path}"
    return list(dict.fromkeys(url + suffix for url in urls))
