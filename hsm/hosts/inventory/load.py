"""Reader of the hosts file: `--hosts-file`, HSM_HOSTS_FILE, `.hsm/hosts.yaml`, `config/distributed_hosts.yaml`."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hsm.errors import ConfigError, UsageError
from hsm.hosts.inventory.node import ClusterNode, EloSyncConfig, Inventory
from hsm.project_folder import ProjectFolder
from hsm.user_files import FileFlaw, FlawedFileError, find_other_writer, read_config_file

FILE_VARIABLE = "HSM_HOSTS_FILE"
PLACES = (ProjectFolder(Path()).hosts, Path("config", "distributed_hosts.yaml"))
COORDINATOR_VARIABLES = ("HSM_COORDINATOR_IP", "RINGRIFT_COORDINATOR_IP")
_MAX_BYTES = 1024 * 1024  # room for thousands of machines
_logger = logging.getLogger("hsm.hosts")
_told: set[str] = set()  # the functions below read the file at each call, and a note is worth telling once


def find_hosts_file(hosts_file: Path | None = None, *, start: Path | None = None) -> Path | None:
    """Look for the hosts file.

    Args:
        hosts_file: The one to use; without it HSM_HOSTS_FILE decides.
        start: Where to look if neither is given, then in the folders above; default: the working folder. In each
            folder `.hsm/hosts.yaml` comes before `config/distributed_hosts.yaml`.

    Returns:
        The absolute path of what lies there, or None. A file that was asked for by name need not exist.
    """
    named = hosts_file or (Path(value) if (value := os.environ.get(FILE_VARIABLE)) else None)
    if named is not None:
        return named.expanduser().absolute()
    start = (start or Path.cwd()).resolve()
    candidates = (folder / place for folder in (start, *start.parents) for place in PLACES)
    # A dangling symlink counts, and is an error: passing it over would take another project's file further up.
    return next((path for path in candidates if os.path.lexists(path)), None)


def load_inventory(hosts_file: Path | None = None, *, start: Path | None = None) -> Inventory:
    """Read the hosts file; without one the inventory is empty, and a note says where HSM looked.

    Args:
        hosts_file: See `find_hosts_file`.
        start: See `find_hosts_file`.

    Raises:
        ConfigError: A file that was named is missing (kind `no_hosts_file`); the file is no YAML (`bad_yaml`), or
            cannot be read or says what it must not (`bad_hosts`), with line and key.
    """
    from hsm.hosts.inventory.document import parse_hosts  # noqa: PLC0415 - pydantic and YAML, where there is a file

    path = find_hosts_file(hosts_file, start=start)
    if path is None:
        places = ", ".join(map(str, PLACES))
        note = (
            f"No hosts file, so no machine is known: looked at {FILE_VARIABLE} and, in this folder and above, {places}."
        )
        return Inventory(notes=(note,))
    inventory = parse_hosts(_read_text(path), _show(path), os.environ)
    nodes = {name: _expand_key(node) for name, node in inventory.nodes.items()}
    inventory = replace(inventory, nodes=nodes, path=path)
    foreign = find_other_writer(path, show=_show)
    return _drop_ssh_settings(inventory, foreign) if foreign else inventory


def load_hosts_config(hosts_file: Path | None = None) -> dict[str, Any]:
    """Read the hosts file as plain values, unchanged and with the keys that have no meaning here.

    Without a file it is empty. What is worth knowing (no file, unknown keys) goes once to the logger `hsm.hosts`.

    Raises:
        ConfigError: As `load_inventory`.
    """
    return dict(_load(hosts_file).document)


def get_cluster_nodes(hosts_file: Path | None = None) -> dict[str, ClusterNode]:
    """Return all machines by name, in the file's order. Raises as `load_hosts_config`."""
    return dict(_load(hosts_file).nodes)


def get_active_nodes(hosts_file: Path | None = None) -> list[ClusterNode]:
    """Return the machines that are active, in the file's order. Raises as `load_hosts_config`."""
    return [node for node in _load(hosts_file).nodes.values() if node.is_active]


def get_elo_sync_config(hosts_file: Path | None = None) -> EloSyncConfig:
    """Return how scores are kept in step. Raises as `load_hosts_config`."""
    return _load(hosts_file).elo_sync


def get_coordinator_node(hosts_file: Path | None = None) -> ClusterNode | None:
    """Return the machine that `elo_sync.coordinator` names, or None. Raises as `load_hosts_config`."""
    inventory = _load(hosts_file)
    return inventory.nodes.get(inventory.elo_sync.coordinator)


def get_coordinator_address(hosts_file: Path | None = None) -> tuple[str | None, int]:
    """Return the coordinator's preferred address and the port of its data server.

    Where the file names no coordinator with an address, HSM_COORDINATOR_IP and then RINGRIFT_COORDINATOR_IP do.

    Returns:
        The address, or None where nothing names one; and `elo_sync.sync_port`.

    Raises:
        ConfigError: As `load_hosts_config`; or the variable holds no address (kind `bad_hosts`).
    """
    inventory = _load(hosts_file)
    node = inventory.nodes.get(inventory.elo_sync.coordinator)
    address = node.best_ip if node else None
    return address or _read_variable(), inventory.elo_sync.sync_port


def select_nodes(
    inventory: Inventory,
    names: Iterable[str] = (),
    *,
    role: str | None = None,
    gpu: str | None = None,
    is_active: bool = False,
) -> list[ClusterNode]:
    """Choose machines.

    Args:
        inventory: All of them.
        names: Names or aliases; none means all.
        role: Only those of this role.
        gpu: Only those whose `gpu` has this text in it, in any case.
        is_active: Only those that are active; one that is named counts always.

    Returns:
        The machines in the order of `names`, each once, else in the file's order.

    Raises:
        UsageError: A name is unknown (kind `unknown_host`).
    """
    named = [_find(inventory, name) for name in names]
    chosen = list(dict.fromkeys(named)) or list(inventory.nodes.values())
    return [
        node
        for node in chosen
        if (role is None or node.role == role)
        and (gpu is None or gpu.casefold() in node.gpu.casefold())
        and (node.is_active or named or not is_active)
    ]


def _find(inventory: Inventory, name: str) -> ClusterNode:
    if name in inventory.nodes:
        return inventory.nodes[name]
    for node in inventory.nodes.values():
        if name in node.aliases:
            return node
    near = difflib.get_close_matches(name.lower(), inventory.nodes, 1)
    raise UsageError(
        f"Unknown machine {name!r}; there are: {', '.join(inventory.nodes) or 'none'}",
        hint=f"did you mean {near[0]}?" if near else "`hsm hosts list` shows the machines",
        kind="unknown_host",
    )


def _load(hosts_file: Path | None) -> Inventory:
    inventory = load_inventory(hosts_file)
    for note in inventory.notes:
        if note not in _told:
            _told.add(note)
            _logger.warning("%s", note)
    return inventory


def _read_variable() -> str | None:
    name = next((name for name in COORDINATOR_VARIABLES if os.environ.get(name)), None)
    if name is None:
        return None
    from hsm.hosts.inventory.rules import check_address  # noqa: PLC0415 - pydantic

    try:
        return check_address(os.environ[name]).strip("[]")
    except ValueError as error:
        raise ConfigError(f"{name} {error}", hint="set it to a host name or an address", kind="bad_hosts") from None


def _expand_key(node: ClusterNode) -> ClusterNode:
    return replace(node, ssh_key=str(Path(node.ssh_key).expanduser())) if node.ssh_key else node


def _drop_ssh_settings(inventory: Inventory, reason: str) -> Inventory:
    """Drop what others may have written of ssh: its options decide whom ssh trusts."""
    names = [name for name, node in inventory.nodes.items() if node.ssh_options or node.ssh_key]
    if not names:
        return inventory
    nodes = {name: replace(node, ssh_options={}, ssh_key=None) for name, node in inventory.nodes.items()}
    note = f"ssh_key and ssh_options of {', '.join(names)} are ignored, because {reason}."
    return replace(inventory, nodes=nodes, notes=(*inventory.notes, note))


def _show(path: Path) -> str:
    folder = Path.cwd().resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _read_text(path: Path) -> str:
    shown = _show(path)
    try:
        return read_config_file(path, shown, noun="hosts file", most_bytes=_MAX_BYTES)
    except FlawedFileError as error:
        if error.flaw is FileFlaw.MISSING:
            hint = f"correct --hosts-file or {FILE_VARIABLE}; `hsm hosts import` makes one"
            raise ConfigError(f"There is no hosts file {shown}", hint=hint, kind="no_hosts_file") from None
        hint = error.hint or "look at it with `hsm hosts list --hosts-file FILE`"
        raise ConfigError(str(error), hint=hint, kind="bad_hosts") from None
