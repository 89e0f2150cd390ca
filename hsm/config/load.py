"""Reader of `.hsm/sync_config.yaml`, which reports all problems of the file at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml
from pydantic_core import ErrorDetails

from hsm.config.file_layers import iter_pattern_findings, make_file_layers
from hsm.config.form import SYNC_CONFIG
from hsm.config.layers import Layers, Setting
from hsm.config.loaded import LoadedConfig, find_config, read_config_text, show_config_path
from hsm.config.nodes import FindNode, fill_nodes
from hsm.config.overrides import parse_environment
from hsm.config.resolve import make_override_error, resolve_targets
from hsm.config.schema import ConfigSection
from hsm.config.sections import list_keys, validate
from hsm.config.settings import SyncConfig
from hsm.config.yaml.document import Builder, Location, compose, is_null, make_dotted, show_value
from hsm.config.yaml.findings import get_location
from hsm.config.yaml.indentation import find_outdented
from hsm.errors import ConfigError


def load_project_config(
    start: Path,
    *,
    environment: Mapping[str, str] | None = None,
    find_node: Callable[[Path, str], Mapping[str, object] | str] | None = None,
) -> LoadedConfig:
    """Load the configuration of the project that `start` lies in, with what environment variables override.

    Args:
        start: A folder.
        environment: Variables; this process's by default.
        find_node: Looks a machine up that a target names, given the project (`hsm.config.nodes.FindNode`).

    Raises:
        ConfigError: There is none (kind `no_config`), it is no YAML (`bad_yaml`), or it cannot be read or
            says what it must not (`bad_config`), or a variable does (`bad_override`); the message then lists every
            problem, by line.
    """
    path = find_config(start)
    project = path.parent.parent
    shown = show_config_path(path, start)
    find = partial(find_node, project) if find_node else None
    section, layers = parse_document(read_config_text(path, shown), shown, find_node=find)
    top, by_target = parse_environment(os.environ if environment is None else environment, section.sync_targets)
    layers = replace(layers, environment=by_target)
    return LoadedConfig(_override(section, layers, top), path, project, lambda: layers)


def _override(section: ConfigSection, layers: Layers, top: Mapping[Location, Setting]) -> SyncConfig:
    """Apply the environment: its settings of targets lie in `layers`, all others in `top`."""
    # Only targets that a variable concerns are read again: the others keep what the file says, checked as it is.
    changed = resolve_targets(layers, layers.environment)
    config = (_override_top(section, top) if top else section).make()
    return replace(config, sync_targets={**config.sync_targets, **changed})


def _override_top(section: ConfigSection, top: Mapping[Location, Setting]) -> ConfigSection:
    source: dict[str, object] = section.source.model_dump(exclude_unset=True)
    source |= {str(place[1]): setting.value for place, setting in top.items() if place[0] == "source"}
    data = {"source": source, "sync_targets": section.sync_targets}
    if default := top.get(("default_target",)):
        data["default_target"] = default.value
    outcome = _validate(data)
    if not isinstance(outcome, ConfigSection):
        raise make_override_error([_describe_top(error, top) for error in outcome])
    changes: dict[str, object] = {"source": outcome.source}
    if default:
        changes["default_target"] = outcome.default_target
    return section.model_copy(update=changes)


def _describe_top(error: ErrorDetails, top: Mapping[Location, Setting]) -> str:
    location = get_location(error)
    setting = top.get(location) or top[location[:1]]
    text = SYNC_CONFIG.describe_error(error, location, setting.node)
    return f"{setting.origin.place}: {make_dotted(location)}: {text}"


def parse_document(text: str, shown: str, *, find_node: FindNode | None = None) -> tuple[ConfigSection, Layers]:
    """Make the configuration that a document describes, and its settings with their lines.

    Args:
        text: The file's content.
        shown: The file's name in messages.
        find_node: As for `load_project_config`, of this project.

    Raises:
        ConfigError: As `load_project_config`.
    """
    root = compose(text, shown)
    if root is None or is_null(root):
        hint = "`hsm sync init --force` writes a new one"
        raise ConfigError(f"{shown} is empty", hint=hint, kind="bad_config")
    if not isinstance(root, yaml.MappingNode):
        found = show_value(root)
        message = f"{shown}: line {root.start_mark.line + 1}: found {found}, allowed: {list_keys(ConfigSection)}"
        raise ConfigError(message, hint=SYNC_CONFIG.hint, kind="bad_config")
    if outdented := find_outdented(root):
        raise SYNC_CONFIG.make_error(outdented, shown)
    builder = Builder()
    data = builder.make_value(root, ())
    if find_node:
        # Before the models see the values: what a machine stands for is checked as if the file had said it.
        data, findings_of_nodes = fill_nodes(data, root, find_node)
        builder.findings += findings_of_nodes
    outcome = _validate(data)
    if isinstance(outcome, ConfigSection) and not builder.findings:
        layers = make_file_layers(data, root, shown)
        if findings := list(iter_pattern_findings(layers, root)):
            raise SYNC_CONFIG.make_error(findings, shown)
        return outcome, layers
    errors = [] if isinstance(outcome, ConfigSection) else outcome
    findings = [*builder.findings, *(SYNC_CONFIG.make_finding(error, root) for error in errors)]
    raise SYNC_CONFIG.make_error(findings, shown)


def _validate(data: object) -> ConfigSection | list[ErrorDetails]:
    targets = data.get("sync_targets") if isinstance(data, dict) else None
    return validate(ConfigSection, data, context={"targets": tuple(targets) if isinstance(targets, dict) else ()})
