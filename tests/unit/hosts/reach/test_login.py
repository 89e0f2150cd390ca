"""Addresses by which ssh servers answer, among hostile ones."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from hsm.hosts import ClusterNode
from hsm.hosts.reach.address_memory import load_memory
from hsm.hosts.reach.login import find_greetings, find_logins, make_login
from tests.unit.hosts.conftest import BAD, Server, be_silent, find_free_port


def be_ssh(connection: socket.socket) -> None:
    connection.sendall(b"Welcome\r\nSSH-2.0-Test_1\r\n")
    be_silent(connection)


def test_the_ssh_server_that_answers_is_found(serve: Callable[..., Server]) -> None:
    port = find_free_port()
    serve(be_silent, "127.0.0.2", port)
    serve(be_ssh, "127.0.0.3", port)
    node = ClusterNode("n", tailscale_ip="127.0.0.2", lan_host="127.0.0.9", public_host="127.0.0.3", ssh_port=port)
    found, poor = find_greetings([node])
    assert (found["n"].address, found["n"].banner, poor) == ("127.0.0.3", "SSH-2.0-Test_1", {})
    assert load_memory() == {f"n:{port}": "127.0.0.3"}
    assert find_logins([node])["n"].host == "127.0.0.3"


@pytest.mark.parametrize("name", [name for name in BAD if name != "be_rubbish"])
def test_what_is_no_ssh_server_is_told_apart_from_nothing(serve: Callable[..., Server], name: str) -> None:
    server = serve(BAD[name])
    nodes = [
        ClusterNode("bad", ssh_host="127.0.0.1", ssh_port=server.port),
        ClusterNode("absent", ssh_host="127.0.0.1", ssh_port=find_free_port()),
        ClusterNode("bare"),
    ]
    found, poor = find_greetings(nodes, timeout_seconds=0.6)
    assert (found, {name: greeting.problem for name, greeting in poor.items()}) == (
        {},
        {"bad": "", "absent": "refused"},
    )


def test_another_server_on_the_ssh_port_is_told(serve: Callable[..., Server]) -> None:
    server = serve(lambda connection: connection.sendall(b"220 mail.example.org\r\n"))
    _, poor = find_greetings([ClusterNode("mail", ssh_host="127.0.0.1", ssh_port=server.port)])
    assert poor["mail"].problem == "no ssh server"


def test_a_node_with_one_address_is_not_asked_in_advance(serve: Callable[..., Server]) -> None:
    server = serve(be_ssh)
    node = ClusterNode("n", ssh_host="me@127.0.0.1", ssh_port=server.port)
    settings = find_logins([node, ClusterNode("bare")])
    assert list(settings) == ["n"]
    assert (settings["n"].host, settings["n"].user, settings["n"].port) == ("127.0.0.1", "me", server.port)
    assert server.n_connections == 0


def test_the_jump_host_is_the_last_way(serve: Callable[..., Server]) -> None:
    port = find_free_port()
    node = ClusterNode(
        "n", tailscale_ip="127.0.0.2", ssh_host="inner", jump_host="me@gate:2222", ssh_port=port, ssh_key="/k/id"
    )
    server = serve(be_ssh, "127.0.0.2", port)
    direct = find_logins([node], timeout_seconds=20)["n"]
    assert (direct.host, direct.ssh.options, direct.ssh.identity_file) == ("127.0.0.2", {}, "/k/id")
    server.stop()
    through = find_logins([node], timeout_seconds=2)["n"]
    assert (through.host, through.ssh.options) == ("inner", {"ProxyJump": "me@gate:2222"})


def test_settings_of_a_node() -> None:
    node = ClusterNode("n", ssh_host="h", ssh_options={"Compression": "yes"}, ringrift_path="~")
    settings = make_login(node, None)
    assert (settings.host, settings.user, settings.port) == ("h", "ubuntu", 22)
    assert (settings.paths.sweeps, settings.ssh.options) == ("~/sweeps", {"Compression": "yes"})
