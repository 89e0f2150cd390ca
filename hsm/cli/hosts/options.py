"""Options that the commands of `hsm hosts` share, and the machines that they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.errors import HsmError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hsm.hosts.inventory.node import ClusterNode, Inventory


def complete_host(incomplete: str) -> list[str]:
    """List machines that begin with what was typed, for the shell's completion; none where anything is wrong."""
    from hsm.hosts.inventory.load import load_inventory

    try:
        names = load_inventory().nodes
    except HsmError:
        return []
    return [name for name in names if name.startswith(incomplete)]


HostsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--hosts-file",
        metavar="FILE",
        help="The hosts file.",
        show_default="HSM_HOSTS_FILE, .hsm/hosts.yaml or config/distributed_hosts.yaml",
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Machines, by name or alias.", autocompletion=complete_host),
]
Role = Annotated[str | None, typer.Option("--role", metavar="ROLE", help="Only machines of this role.")]
GpuOption = Annotated[
    str | None, typer.Option("--gpu", metavar="TEXT", help="Only machines whose gpu has this text in it.")
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="For all machines together.")]


def load_hosts(hosts_file: Path | None, *, is_quiet: bool = False) -> Inventory:
    """Load the inventory; notes about the file go to standard error."""
    from hsm.hosts.inventory.load import load_inventory

    inventory = load_inventory(hosts_file)
    for note in () if is_quiet else inventory.notes:
        from hsm.cli.render import show_note

        show_note(f"Note: {note}")
    return inventory


def load_nodes(
    hosts_file: Path | None,
    names: Iterable[str],
    *,
    role: str | None = None,
    gpu: str | None = None,
    is_active: bool = False,
) -> list[ClusterNode]:
    """Load the machines that a command means."""
    from hsm.hosts.inventory.load import select_nodes

    return select_nodes(load_hosts(hosts_file), names, role=role, gpu=gpu, is_active=is_active)
