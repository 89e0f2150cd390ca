"""Statuses of nodes over HTTP, all asked at the same time, each by its addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm.hosts.inventory.load import get_active_nodes
from hsm.hosts.inventory.node import ELO_SYNC_PORT, ClusterNode, make_url
from hsm.hosts.reach.address_memory import load_memory, make_key, make_order, save_memory
from hsm.hosts.reach.race import gather, race
from hsm.hosts.reach.web import Answer, ask, make_client

if TYPE_CHECKING:
    import httpx

STATUS_PATH = "/status"
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reached:
    """A node's answer over HTTP.

    Attributes:
        node: The node.
        base_url: The URL at which it answered, without a path.
        answer: Its content may be None.
    """

    node: ClusterNode
    base_url: str
    answer: Answer


def check_http_endpoint(
    ip: str, port: int, path: str = STATUS_PATH, timeout: float = TIMEOUT_SECONDS
) -> dict[str, Any] | None:
    """Ask a web server for a JSON object.

    Args:
        ip: An address or a host name; IPv6 with or without brackets.
        port: Its port.
        path: Of the object.
        timeout: Seconds for all of it, looking the name up included.

    Returns:
        The object; None where nobody answers in time, or with anything else than 2xx and a JSON object of at most
        1 MiB. A redirect to another host or port is not followed.
    """
    url = make_url(ip, port, path)

    async def work() -> Answer | None:
        async with make_client(timeout) as client:
            return await ask(client, url)

    answer = gather({"": work}, timeout_seconds=timeout).get("")
    return answer.content if answer else None


def check_node_reachable(node: ClusterNode, port: int = ELO_SYNC_PORT, timeout: float = TIMEOUT_SECONDS) -> bool:
    """Tell whether a node answers `/status` on a port with a JSON object, by any address, within `timeout` seconds."""
    found = read_statuses([node], port=port, timeout=timeout)
    return bool(found) and found[0].answer.content is not None


def discover_reachable_nodes(
    port: int = ELO_SYNC_PORT, timeout: float = TIMEOUT_SECONDS, *, hosts_file: Path | None = None
) -> list[tuple[ClusterNode, dict[str, Any]]]:
    """Ask all active nodes for `/status`, at the same time.

    Args:
        port: The port that is asked.
        timeout: Seconds for all of them together; a node that never answers delays nobody beyond that.
        hosts_file: See `hsm.hosts.inventory.load.find_hosts_file`.

    Returns:
        Each node that answered with a JSON object, and that object, in the file's order.

    Raises:
        ConfigError: The hosts file is broken.
    """
    found = read_statuses(get_active_nodes(hosts_file), port=port, timeout=timeout)
    return [(reached.node, reached.answer.content) for reached in found if reached.answer.content is not None]


def read_statuses(nodes: Iterable[ClusterNode], *, port: int | None, timeout: float) -> list[Reached]:
    """Ask nodes for `/status` at the same time, each by its addresses in order of preference with a head start.

    Args:
        nodes: Those to ask.
        port: The port; None for each node's own `data_server_port`.
        timeout: Seconds for all of them together.

    Returns:
        Those that answered anything, in order. An answer without a content only where no address gave a better one.
    """
    remembered = load_memory()
    jobs = {
        node.name: partial(read_node_status, node, port or node.data_server_port, remembered, timeout) for node in nodes
    }
    found = [reached for reached in gather(jobs, timeout_seconds=timeout).values() if reached is not None]
    answers = {}
    for reached in found:
        for address in reached.node.addresses:
            key_port = port or reached.node.data_server_port
            # An answer at the URL named by hand says nothing of the addresses, so none is remembered for it.
            if reached.answer.content is not None and reached.base_url == make_url(address, key_port):
                answers[make_key(reached.node.name, key_port)] = address
    save_memory({key: address for key, address in answers.items() if remembered.get(key) != address})
    return found


async def read_node_status(
    node: ClusterNode, port: int, remembered: dict[str, str], timeout_seconds: float
) -> Reached | None:
    """Ask a node for `/status` by its addresses, the remembered one first; see `read_statuses`."""
    addresses = make_order(node.addresses, remembered.get(make_key(node.name, port)))
    urls = [make_url(address, port) for address in addresses]
    if node.data_server_url and port == node.data_server_port:  # named by hand, so it comes first
        urls = [node.data_server_url.rstrip("/"), *urls]
    poor: list[Reached] = []
    async with make_client(timeout_seconds) as client:
        won = await race([partial(_ask_one, client, node, url, poor) for url in dict.fromkeys(urls)])
    return won[1] if won else next(iter(poor), None)


async def _ask_one(client: httpx.AsyncClient, node: ClusterNode, url: str, poor: list[Reached]) -> Reached | None:
    answer = await ask(client, url + STATUS_PATH)
    if answer is None:
        return None
    reached = Reached(node, url, answer)
    if answer.content is None:
        poor.append(reached)
        return None
    return reached
