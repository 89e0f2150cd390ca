"""Machines of the inventory as sync targets (`node:`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.errors import ConfigError
from hsm.hosts.inventory.load import load_inventory
from hsm.hosts.inventory.node import ClusterNode, Inventory
from hsm.hosts.reach.login import find_logins

if TYPE_CHECKING:
    from hsm.config.settings import TargetSettings


def find_target(project: Path, name: str) -> Mapping[str, object] | str:
    """Find the keys of the sync target that a machine stands for; the reason in words where there are none.

    The host is the preferred address: it names the place, and is the same if the machine is reached by another one.

    Args:
        project: The folder in which the hosts file is looked for, if none is named.
        name: The machine's name.

    Raises:
        ConfigError: The hosts file is broken.
    """
    inventory = load_inventory(start=project)
    if name not in inventory.nodes:
        known = ", ".join(inventory.nodes) or "none; " + "; ".join(inventory.notes)
        return f"no machine of the hosts file is named {name}; there are: {known}"
    node, carrier = inventory.nodes[name], _get_carrier(inventory, name)
    if not carrier.addresses:
        return f"the machine {carrier.name} has no address in the hosts file"
    ssh: dict[str, object] = {"options": dict(carrier.ssh_options)}
    if carrier.ssh_key:
        ssh["identity_file"] = carrier.ssh_key
    found: dict[str, object] = {"host": carrier.addresses[0], "user": carrier.login_user, "port": carrier.ssh_port}
    if node.path != "~":
        found["paths"] = {"project_root": node.path}
    return {**found, "ssh": ssh}


def choose_address(settings: TargetSettings, project: Path) -> TargetSettings:
    """Choose the address of a target's machine that answers; the settings of a target without a machine stay.

    A machine with one address and no jump host is not asked.

    Raises:
        ConfigError: The target has another host than its machine (kind `bad_node`), or the hosts file is broken.
    """
    if settings.node is None:
        return settings
    inventory = load_inventory(start=project)
    carrier = _get_carrier(inventory, settings.node) if settings.node in inventory.nodes else None
    if carrier is None or settings.host not in carrier.addresses:
        raise ConfigError(
            f"{settings.host} is no address of the machine {settings.node}.",
            hint="`hsm hosts list` shows its addresses; a target with another host has no `node`.",
            kind="bad_node",
        )
    if len(carrier.addresses) == 1 and not carrier.jump_host:
        return settings
    login = find_logins([carrier])[carrier.name]
    options = {**settings.ssh.options}
    # No address answered, so the way leads through the jump host; the options of the machine are in the target already.
    if "ProxyJump" in login.ssh.options and "ProxyJump" not in carrier.ssh_options:
        options["ProxyJump"] = login.ssh.options["ProxyJump"]
    ssh = replace(settings.ssh, options=options)
    return replace(settings, host=login.host, ssh=ssh)


def _get_carrier(inventory: Inventory, name: str) -> ClusterNode:
    """Get the machine that files go through: the node's `transfer_host`, else itself."""
    node = inventory.nodes[name]
    return inventory.nodes[node.transfer_host] if node.transfer_host else node
