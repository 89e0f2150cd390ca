import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsm.hosts.inventory.document import parse_hosts
from hsm.hosts.inventory.importing import iter_ssh_aliases, make_hosts_text, parse_tailscale, read_ssh_hosts
from hsm.process.runner import Runner

CONFIG = """
Host gpu1 "gpu 2" *.example.org !bad
    HostName 10.0.0.5
    User alice
    Port 2222
    IdentityFile ~/.ssh/one
host=gate
Match host x
# Host commented
Include {folder}/more/*.conf
Host *
    ForwardAgent no
Host behind
    ProxyJump gate
    HostName inner.local
"""
PEERS: dict[str, Any] = {
    "a": {"DNSName": "gpu-1.tail.ts.net.", "TailscaleIPs": ["100.1.2.3", "fd7a::1"], "Online": True},
    "b": {"DNSName": "old.tail.ts.net.", "TailscaleIPs": ["100.1.2.4"], "Online": False},
    "c": {"DNSName": "-evil.tail.ts.net.", "TailscaleIPs": ["100.1.2.5"]},
    "d": {"DNSName": "bad.tail.ts.net.", "TailscaleIPs": ["$(id)"]},
    "e": {"DNSName": "empty.tail.ts.net.", "TailscaleIPs": []},
    "f": None,
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "x.conf").write_text(f"Host included\n  User bob\nInclude {tmp_path}/config\n")
    path = tmp_path / "config"
    path.write_text(CONFIG.format(folder=tmp_path))
    path.chmod(0o600)
    return path


def test_aliases_of_an_ssh_configuration(config: Path) -> None:
    assert list(dict.fromkeys(iter_ssh_aliases(config))) == ["gpu1", "gpu 2", "gate", "included", "behind"]
    assert list(iter_ssh_aliases(config / "absent")) == []


def test_settings_are_those_of_ssh(tmp_path: Path, config: Path) -> None:
    (tmp_path / "more" / "x.conf").write_text("Host included\n  User bob\n")
    found = read_ssh_hosts(Runner(), config)
    assert list(found) == ["gpu1", "gate", "included", "behind"]
    assert found["gpu1"] == {"ssh_host": "10.0.0.5", "ssh_user": "alice", "ssh_port": 2222, "ssh_key": "~/.ssh/one"}
    assert (found["behind"]["ssh_host"], found["behind"]["jump_host"]) == ("inner.local", "gate")
    assert list(parse_hosts(make_hosts_text(found), "x", {}).nodes) == list(found)


def test_peers_of_a_tailnet() -> None:
    found = parse_tailscale(json.dumps({"Peer": PEERS}).encode())
    assert found == {
        "gpu-1": {"tailscale_ip": "100.1.2.3", "status": "active"},
        "old": {"tailscale_ip": "100.1.2.4", "status": "offline"},
    }


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"Peer": null}', b'{"Peer": [1]}'])
def test_what_is_no_answer_of_tailscale_has_no_peers(content: bytes) -> None:
    assert parse_tailscale(content) == {}


def test_sources_are_joined_and_wrong_machines_left_out() -> None:
    text = make_hosts_text(
        {"a": {"ssh_host": "x"}, "b": {"ssh_host": "-oProxyCommand=x"}}, {"a": {"tailscale_ip": "1.2.3.4"}}
    )
    assert yaml.safe_load(text) == {"hosts": {"a": {"ssh_host": "x", "tailscale_ip": "1.2.3.4"}}}
