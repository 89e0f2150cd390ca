"""Reader of `.hsm/sync_config.yaml`, which reports all problems of the file at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import yaml
from pydantic_core import ErrorDetails

from hsm.config.file_layers import iter_pattern_findings, make_file_layers
from hsm.config.form import SYNC_CONFIG
from hsm.config.layers import Layers, Setting
from hsm.config.nodes import FindNode, fill_nodes
from hsm.config.overrides import parse_environment
from hsm.config.resolve import make_override_error, resolve_targets
from hsm.config.schema import SyncConfig, TargetSettings
from hsm.config.sections import list_keys, validate
from hsm.config.yaml.document import Builder, Location, compose, is_null, make_dotted, show_value
from hsm.config.yaml.findings import get_location
from hsm.config.yaml.indentation import find_outdented
from hsm.errors import ConfigError, NoConfigError, UsageError
from hsm.project_folder import ProjectFolder
from hsm.user_files import FileFlaw, FlawedFileError, read_config_file

CONFIG_PATH = ProjectFolder(Path()).config
# Nobody types so much; a symlink that leads to a log or a checkpoint must not be read to its end.
_MAX_BYTES = 256 * 1024
_HINTS = {
    FileFlaw.MISSING: "check the permissions of the file and its folder",
    FileFlaw.UNREADABLE: "check the permissions of the file and its folder",
    FileFlaw.NOT_REGULAR: "`hsm sync init` writes a file",
    FileFlaw.TOO_LARGE: "`hsm sync init --force` writes a new one",
    FileFlaw.NOT_UTF8: "save the file as UTF-8",
}


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """Configuration, and the place where it was found.

    Attributes:
        config: From the file and the environment, without what the file says of some sweeps.
        path: The file, absolute.
        project: The folder that holds `.hsm/`, absolute.
        layers: All that was said of each target, and where.
    """

    config: SyncConfig
    path: Path
    project: Path
    layers: Layers = field(default_factory=Layers)


def find_config(start: Path) -> Path:
    """Look for the configuration in `start` and the folders above it.

    Returns:
        The absolute path of what lies there, readable or not.

    Raises:
        NoConfigError: There is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        path = folder / CONFIG_PATH
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass  # something is there that may not be looked at; reading it will say so
        return path
    raise NoConfigError(
        f"No sync configuration found: neither {start} nor a folder above it holds {CONFIG_PATH}",
        hint="run `hsm sync init` in the project's folder",
    )


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
    shown = str(CONFIG_PATH) if project == start.resolve() else str(path)
    find = partial(find_node, project) if find_node else None
    config, layers = parse_document(_read_text(path, shown), shown, find_node=find)
    top, by_target = parse_environment(os.environ if environment is None else environment, config.sync_targets)
    layers = replace(layers, environment=by_target)
    return LoadedConfig(_override(config, layers, top), path, project, layers)


def _override(config: SyncConfig, layers: Layers, top: Mapping[Location, Setting]) -> SyncConfig:
    """Apply the environment: its settings of targets lie in `layers`, all others in `top`."""
    # Only targets that a variable concerns are read again: the others keep what the file says, checked as it is.
    targets = {**config.sync_targets, **resolve_targets(layers, layers.environment)}
    changes: dict[str, object] = {"sync_targets": targets}
    if top:
        source: dict[str, object] = config.source.model_dump(exclude_unset=True)
        source |= {str(place[1]): setting.value for place, setting in top.items() if place[0] == "source"}
        data = {"source": source, "sync_targets": targets}
        if default := top.get(("default_target",)):
            data["default_target"] = default.value
        outcome = _validate(data)
        if not isinstance(outcome, SyncConfig):
            raise make_override_error([_describe_top(error, top) for error in outcome])
        changes["source"] = outcome.source
        if default:
            changes["default_target"] = outcome.default_target
    return config.model_copy(update=changes)


def _describe_top(error: ErrorDetails, top: Mapping[Location, Setting]) -> str:
    location = get_location(error)
    setting = top.get(location) or top[location[:1]]
    text = SYNC_CONFIG.describe_error(error, location, setting.node)
    return f"{setting.origin.place}: {make_dotted(location)}: {text}"


def parse_document(text: str, shown: str, *, find_node: FindNode | None = None) -> tuple[SyncConfig, Layers]:
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
        message = f"{shown}: line {root.start_mark.line + 1}: found {found}, allowed: {list_keys(SyncConfig)}"
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
    if isinstance(outcome, SyncConfig) and not builder.findings:
        layers = make_file_layers(data, root, shown)
        if findings := list(iter_pattern_findings(layers, root)):
            raise SYNC_CONFIG.make_error(findings, shown)
        return outcome, layers
    errors = [] if isinstance(outcome, SyncConfig) else outcome
    findings = [*builder.findings, *(SYNC_CONFIG.make_finding(error, root) for error in errors)]
    raise SYNC_CONFIG.make_error(findings, shown)


def select_targets(config: SyncConfig, names: Sequence[str]) -> dict[str, TargetSettings]:
    """Choose the targets of a call.

    Args:
        config: The configuration.
        names: As given on the command line; none means the default.

    Returns:
        At least one target, in the order of `names`, each once.

    Raises:
        UsageError: A name is unknown (kind `unknown_target`), or there is neither a name nor a default
            (`no_target`).
    """
    known = config.sync_targets
    chosen = tuple(names) or config.default_target
    listed = ", ".join(known)
    if not chosen:
        raise UsageError(
            f"No target given, and the configuration has no default_target; there are: {listed}",
            hint=f"name one with --target {next(iter(known))}, or set default_target",
            kind="no_target",
        )
    unknown = [name for name in dict.fromkeys(chosen) if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0].lower(), known, 1)
        noun = "targets" if len(unknown) > 1 else "target"
        raise UsageError(
            f"Unknown sync {noun} {', '.join(map(repr, unknown))}; there are: {listed}",
            hint=f"did you mean {near[0]}?" if near else "`hsm sync list` shows the targets",
            kind="unknown_target",
        )
    return {name: known[name] for name in chosen}


def _validate(data: object) -> SyncConfig | list[ErrorDetails]:
    targets = data.get("sync_targets") if isinstance(data, dict) else None
    return validate(SyncConfig, data, context={"targets": tuple(targets) if isinstance(targets, dict) else ()})


def _read_text(path: Path, shown: str) -> str:
    try:
        return read_config_file(path, shown, noun="sync configuration", most_bytes=_MAX_BYTES)
    except FlawedFileError as error:
        raise ConfigError(str(error), hint=error.hint or _HINTS[error.flaw], kind="bad_config") from None
