"""Targets that name a machine of the hosts file."""

from collections.abc import Mapping

import pytest

from hsm.config.load import parse_document
from hsm.config.settings import SyncConfig
from hsm.errors import ConfigError

FOUND = {
    "host": "100.64.0.1",
    "user": "ubuntu",
    "port": 2222,
    "paths": {"project_root": "~/project"},
    "ssh": {"identity_file": "/k/id", "options": {"Compression": "yes"}},
}


def parse(target: str, *, found: Mapping[str, object] | str = FOUND) -> SyncConfig:
    text = f"sync_targets:\n  t:\n    node: gpu-1\n{target}"
    return parse_document(text, "x.yaml", find_node=lambda _name: found)[0].make()


def test_a_node_stands_for_host_user_port_and_folder() -> None:
    settings = parse("    paths: {sweeps: sweeps, wandb: wandb}\n").sync_targets["t"]
    assert (settings.node, settings.host, settings.user, settings.port) == ("gpu-1", "100.64.0.1", "ubuntu", 2222)
    assert (settings.paths.sweeps, settings.paths.wandb) == ("~/project/sweeps", "~/project/wandb")
    assert (settings.ssh.identity_file, settings.ssh.options) == ("/k/id", {"Compression": "yes"})
    assert not settings.is_folder


def test_keys_of_the_target_win() -> None:
    ssh = "    ssh: {identity_file: /other, options: {Compression: no}}\n"
    settings = parse(f"{ssh}    paths: {{project_root: /p, sweeps: s, wandb: w}}\n").sync_targets["t"]
    assert (settings.paths.sweeps, settings.ssh.identity_file) == ("/p/s", "/other")
    assert settings.ssh.options == {"Compression": "no"}


PATHS = "    paths: {sweeps: s, wandb: w}\n"
MISTAKES = {
    "unknown": (PATHS, "no such machine", "has 1 problem:\n  line 3  sync_targets.t.node: no such machine"),
    "host": (f"    host: h\n{PATHS}", FOUND, "line 4  sync_targets.t.host: is said by the node"),
    "port": (f"{PATHS}    port: 1\n", FOUND, "line 5  sync_targets.t.port: is said by the node"),
}


@pytest.mark.parametrize(("target", "found", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_have_their_line(target: str, found: Mapping[str, object] | str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(target, found=found)
    assert words in caught.value.message


def test_without_a_hosts_file_a_node_is_no_folder_of_this_machine() -> None:
    with pytest.raises(ConfigError, match="hosts file"):
        parse_document("sync_targets:\n  t: {node: a, paths: {sweeps: /s, wandb: /w}}\n", "x.yaml")
