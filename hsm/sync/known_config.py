"""Configuration as the last call read it: while the file is the same, neither YAML nor the schema need be imported.

That is a quarter of the time of a call that has nothing to do. What is kept lies in the private folder of the hints,
which no other user can write to. Nothing is kept of what depends on more than the file (environment, hosts file), nor
of a configuration that holds secrets. Without this module a call is only slower.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hsm._version import __version__
from hsm.config.layers import ENVIRONMENT_PREFIX, Layers
from hsm.config.loaded import LoadedConfig, find_config, read_config_text, show_config_path
from hsm.config.settings import (
    AfterSyncStep,
    SourceSettings,
    SshSettings,
    SyncConfig,
    SyncOptions,
    TargetPaths,
    TargetSettings,
)
from hsm.files import USELESS_ERRORS, load_json, save_json
from hsm.remote.openssh.command_line import has_secrets
from hsm.remote.openssh.control_folder import find_control_folder

SCHEMA = 1


def load_known_config(
    start: Path, *, find_node: Callable[[Path, str], Mapping[str, object] | str] | None = None
) -> LoadedConfig:
    """Load the configuration as `hsm.config.load.load_project_config` does, with this process's environment.

    Raises:
        ConfigError: As there.
    """
    folder = find_control_folder()
    is_overridden = any(name.upper().startswith(ENVIRONMENT_PREFIX) for name in os.environ)
    if folder is None or is_overridden:
        return _load(start, find_node)
    path = find_config(start)
    shown = show_config_path(path, start)
    text = read_config_text(path, shown)
    place = folder / f"config-{_hash(os.fspath(path))[:16]}.json"
    key = _make_key(path, text)
    with contextlib.suppress(*USELESS_ERRORS):
        document: dict[str, Any] = load_json(place, schema=SCHEMA) or {}
        if document.get("key") == key:
            return LoadedConfig(_parse(document["config"]), path, path.parent.parent, lambda: _read_layers(text, shown))
    loaded = _load(start, find_node)
    targets = loaded.config.sync_targets.values()
    if not any(target.node is not None or has_secrets(target) for target in targets):
        with contextlib.suppress(*USELESS_ERRORS):
            config = {**asdict(loaded.config), "source_keys": sorted(loaded.config.source_keys)}
            save_json(place, {"key": key, "config": config}, schema=SCHEMA)
    return loaded


def _load(start: Path, find_node: Callable[[Path, str], Mapping[str, object] | str] | None) -> LoadedConfig:
    from hsm.config.load import load_project_config  # noqa: PLC0415 - what this module saves

    return load_project_config(start, find_node=find_node)


def _read_layers(text: str, shown: str) -> Layers:
    from hsm.config.load import parse_document  # noqa: PLC0415 - what this module saves

    return parse_document(text, shown)[1]


def _make_key(path: Path, text: str) -> str:
    """Make what differs once the file or the rules that it was read by are others."""
    rules = Path(__file__).parent.parent / "config"
    # The version alone would not tell what somebody works on.
    stamps = sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(rules) if entry.name.endswith(".py"))
    return _hash(f"{__version__} {stamps} {path} {text}")


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _parse(document: dict[str, Any]) -> SyncConfig:
    source = document["source"]
    return SyncConfig(
        source=SourceSettings(**{**source, "wandb_folders": tuple(source["wandb_folders"])}),
        sync_targets={name: _parse_target(target) for name, target in document["sync_targets"].items()},
        default_target=tuple(document["default_target"]),
        sweeps=document["sweeps"],
        source_keys=frozenset(document["source_keys"]),
    )


def _parse_target(target: dict[str, Any]) -> TargetSettings:
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in target["options"].items()
    }
    sections = {
        "paths": TargetPaths(**target["paths"]),
        "ssh": SshSettings(**target["ssh"]),
        "options": SyncOptions(**options),
        "after_sync": tuple(AfterSyncStep(**step) for step in target["after_sync"]),
    }
    return TargetSettings(**{**target, **sections})
