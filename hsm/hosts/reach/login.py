"""Finder of the address by which a node's ssh server answers, and of the settings to log in there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hsm.hosts.inventory.node import ClusterNode
from hsm.hosts.reach.address_memory import load_memory, make_key, make_order, save_memory
from hsm.hosts.reach.race import gather, race, resolve

if TYPE_CHECKING:
    from hsm.config.settings import TargetSettings

TIMEOUT_SECONDS = 5.0
_MAX_GREETING_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Greeting:
    """Greeting of an ssh server at an address.

    Attributes:
        address: The node's address, as the inventory has it.
        seconds: From the first packet to the connection; a round trip.
        banner: The line that begins with `SSH-`; empty where something else answered or nothing was said in time.
        problem: `refused`, or `no ssh server` where something else was said; empty otherwise.
    """

    address: str
    seconds: float
    banner: str
    problem: str = ""


def find_greetings(
    nodes: Iterable[ClusterNode], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> tuple[dict[str, Greeting], dict[str, Greeting]]:
    """Find the address of each node that has an ssh server, all at the same time; the preferred one has a head start.

    Args:
        nodes: Their addresses are tried, that which answered last first.
        timeout_seconds: For all together.

    Returns:
        By the nodes' names: the first ssh server that answered; and, of the nodes without one, the first address
        that takes connections, else one that refuses them.
    """
    remembered = load_memory()
    listed = list(nodes)
    poor: dict[str, Greeting] = {}
    jobs = {
        node.name: partial(greet_node, node, remembered.get(make_key(node.name, node.ssh_port)), poor)
        for node in listed
        if node.addresses
    }
    found = {name: greeting for name, greeting in gather(jobs, timeout_seconds=timeout_seconds).items() if greeting}
    ports = {node.name: node.ssh_port for node in listed}
    answers = {make_key(name, ports[name]): greeting.address for name, greeting in found.items()}
    save_memory({key: address for key, address in answers.items() if remembered.get(key) != address})
    return found, {name: greeting for name, greeting in dict(poor).items() if name not in found}


def find_logins(nodes: Iterable[ClusterNode], *, timeout_seconds: float = TIMEOUT_SECONDS) -> dict[str, TargetSettings]:
    """Find the settings to log in to each node, by the address that answers.

    A node with one address is not asked in advance. One with several of which none answers gets its jump host, or
    else the preferred address, and ssh says what is wrong. A node without any address is left out.
    """
    listed = [node for node in nodes if node.addresses]
    asked = [node for node in listed if len(node.addresses) > 1 or node.jump_host]
    greetings, _ = find_greetings(asked, timeout_seconds=timeout_seconds)
    return {node.name: make_login(node, greetings.get(node.name)) for node in listed}


def make_login(node: ClusterNode, greeting: Greeting | None) -> TargetSettings:
    """Make the settings of a node as a target, without a look at the world.

    Args:
        node: A node with an address.
        greeting: Of the address that answered; without it the way leads through the jump host, where there is one.
    """
    from hsm.config.settings import (  # noqa: PLC0415 - pydantic
        SshSettings,
        TargetPaths,
        TargetSettings,
    )

    options = dict(node.ssh_options)
    if greeting is None and node.jump_host:
        options["ProxyJump"] = node.jump_host
    paths = TargetPaths(sweeps=f"{node.path}/sweeps", wandb=f"{node.path}/wandb")
    return TargetSettings(
        host=greeting.address if greeting else (node.ssh_address if node.jump_host else None) or node.addresses[0],
        user=node.login_user,
        port=node.ssh_port,
        ssh=SshSettings(identity_file=node.ssh_key, options=options),
        paths=paths,
    )


async def greet_node(node: ClusterNode, remembered: str | None, poor: dict[str, Greeting]) -> Greeting | None:
    """Find the address of a node that has an ssh server; the caller limits the time.

    Args:
        node: The node.
        remembered: The address to try first.
        poor: Gets the first address that takes connections, else one that refuses them, by the node's name.
    """
    addresses = make_order(node.addresses, remembered)
    won = await race([partial(_greet_address, node, address, poor) for address in addresses])
    return won[1] if won else None


async def _greet_address(node: ClusterNode, address: str, poor: dict[str, Greeting]) -> Greeting | None:
    found = await resolve(address)
    won = await race([partial(_greet, node, address, numbers, poor) for numbers in found])
    return won[1] if won else None


async def _greet(node: ClusterNode, address: str, numbers: str, poor: dict[str, Greeting]) -> Greeting | None:
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(numbers, node.ssh_port)
    except ConnectionRefusedError:
        poor.setdefault(node.name, Greeting(address, time.monotonic() - began, "", "refused"))
        return None
    except OSError:
        return None
    seconds = time.monotonic() - began
    # A connection shows nothing yet: a firewall, a tunnel or a frozen machine accepts one.
    if node.name not in poor or poor[node.name].problem == "refused":
        poor[node.name] = Greeting(address, seconds, "")
    try:
        banner = await _read_banner(reader)
        if not banner and poor[node.name].address == address:
            poor[node.name] = Greeting(address, seconds, "", "no ssh server")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return Greeting(address, seconds, banner) if banner else None


async def _read_banner(reader: asyncio.StreamReader) -> str:
    """Read up to the line that begins with `SSH-`; RFC 4253 (4.2) allows other lines before it. Empty without one."""
    n_read = 0
    with contextlib.suppress(OSError, ValueError):  # ValueError: a line without an end
        while n_read < _MAX_GREETING_BYTES and (line := await reader.readline()):
            n_read += len(line)
            if line.startswith(b"SSH-"):
                return line.decode("ascii", "replace").strip()
    return ""
