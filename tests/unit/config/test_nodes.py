"""Targets that name a machine of the hosts file."""

import pytest

from hsm.config.load import parse_document
from hsm.errors import ConfigError

FOUND = {
    "host": "100.64.0.1",
    "user": "ubuntu",
    "port": 2222,
    "paths": {"project_root": "~/project"},
    "ssh": {"identity_file": "/k/id", "options": {"Compression": "yes"}},
}


def parse(target: str, *, found: object = FOUND):  # noqa: ANN201
    text = f"sync_targets:\n  t:\n    node: gpu-1\n{target}"
    return parse_document(text, "x.yaml", find_node=lambda name: found if name == "gpu-1" else "unknown")[0]  # type: ignore[arg-type,return-value]


def test_a_node_stands_for_host_user_port_and_folder() -> None:
    settings = parse("    paths: {sweeps: sweeps, wandb: wandb}\n").sync_targets["t"]
    assert (settings.node, settings.host, settings.user, settings.port) == ("gpu-1", "100.64.0.1", "ubuntu", 2222)
    assert (settings.paths.sweeps, settings.paths.wandb) == ("~/project/sweeps", "~/project/wandb")
    assert (settings.ssh.identity_file, settings.ssh.options) == ("/k/id", {"Compression": "yes"})
    assert not settings.is_folder


def test_keys_of_the_target_win() -> None:
    more = "    ssh: {identity_file: /other, options: {Compression: no}}\n    paths: {project_root: /p, sweeps: s, wandb: w}\n"
    settings = parse(more).sync_targets["t"]
    assert (settings.paths.sweeps, settings.ssh.identity_file) == ("/p/s", "/other")
    assert settings.ssh.options == {"Compression": "no"}


MISTAKES = {
    "unknown": ("    paths: {sweeps: s, wandb: w}\n", "no machine of that name", "line 3  sync_targets.t.node: no machine"),
    "host": ("    host: h\n    paths: {sweeps: s, wandb: w}\n", FOUND, "line 4  sync_targets.t.host: is said by the node"),
    "port": ("    paths: {sweeps: s, wandb: w}\n    port: 1\n", FOUND, "line 5  sync_targets.t.port: is said by the node"),
}  # fmt: skip


@pytest.mark.parametrize(("target", "found", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_have_their_line(target: str, found: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(target, found=found)
    assert words in caught.value.message


def test_without_a_hosts_file_a_node_is_no_folder_of_this_machine() -> None:
    with pytest.raises(ConfigError, match="hosts file"):
        parse_document("sync_targets:\n  t: {node: a, paths: {sweeps: /s, wandb: /w}}\n", "x.yaml")
