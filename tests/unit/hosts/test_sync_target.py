"""Machines of the hosts file as sync targets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.config.load import load_project_config
from hsm.config.settings import TargetSettings
from hsm.errors import ConfigError
from hsm.hosts.sync_target import choose_address, find_target
from tests.unit.hosts.conftest import Server, find_free_port
from tests.unit.hosts.reach.test_login import be_ssh


def load(project: Path) -> TargetSettings:
    return load_project_config(project, find_node=find_target).config.sync_targets["t"]


@pytest.fixture
def write(write_hosts: Callable[..., Path]) -> Callable[..., Path]:
    def run(hosts: dict[str, Any], target: str = "{node: n, paths: {sweeps: sweeps, wandb: wandb}}") -> Path:
        folder = write_hosts({"hosts": hosts}).parent
        (folder / "sync_config.yaml").write_text(f"sync_targets:\n  t: {target}\n")
        return folder.parent

    return run


def test_the_preferred_address_names_the_place(write: Callable[..., Path]) -> None:
    node = {"tailscale_ip": "100.1.1.1", "ssh_host": "me@n.local", "ssh_port": 7, "path": "/data/p", "ssh_key": "/k"}
    settings = load(write({"n": node}))
    assert (settings.host, settings.user, settings.port) == ("100.1.1.1", "me", 7)
    assert (settings.paths.sweeps, settings.ssh.identity_file) == ("/data/p/sweeps", "/k")


def test_files_go_through_the_transfer_host(write: Callable[..., Path]) -> None:
    hosts = {
        "n": {"ssh_host": "n.local", "path": "/data/p", "transfer_host": "dtn"},
        "dtn": {"ssh_host": "x@dtn.local"},
    }
    settings = load(write(hosts))
    assert (settings.host, settings.user, settings.paths.wandb) == ("dtn.local", "x", "/data/p/wandb")


@pytest.mark.parametrize(
    ("hosts", "words"), [({"other": {}}, "there are: other"), ({"n": {}}, "the machine n has no address")]
)
def test_a_machine_that_is_no_target(write: Callable[..., Path], hosts: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(write(hosts))


def test_the_address_that_answers_is_chosen(write: Callable[..., Path], serve: Callable[..., Server]) -> None:
    port = find_free_port()
    serve(be_ssh, "127.0.0.3", port)
    project = write({"n": {"tailscale_ip": "127.0.0.2", "ssh_host": "127.0.0.3", "ssh_port": port}})
    settings = load(project)
    chosen = choose_address(settings, project)
    assert (settings.host, chosen.host, chosen.paths) == ("127.0.0.2", "127.0.0.3", settings.paths)


def test_the_jump_host_is_used_where_no_address_answers(write: Callable[..., Path]) -> None:
    project = write({"n": {"ssh_host": "127.0.0.3", "ssh_port": find_free_port(), "jump_host": "gate"}})
    settings = load(project)
    assert settings.ssh.options == {}
    assert choose_address(settings, project).ssh.options == {"ProxyJump": "gate"}


def test_one_address_is_not_asked(write: Callable[..., Path], serve: Callable[..., Server]) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.close()

    server = serve(refuse)
    project = write({"n": {"ssh_host": "127.0.0.1", "ssh_port": server.port}})
    assert choose_address(load(project), project).host == "127.0.0.1"
    assert server.n_connections == 0


def test_another_host_than_the_machine_has_is_refused(write: Callable[..., Path]) -> None:
    project = write({"n": {"ssh_host": "a", "public_host": "b"}})
    with pytest.raises(ConfigError, match="no address of the machine n"):
        choose_address(replace(load(project), host="c"), project)
