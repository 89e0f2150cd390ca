"""Configuration of a project once it is loaded: its place, the targets of a call, and what sweeps have of their own.

Neither YAML nor the schema is imported here: where nothing of them is needed, a call begins sooner.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hsm.config.layers import Layers, OriginKind
from hsm.config.settings import SyncConfig, TargetSettings
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


@dataclass(frozen=True)
class LoadedConfig:
    """Configuration, and the place where it was found.

    Attributes:
        config: From the file and the environment, without what the file says of some sweeps.
        path: The file, absolute.
        project: The folder that holds `.hsm/`, absolute.
        read_layers: Gives all that was said of each target, and where; it may read the file for that.
    """

    config: SyncConfig
    path: Path
    project: Path
    read_layers: Callable[[], Layers] = Layers

    @cached_property
    def layers(self) -> Layers:
        """All that was said of each target, and where."""
        return self.read_layers()


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


def resolve_for_sweep(loaded: LoadedConfig, target: str, sweep: str, settings: TargetSettings) -> TargetSettings:
    """Make the settings of a target for a sweep from those for none.

    Args:
        loaded: The configuration, with what the call sets.
        target: Its name.
        sweep: The sweep's id.
        settings: Those for no sweep; the answer where no pattern of the file matches.

    Raises:
        ConfigError: As `hsm.config.resolve.resolve_target`.
    """
    if not loaded.config.sweeps:
        return settings
    from hsm.config.resolve import resolve_target  # noqa: PLC0415 - with the schema

    chosen = loaded.layers.choose(target, sweep).values()
    is_changed = any(setting.origin.kind is OriginKind.SWEEPS for setting in chosen)
    return resolve_target(loaded.layers, target, sweep).settings if is_changed else settings


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


def show_config_path(path: Path, start: Path) -> str:
    """Name the configuration as messages do: short where it is that of the folder the call began in."""
    return str(CONFIG_PATH) if path.parent.parent == start.resolve() else str(path)


def read_config_text(path: Path, shown: str) -> str:
    """Read the configuration.

    Args:
        path: The file.
        shown: Its name in messages.

    Raises:
        ConfigError: It cannot be read (kind `bad_config`).
    """
    try:
        return read_config_file(path, shown, noun="sync configuration", most_bytes=_MAX_BYTES)
    except FlawedFileError as error:
        raise ConfigError(str(error), hint=error.hint or _HINTS[error.flaw], kind="bad_config") from None
