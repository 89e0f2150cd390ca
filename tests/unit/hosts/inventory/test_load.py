import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import ConfigError, UsageError
from hsm.hosts import (
    ClusterNode,
    EloSyncConfig,
    find_hosts_file,
    get_active_nodes,
    get_cluster_nodes,
    get_coordinator_address,
    get_coordinator_node,
    get_elo_sync_config,
    load_hosts_config,
    load_inventory,
)
from hsm.hosts.inventory.document import parse_hosts
from hsm.hosts.inventory.load import select_nodes

EXAMPLE = """
hosts:
  coordinator-node:
    tailscale_ip: '100.64.0.1'       # preferred address where it answers
    ssh_host: 'coordinator.local'    # may carry user@
    ssh_user: ubuntu
    ssh_port: 22
    ssh_key: '~/.ssh/id_cluster'
    ringrift_path: '~/ringrift/ai-service'   # also spelled `path`
    status: active                   # active | terminated | offline | setup | unknown
    role: coordinator                # coordinator | worker | ...
    memory_gb: 64
    cpus: 12
    gpu: 'H100'
    data_server_port: 8766
    data_server_url: null
elo_sync:                            # also spelled `score_sync`
  coordinator: coordinator-node
  sync_port: 8766
  sync_interval: 300
  divergence_threshold: 50
  transports: [tailscale, aria2, http]
"""


def test_the_example_loads_unchanged(write_hosts: Callable[..., Path]) -> None:
    write_hosts(EXAMPLE)
    inventory = load_inventory()
    assert inventory.notes == ()
    assert dict(inventory.nodes) == {
        "coordinator-node": ClusterNode(
            name="coordinator-node",
            tailscale_ip="100.64.0.1",
            ssh_host="coordinator.local",
            ssh_key=str(Path("~/.ssh/id_cluster").expanduser()),
            status="active",
            role="coordinator",
            memory_gb=64,
            cpus=12,
            gpu="H100",
        )
    }
    assert get_elo_sync_config() == EloSyncConfig(coordinator="coordinator-node")
    assert get_coordinator_node() == inventory.nodes["coordinator-node"]
    assert get_coordinator_address() == ("100.64.0.1", 8766)
    assert load_hosts_config()["hosts"]["coordinator-node"]["ssh_key"] == "~/.ssh/id_cluster"


def test_defaults(write_hosts: Callable[..., Path]) -> None:
    write_hosts("hosts: {bare: , host: {gpu: null}}\n")
    node = get_cluster_nodes()["bare"]
    assert node == ClusterNode("bare")
    assert (node.ssh_user, node.ssh_port, node.ringrift_path) == ("ubuntu", 22, "~/ringrift/ai-service")
    assert (node.status, node.role, node.memory_gb, node.cpus, node.gpu) == ("unknown", "unknown", 0, 0, "")
    assert (node.data_server_port, node.best_ip, node.data_server_base_url) == (8766, None, None)
    config = get_elo_sync_config()
    assert (config.coordinator, config.sync_port, config.sync_interval) == ("mac-studio", 8766, 300)
    assert (config.divergence_threshold, config.transports) == (50, ("tailscale", "aria2", "http"))


def run_python(code: str, cwd: Path) -> tuple[str, list[str]]:
    """Run a program of its own, since what is told once is told once in a process."""
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip(), done.stderr.splitlines()


def test_without_a_file_all_is_empty_and_a_note_says_where_was_looked(tmp_path: Path) -> None:
    code = "from hsm.hosts import *; print(load_hosts_config(), get_cluster_nodes(), get_active_nodes())"
    found, notes = run_python(code, tmp_path)
    assert found == "{} {} []"
    (note,) = notes
    for place in ("HSM_HOSTS_FILE", ".hsm/hosts.yaml", "config/distributed_hosts.yaml"):
        assert place in note


def test_unknown_keys_are_kept_and_told_once(write_hosts: Callable[..., Path]) -> None:
    path = write_hosts("rack: 7\nhosts:\n  a:\n    colour: red\nelo_sync: {speed: 3}\n")
    code = "from hsm.hosts import *; print(load_hosts_config()); print(get_cluster_nodes()['a'].extra)"
    found, notes = run_python(code, path.parent)
    assert found.splitlines() == [
        "{'rack': 7, 'hosts': {'a': {'colour': 'red'}}, 'elo_sync': {'speed': 3}}",
        "{'colour': 'red'}",
    ]
    (note,) = notes
    for words in ("rack (line 1)", "hosts.a.colour (line 4)", "elo_sync.speed (line 5)"):
        assert words in note


def test_a_mistyped_key_has_its_neighbour_told() -> None:
    (note,) = parse_hosts("hosts:\n  a: {ssh_prot: 22, rack: 3}\n", "x", {}).notes
    assert "hosts.a.ssh_prot (line 2, did you mean ssh_port?)" in note
    assert "hosts.a.rack (line 2)" in note


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    places = [tmp_path / "config/distributed_hosts.yaml", tmp_path / ".hsm/hosts.yaml", tmp_path / "a/.hsm/hosts.yaml"]
    assert find_hosts_file() is None
    for path in places:
        path.parent.mkdir(exist_ok=True)
        path.write_text("hosts:\n")
        assert find_hosts_file() == path
    monkeypatch.setenv("HSM_HOSTS_FILE", "~/named.yaml")
    assert find_hosts_file() == Path.home() / "named.yaml"
    assert find_hosts_file(tmp_path / "x.yaml") == tmp_path / "x.yaml"


@pytest.mark.parametrize("variable", [True, False])
def test_a_file_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: bool) -> None:
    monkeypatch.setenv("HSM_HOSTS_FILE", str(tmp_path / "absent.yaml"))
    with pytest.raises(ConfigError, match=r"absent\.yaml") as caught:
        load_inventory(None if variable else tmp_path / "absent.yaml")
    assert caught.value.kind == "no_hosts_file"


BROKEN = {
    "port": ("hosts:\n  a:\n    ssh_port: 99999\n", 3, "hosts.a.ssh_port: found the number 99999, allowed: a whole"),
    "port as text": ("hosts:\n  a:\n    ssh_port: 'x'\n", 3, "hosts.a.ssh_port: found 'x', allowed: a whole number"),
    "status": ("hosts: {a: {status: activ}}\n", 1, "hosts.a.status: found 'activ', allowed: active, terminated"),
    "gpu number": ("hosts:\n  a:\n    gpu: 4090\n", 3, 'if it is meant as text, write "4090"'),
    "host option": ("hosts:\n  a: {ssh_host: -oProxyCommand=x}\n", 2, "hosts.a.ssh_host: '-oProxyCommand=x' begins"),
    "host shell": ("hosts:\n  a: {ssh_host: 'x;id'}\n", 2, "has ;"),
    "user option": ("hosts:\n  a: {ssh_host: '-l@x'}\n", 2, "begins with a dash"),
    "url": ("hosts:\n  a: {data_server_url: 'file:///etc'}\n", 2, "hosts.a.data_server_url: 'file:///etc' is no URL"),
    "url user": ("hosts:\n  a: {data_server_url: 'http://u:p@x'}\n", 2, "has a user"),
    "url port": ("hosts:\n  a: {data_server_url: 'http://x:99999'}\n", 2, "hosts.a.data_server_url"),
    "both paths": ("hosts:\n  a: {path: /x, ringrift_path: /y}\n", 2, "hosts.a: ringrift_path and path are one"),
    "path": ("hosts:\n  a:\n    gpu: x\n    path: ../x\n", 4, "hosts.a.ringrift_path: '../x' is relative"),
    "both scores": ("elo_sync: {}\nscore_sync: {}\n", 1, "elo_sync and score_sync are one setting"),
    "scores port": ("score_sync:\n  sync_port: 0\n", 2, "elo_sync.sync_port: found the number 0"),
    "transport": ("elo_sync:\n  transports: [ftp]\n", 2, "elo_sync.transports[0]: found 'ftp', allowed: a list of"),
    "hosts list": ("hosts: [a]\n", 1, "hosts: found a list, allowed: sections"),
    "node text": ("hosts:\n  a: x\n", 2, "hosts.a: found 'x', allowed: a section with the keys of a machine"),
    "name": ("hosts:\n  'a b': {}\n", 2, "cannot name a target"),
    "twice": ("hosts:\n  a: {}\n  a: {}\n", 3, "hosts.a: is there twice, first in line 2"),
    "variable": ("hosts:\n  a: {ssh_host: $ABSENT}\n", 2, "names the environment variable ABSENT, which is not set"),
    "secret": ("hosts:\n  a: {ssh_host: '${API_KEY}.x'}\n", 2, "names $API_KEY, which looks like a secret"),
    "transfer": ("hosts:\n  a: {transfer_host: b}\n", 2, "hosts.a.transfer_host: found 'b', allowed: the name of"),
    "option": ("hosts:\n  a:\n    ssh_options: {ProxyCommand: x}\n", 3, "runs programs"),
    "a scalar": ("just text\n", 1, "allowed: the keys hosts, elo_sync"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_mistake_has_its_line_and_key(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_hosts(text, "hosts.yaml", {"API_KEY": "s3cret"})
    assert caught.value.kind == "bad_hosts"
    assert words in caught.value.message
    assert f"line {line} " in caught.value.message
    assert "s3cret" not in caught.value.message


def test_a_value_of_setenv_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_hosts('hosts:\n  a:\n    ssh_options: {SetEnv: "TOKEN=hunter2\\n"}\n', "hosts.yaml", {})
    assert "line 3 " in caught.value.message
    assert "hunter2" not in caught.value.message


def test_all_mistakes_are_told_at_once() -> None:
    text = "hosts:\n  a: {ssh_port: 0}\n  b:\n    cpus: -1\n"
    with pytest.raises(ConfigError, match=r"2 problems") as caught:
        parse_hosts(text, "hosts.yaml", {})
    assert ["line 2" in caught.value.message, "line 4" in caught.value.message] == [True, True]


def test_what_is_no_yaml_has_its_line() -> None:
    with pytest.raises(ConfigError, match="line 2") as caught:
        parse_hosts("hosts:\n  a: {", "hosts.yaml", {})
    assert caught.value.kind == "bad_yaml"


def test_variables_and_home_expand(write_hosts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "gpu.example.org")
    monkeypatch.setenv("ME", "alice")
    write_hosts(
        dedent("""
        hosts:
          a:
            ssh_host: login.${CLUSTER}
            ssh_user: $ME
            ssh_key: ~/.ssh/$ME
            path: /scratch/$ME/p
            note: $ME
        """)
    )
    node = get_cluster_nodes()["a"]
    assert (node.ssh_host, node.ssh_user, node.path) == ("login.gpu.example.org", "alice", "/scratch/alice/p")
    assert node.ssh_key == str(Path.home() / ".ssh/alice")
    assert node.extra == {"note": "$ME"}


ADDRESSES = {
    "tailscale first": ({"tailscale_ip": "100.1.1.1", "ssh_host": "a@b"}, "100.1.1.1", "http://100.1.1.1:8766"),
    "user is cut": ({"ssh_host": "me@box.local"}, "box.local", "http://box.local:8766"),
    "ipv6": ({"tailscale_ip": "fd7a::1"}, "fd7a::1", "http://[fd7a::1]:8766"),
    "ipv6 in brackets": ({"ssh_host": "me@[fd7a::2]"}, "fd7a::2", "http://[fd7a::2]:8766"),
    "ssh_host before lan": ({"ssh_host": "x", "lan_host": "y"}, "x", "http://x:8766"),
    "lan alone": ({"lan_host": "y", "data_server_port": 9}, "y", "http://y:9"),
    "url": ({"ssh_host": "x", "data_server_url": "https://d.example.org/p/"}, "x", "https://d.example.org/p"),
    "nothing": ({}, None, None),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "best", "url"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_addresses(keys: dict, best: str | None, url: str | None) -> None:
    node = ClusterNode("n", **keys)
    assert (node.best_ip, node.data_server_base_url) == (best, url)


@pytest.mark.parametrize(
    ("status", "is_active"),
    [("active", True), ("unknown", True), ("terminated", False), ("offline", False), ("setup", False)],
)
def test_status(write_hosts: Callable[..., Path], status: str, is_active: bool) -> None:
    write_hosts({"hosts": {"a": {"status": status}}})
    assert [node.name for node in get_active_nodes()] == (["a"] if is_active else [])


def test_login_user() -> None:
    assert ClusterNode("a", ssh_host="me@x", ssh_user="you").login_user == "me"
    assert ClusterNode("a", ssh_host="x", ssh_user="you").login_user == "you"


COORDINATORS = {
    "none": ({}, {}, None),
    "variable": ({}, {"RINGRIFT_COORDINATOR_IP": "10.0.0.2"}, "10.0.0.2"),
    "own variable first": ({}, {"RINGRIFT_COORDINATOR_IP": "10.0.0.2", "HSM_COORDINATOR_IP": "::1"}, "::1"),
    "an empty one is none": ({}, {"RINGRIFT_COORDINATOR_IP": "10.0.0.2", "HSM_COORDINATOR_IP": ""}, "10.0.0.2"),
    "no address": ({"mac-studio": {}}, {"HSM_COORDINATOR_IP": "10.0.0.1"}, "10.0.0.1"),
    "file first": ({"mac-studio": {"ssh_host": "m"}}, {"HSM_COORDINATOR_IP": "10.0.0.1"}, "m"),
}


@pytest.mark.parametrize(("hosts", "variables", "expected"), COORDINATORS.values(), ids=COORDINATORS.keys())
def test_coordinator_address(
    write_hosts: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    hosts: dict,
    variables: dict,
    expected: str | None,
) -> None:
    monkeypatch.delenv("RINGRIFT_COORDINATOR_IP", raising=False)
    write_hosts({"hosts": hosts, "elo_sync": {"sync_port": 9000}})
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert get_coordinator_address() == (expected, 9000)


def test_a_variable_that_is_no_address_is_an_error(
    write_hosts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hosts("hosts:\n")
    monkeypatch.setenv("HSM_COORDINATOR_IP", "http://x/")
    with pytest.raises(ConfigError, match="HSM_COORDINATOR_IP"):
        get_coordinator_address()


def test_selection() -> None:
    text = "hosts:\n  a: {role: worker, gpu: NVIDIA H100, aliases: [alpha]}\n  b: {role: worker, status: offline}\n"
    inventory = parse_hosts(text, "x", {})

    def select(*names: str, **options: Any) -> str:
        return " ".join(node.name for node in select_nodes(inventory, names, **options))

    assert select() == "a b"
    assert select(is_active=True) == "a"
    assert select("b", "alpha", "a", is_active=True) == "b a"
    assert select(gpu="h100") == "a"
    assert select(role="coordinator") == ""
    with pytest.raises(UsageError, match="'alfa'"):
        select("alfa")


@given(st.text(max_size=200))
def test_any_text_is_an_inventory_or_an_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_hosts(text, "x", {})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["hosts", "elo_sync", "score_sync", "a", "path", "ringrift_path", "ssh_port", "aliases", "transports",
         "ssh_options", "status", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(values)
def test_any_document_is_an_inventory_or_an_error(value: object) -> None:
    with contextlib.suppress(ConfigError):
        parse_hosts(yaml.safe_dump({"hosts": {"a": value}, "elo_sync": value}), "x", {})


@pytest.mark.parametrize("place", ["the file", "its folder", "the folder behind a symlink"])
@pytest.mark.parametrize("mode", [0o777, 0o1777], ids=["open", "sticky"])
def test_what_others_may_write_decides_no_login(
    write_hosts: Callable[..., Path], tmp_path: Path, place: str, mode: int
) -> None:
    path = write_hosts("hosts: {a: {ssh_key: ~/k, ssh_options: {Compression: true}, cpus: 4}, b: {cpus: 2}}\n")
    real = tmp_path / "real"
    real.mkdir()
    if place == "the folder behind a symlink":
        path.rename(real / "hosts.yaml")
        path.symlink_to(real / "hosts.yaml")
    {"the file": path, "its folder": path.parent}.get(place, real).chmod(mode)
    node, (note,) = load_inventory().nodes["a"], load_inventory().notes
    assert (node.ssh_key, node.ssh_options, node.cpus) == (None, {}, 4)
    assert note.startswith("ssh_key and ssh_options of a are ignored, because everybody may write to ")
