"""Statuses over HTTP, of good servers and hostile ones."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.hosts import (
    ClusterNode,
    check_http_endpoint,
    check_node_reachable,
    discover_reachable_nodes,
    get_data_sync_urls,
    get_elo_sync_urls,
    get_sync_urls,
)
from hsm.hosts.inventory.identity import is_same_name, is_self
from hsm.hosts.inventory.node import make_url
from hsm.hosts.reach.address_memory import KEPT_SECONDS, get_memory_path, load_memory, make_order, save_memory
from tests.unit.hosts.conftest import BAD, STATUS, Server, answer, be_good, be_silent, find_free_port


def test_importing_the_package_is_light() -> None:
    heavy = "pydantic httpx yaml asyncio anyio rich typer hsm.hosts.inventory.load hsm.hosts.inventory.node"
    code = f"import sys, hsm.hosts; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_the_package_exports_what_it_says() -> None:
    import hsm.hosts

    assert all(getattr(hsm.hosts, name) is not None for name in hsm.hosts.__all__)
    assert set(hsm.hosts.__all__) <= set(dir(hsm.hosts))
    with pytest.raises(AttributeError):
        _ = hsm.hosts.absent


def test_a_good_server_answers(serve: Callable[..., Server]) -> None:
    server = serve(be_good)
    assert check_http_endpoint("127.0.0.1", server.port) == STATUS
    assert check_http_endpoint("localhost", server.port, "status", 5) == STATUS


def test_ipv6(serve: Callable[..., Server]) -> None:
    try:
        server = serve(be_good, "::1")
    except OSError:
        pytest.skip("no IPv6 here")
    assert check_http_endpoint("::1", server.port) == STATUS
    assert check_http_endpoint("[::1]", server.port) == STATUS


@pytest.mark.parametrize("name", BAD)
def test_a_bad_server_is_none(serve: Callable[..., Server], name: str) -> None:
    assert check_http_endpoint("127.0.0.1", serve(BAD[name]).port, timeout=1) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "", "[::", "a b", "\x00", "x" * 300])
def test_nobody_there_is_none(host: str) -> None:
    assert check_http_endpoint(host, find_free_port(), timeout=2) is None


def test_a_redirect_on_the_spot_is_followed(serve: Callable[..., Server]) -> None:
    def behave(connection: socket.socket) -> None:
        request = connection.recv(4096, 2)
        if request.startswith(b"GET /old"):
            answer(connection, status="302 Found", headers="Location: /status\r\n")
        else:
            be_good(connection)

    assert check_http_endpoint("127.0.0.1", serve(behave).port, "/old") == STATUS


@pytest.mark.parametrize("place", ["127.0.0.2", "127.0.0.1"])
def test_a_redirect_to_another_place_is_not_followed(serve: Callable[..., Server], place: str) -> None:
    other = serve(be_good, place)

    def behave(connection: socket.socket) -> None:
        answer(connection, status="302 Found", headers=f"Location: http://{place}:{other.port}/status\r\n")

    assert check_http_endpoint("127.0.0.1", serve(behave).port) is None
    assert other.n_connections == 0


def test_a_redirect_in_circles_ends(serve: Callable[..., Server]) -> None:
    server = serve(lambda connection: answer(connection, status="302 Found", headers="Location: /status\r\n"))
    assert check_http_endpoint("127.0.0.1", server.port) is None
    assert server.n_connections <= 5


def test_the_request_names_the_host_and_carries_the_token(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def behave(connection: socket.socket) -> None:
        seen.append(connection.recv(4096, 2).decode())
        be_good(connection)

    server = serve(behave)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{find_free_port()}")
    check_http_endpoint("localhost", server.port)
    monkeypatch.setenv("HSM_HOSTS_TOKEN", "abc")
    check_http_endpoint("localhost", server.port)
    assert f"Host: localhost:{server.port}\r\n" in seen[0]
    assert ["Authorization: Bearer abc\r\n" in request for request in seen] == [False, True]


def test_it_works_inside_a_running_event_loop(serve: Callable[..., Server]) -> None:
    port = serve(be_good).port

    async def work() -> object:
        return check_http_endpoint("127.0.0.1", port)

    assert asyncio.run(work()) == STATUS


@pytest.mark.slow
def test_nodes_are_discovered_whatever_the_others_do(
    serve: Callable[..., Server], write_hosts: Callable[..., Path]
) -> None:
    port = find_free_port()
    hosts = {"good-1": {"ssh_host": "127.0.0.1"}, "absent": {"ssh_host": "127.0.0.90"}, "bare": {}}
    serve(be_good, "127.0.0.1", port)
    for number, behave in enumerate(BAD.values(), 2):
        serve(behave, f"127.0.0.{number}", port)
        hosts[f"bad-{number}"] = {"ssh_host": f"127.0.0.{number}"}
    hosts["off"] = {"ssh_host": "127.0.0.1", "status": "offline"}
    hosts["good-2"] = {"tailscale_ip": "127.0.0.50"}
    serve(be_good, "127.0.0.50", port)
    write_hosts({"hosts": hosts, "elo_sync": {"sync_port": port}})
    found = discover_reachable_nodes(port, timeout=5)
    assert [(node.name, status) for node, status in found] == [("good-1", STATUS), ("good-2", STATUS)]
    assert get_sync_urls(port, "models") == [f"http://127.0.0.1:{port}/models", f"http://127.0.0.50:{port}/models"]
    assert get_elo_sync_urls() == [f"http://127.0.0.1:{port}/db", f"http://127.0.0.50:{port}/db"]


def test_no_nodes_no_answers(write_hosts: Callable[..., Path]) -> None:
    write_hosts("hosts:\n")
    assert (discover_reachable_nodes(), get_sync_urls(), get_data_sync_urls()) == ([], [], [])


@pytest.mark.parametrize("first", [be_silent, None], ids=["silent", "refusing"])
def test_the_second_address_answers_and_is_remembered(
    serve: Callable[..., Server], write_hosts: Callable[..., Path], first: Callable[[socket.socket], None] | None
) -> None:
    port = find_free_port()
    if first:
        serve(first, "127.0.0.2", port)
    server = serve(be_good, "127.0.0.3", port)
    node = ClusterNode("n", tailscale_ip="127.0.0.2", ssh_host="127.0.0.3")
    assert check_node_reachable(node, port, 5)
    assert load_memory() == {f"n:{port}": "127.0.0.3"}
    write_hosts({"hosts": {"n": {"tailscale_ip": "127.0.0.2", "ssh_host": "127.0.0.3"}}})
    assert get_sync_urls(port, "/db") == [f"http://127.0.0.3:{port}/db"]
    server.stop()
    assert not check_node_reachable(node, port, 1)


def test_the_preferred_address_wins_where_both_answer(
    serve: Callable[..., Server], write_hosts: Callable[..., Path]
) -> None:
    port = find_free_port()
    serve(be_good, "127.0.0.2", port)
    other = serve(be_good, "127.0.0.3", port)
    write_hosts({"hosts": {"n": {"ssh_host": "127.0.0.3", "tailscale_ip": "127.0.0.2"}}})
    assert get_sync_urls(port, "/db") == [f"http://127.0.0.2:{port}/db"]
    assert other.n_connections == 0


def test_data_urls(serve: Callable[..., Server], write_hosts: Callable[..., Path]) -> None:
    port = find_free_port()
    serve(be_good, "127.0.0.2", port)
    hosts = {
        "here": {"ssh_host": "127.0.0.2", "data_server_port": port},
        "remote": {"ssh_host": "192.0.2.1", "data_server_port": port},
        "url": {"data_server_url": f"http://127.0.0.2:{port}/"},
    }
    write_hosts({"hosts": hosts})
    here, remote = f"http://127.0.0.2:{port}", f"http://192.0.2.1:{port}"
    assert get_data_sync_urls(exclude_self=False, timeout=5) == [here]
    assert get_data_sync_urls(exclude_self=False, reachable_only=False) == [here, remote]
    assert get_data_sync_urls(reachable_only=False) == [remote, here]


SELVES = {
    "name": ({"name": "BOX"}, True),
    "name with a domain": ({"name": "box.example.org"}, True),
    "alias": ({"name": "n", "aliases": ("box",)}, True),
    "host name": ({"name": "n", "ssh_host": "me@box.local"}, True),
    "address": ({"name": "n", "tailscale_ip": "127.0.0.1"}, True),
    "other address": ({"name": "n", "tailscale_ip": "192.0.2.1"}, False),
    "any address": ({"name": "n", "ssh_host": "0.0.0.0"}, False),
    "other name": ({"name": "boxer", "ssh_host": "x"}, False),
    "no address": ({"name": "n"}, False),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "expected"), SELVES.values(), ids=SELVES.keys())
def test_this_machine_is_recognised(monkeypatch: pytest.MonkeyPatch, keys: dict, expected: bool) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    assert is_self(ClusterNode(**keys)) is expected


def test_a_loopback_address_may_be_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    assert not is_self(ClusterNode("n", ssh_host="127.0.0.1"), with_loopback=False)
    assert is_self(ClusterNode("box", ssh_host="127.0.0.1"), with_loopback=False)


def test_names_with_different_domains_are_two_machines() -> None:
    assert not is_same_name("login.a.org", "login.b.org")
    assert is_same_name("Login.a.org", "login.A.org.")
    assert not is_same_name("", "box")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::1", "http://[::1]:1/x"),
        ("[::1]", "http://[::1]:1/x"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:1/x"),
        ("10.0.0.1", "http://10.0.0.1:1/x"),
    ],
)
def test_urls_of_addresses(host: str, url: str) -> None:
    assert make_url(host, 1, "x") == make_url(host, 1, "/x") == url


def test_memory_lasts_some_minutes() -> None:
    save_memory({"a:1": "x"}, now=1000.0)
    save_memory({"b:1": "y"}, now=1001.0)
    assert load_memory(now=1002.0) == {"a:1": "x", "b:1": "y"}
    assert load_memory(now=1000.0 + KEPT_SECONDS) == {"b:1": "y"}
    assert load_memory(now=10.0) == {}
    assert get_memory_path().stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"schema": 9, "answers": {}}', '{"schema": 1, "answers": [1]}', '{"schema": 1, "answers": {"a": 1}}'],
)
def test_a_damaged_memory_is_none(text: str) -> None:
    save_memory({"a:1": "x"})
    get_memory_path().write_text(text)
    assert load_memory() == {}
    save_memory({"a:1": "x"})
    assert load_memory() == {"a:1": "x"}


def test_only_known_addresses_are_taken_from_memory() -> None:
    assert make_order(["a", "b", "c"], "c") == ["c", "a", "b"]
    assert make_order(["a", "b"], "evil") == ["a", "b"]
    assert make_order(["a", "b"], None) == ["a", "b"]
