"""Machines of the inventory, as frozen values. Pure, and light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODEL_SYNC_PORT = 8765
DATA_SYNC_PORT = 8766
ELO_SYNC_PORT = 8766

INACTIVE = frozenset({"terminated", "offline", "setup"})
"""Statuses of nodes that are not asked for anything."""


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One machine of the inventory, with the defaults of the file.

    Attributes:
        name: Its key in the file.
        tailscale_ip: Address in the tailnet; preferred.
        ssh_host: Name, address or alias of `~/.ssh/config`; may carry `user@`.
        ssh_user: Login name where `ssh_host` carries none.
        ssh_port: Port of its ssh server.
        ssh_key: Private key to log in with, `~` expanded.
        ringrift_path: The project's folder there; its `~` is the home folder there.
        status: `active`, `terminated`, `offline`, `setup` or `unknown`.
        role: `coordinator`, `worker` or another word.
        memory_gb: Memory in GB; 0 where unknown.
        cpus: Number of processors; 0 where unknown.
        gpu: Its graphics processor in words; empty for none.
        data_server_port: Port of `hsm hosts serve` there.
        data_server_url: Where its data server is reached, if not by address and port.
        aliases: Further names of this machine.
        lan_host: Name or address in the local network.
        public_host: Name or address in the public internet.
        jump_host: Machines to log in through, as ssh's ProxyJump has it; tried after all addresses.
        transfer_host: The node through which files go to this one.
        ssh_options: Further options of ssh_config(5).
        extra: What else the file says of it, unchanged.
    """

    name: str
    tailscale_ip: str | None = None
    ssh_host: str | None = None
    ssh_user: str = "ubuntu"
    ssh_port: int = 22
    ssh_key: str | None = None
    ringrift_path: str = "~/ringrift/ai-service"
    status: str = "unknown"
    role: str = "unknown"
    memory_gb: int = 0
    cpus: int = 0
    gpu: str = ""
    data_server_port: int = DATA_SYNC_PORT
    data_server_url: str | None = None
    aliases: tuple[str, ...] = ()
    lan_host: str | None = None
    public_host: str | None = None
    jump_host: str | None = None
    transfer_host: str | None = None
    ssh_options: Mapping[str, str] = field(default_factory=dict, hash=False)
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def path(self) -> str:
        """Project's folder there; another name of `ringrift_path`."""
        return self.ringrift_path

    @property
    def login_user(self) -> str:
        """Login name: the one that `ssh_host` carries, else `ssh_user`."""
        user, at, _ = (self.ssh_host or "").rpartition("@")
        return user if at and user else self.ssh_user

    @property
    def ssh_address(self) -> str | None:
        """`ssh_host` without `user@` and brackets; None where there is none."""
        return _strip_brackets((self.ssh_host or "").rpartition("@")[2]) or None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address in order of preference, each once: Tailscale, local network, `ssh_host`, public."""
        found = (self.tailscale_ip, self.lan_host, self.ssh_address, self.public_host)
        return tuple(dict.fromkeys(_strip_brackets(address) for address in found if address))

    @property
    def best_ip(self) -> str | None:
        """Preferred address: `tailscale_ip`, else `ssh_host` without `user@`, else any other; None without one."""
        preferred = (_strip_brackets(self.tailscale_ip or ""), self.ssh_address, *self.addresses)
        return next((address for address in preferred if address), None)

    @property
    def data_server_base_url(self) -> str | None:
        """URL of its data server without a slash at the end; None without an address."""
        if self.data_server_url:
            return self.data_server_url.rstrip("/")
        return make_url(self.best_ip, self.data_server_port) if self.best_ip else None

    @property
    def is_active(self) -> bool:
        """Tell whether it may be asked for something: its status is not `terminated`, `offline` or `setup`."""
        return self.status not in INACTIVE


@dataclass(frozen=True, slots=True)
class EloSyncConfig:
    """Settings of how scores are kept in step (`elo_sync:` or `score_sync:`).

    Attributes:
        coordinator: Name of the node whose score file is the authority.
        sync_port: Port of the coordinator's data server.
        sync_interval: Seconds between two pulls.
        divergence_threshold: A larger difference in a rating is flagged.
        transports: In which order ways to pull are tried.
    """

    coordinator: str = "mac-studio"
    sync_port: int = ELO_SYNC_PORT
    sync_interval: int = 300
    divergence_threshold: int = 50
    transports: tuple[str, ...] = ("tailscale", "aria2", "http")


@dataclass(frozen=True, slots=True)
class Inventory:
    """Contents of a hosts file.

    Attributes:
        nodes: By name, in the file's order.
        elo_sync: How scores are kept in step.
        path: The file, absolute; None when there is none.
        document: The file's content as plain values, unchanged, unknown keys included.
        notes: Sentences worth telling once: there is no file, it has unknown keys.
    """

    nodes: Mapping[str, ClusterNode] = field(default_factory=dict)
    elo_sync: EloSyncConfig = EloSyncConfig()
    path: Path | None = None
    document: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def make_url(host: str, port: int, path: str = "") -> str:
    """Return `http://host:port/path`; an IPv6 address is put in brackets, and its zone as RFC 6874 has it."""
    bare = _strip_brackets(host)
    shown = f"[{bare.replace('%', '%25')}]" if ":" in bare else bare
    return f"http://{shown}:{port}{path if not path or path.startswith('/') else '/' + path}"


def _strip_brackets(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text
