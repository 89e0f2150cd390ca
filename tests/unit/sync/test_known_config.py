"""The configuration as the last call read it: the same as anew, and only while the file is the same."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.errors import ConfigError
from hsm.sync import known_config
from hsm.sync.known_config import load_known_config

CONFIG = """
default_target: desktop
source: {sweeps: trials}
sync_targets:
  desktop:
    host: desk
    port: 2222
    paths: {project_root: ~/p, sweeps: sweeps, wandb: wandb}
    options: {latest_only: uploaded, max_depth: null, exclude: ["*.ckpt"], folder_links: [/scratch]}
    ssh: {identity_file: ~/.ssh/id, options: {ServerAliveInterval: 5}}
    after_sync: [{wandb_sync: true}, {run: make figures}]
  nas: {paths: {sweeps: /mnt/s, wandb: /mnt/w}}
"""
PATTERN = "sweeps:\n  'sweep_2024*': {paths: {wandb: /archive}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(known_config, "find_control_folder", lambda: folder)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "p/.hsm").mkdir(parents=True)
    write(tmp_path / "p", CONFIG)
    return tmp_path / "p"


def write(project: Path, text: str) -> None:
    (project / ".hsm/sync_config.yaml").write_text(text)


def load_twice(project: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedConfig:
    """Load it, and once more where reading it anew would fail."""
    load_known_config(project)
    with monkeypatch.context() as patch:
        patch.setattr(known_config, "_load", None)
        return load_known_config(project)


@pytest.mark.parametrize("text", [CONFIG, CONFIG + PATTERN, PATTERN + CONFIG.replace("source: {sweeps: trials}", "")])
def test_it_is_what_the_file_says(folder: Path, project: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    write(project, text)
    known, anew = load_twice(project, monkeypatch), load_project_config(project)
    assert known.config == anew.config
    assert (known.path, known.project) == (anew.path, anew.project)
    assert known.layers.choose("desktop", "sweep_2024").keys() == anew.layers.choose("desktop", "sweep_2024").keys()
    (kept,) = folder.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_another_file_is_read_anew(folder: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_twice(project, monkeypatch)
    stamp = (project / ".hsm/sync_config.yaml").stat()
    write(project, CONFIG.replace("2222", "2223"))
    os.utime(project / ".hsm/sync_config.yaml", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert load_known_config(project).config.sync_targets["desktop"].port == 2223
    write(project, CONFIG.replace("2222", "none"))
    with pytest.raises(ConfigError, match="port"):
        load_known_config(project)
    assert list(folder.iterdir())


def test_the_environment_overrides_it(folder: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_twice(project, monkeypatch)
    monkeypatch.setenv("hsm_sync__desktop__port", "99")
    assert load_known_config(project).config.sync_targets["desktop"].port == 99
    monkeypatch.undo()
    monkeypatch.setattr(known_config, "find_control_folder", lambda: folder)
    assert load_known_config(project).config.sync_targets["desktop"].port == 2222


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param("ssh: {options: {SetEnv: TOKEN=secret}}, host: h", None, id="a secret"),
        pytest.param("node: gpu-1", {"host": "h", "paths": {"project_root": "/p"}}, id="a machine of the hosts file"),
    ],
)
def test_what_is_secret_or_depends_on_more_is_not_kept(
    folder: Path, project: Path, line: str, found: dict[str, object] | None
) -> None:
    write(project, f"sync_targets: {{t: {{{line}, paths: {{sweeps: /s, wandb: /w}}}}}}\n")
    load_known_config(project, find_node=lambda _project, _name: found or "none")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema": 1, "key": 1}', "\0"])
def test_a_damaged_one_is_no_error(folder: Path, project: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    load_twice(project, monkeypatch)
    (kept,) = folder.iterdir()
    kept.write_text(content)
    assert load_known_config(project).config == load_project_config(project).config


def test_without_a_private_folder_nothing_is_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_config, "find_control_folder", lambda: None)
    assert load_known_config(project).config == load_project_config(project).config


def test_a_push_imports_neither_yaml_nor_the_schema(project: Path) -> None:
    words = "import sys, hsm.sync.bring.push, hsm.sync.known_config; print({'pydantic', 'yaml'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", words], cwd=project, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
