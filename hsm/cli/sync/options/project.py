"""Configuration that the commands of `hsm sync` mean, and its targets."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.project_folder import ProjectFolder
from hsm.sweep_folder import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hsm.call_options import Words
    from hsm.config.layers import Layer
    from hsm.config.loaded import LoadedConfig
    from hsm.config.settings import TargetSettings
    from hsm.targets.contract import Connection


def load_current_config() -> LoadedConfig:
    """Load the configuration of the project that the working folder belongs to."""
    from hsm.process.places import note_place
    from hsm.sync.known_config import load_known_config

    loaded = load_known_config(Path.cwd(), find_node=_find_node)
    note_place(loaded.project)
    _note_denied(loaded.project)
    return loaded


_noted: set[Path] = set()
"""Places that were spoken of; a command may load the configuration twice."""


def _note_denied(project: Path) -> None:
    """Say whose the records of the project are, where this user may not read them: commands then know nothing of it."""
    folder = ProjectFolder(project)
    for place in (folder.target(""), folder.cleaned("")):
        if place in _noted or os.access(place, os.R_OK | os.X_OK) or not os.path.lexists(place):
            continue
        from hsm.cli.render import show_note
        from hsm.file_errors import explain_os_error

        _noted.update((folder.target(""), folder.cleaned("")))
        reason, hint = explain_os_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), place)
        show_note(f"Note: what was synced or cleaned here by others is not known: {reason}.\n{hint}")
        return


def _find_node(project: Path, name: str) -> Mapping[str, object] | str:
    """Return the keys of a target that a machine of the hosts file stands for (`hsm.config.nodes.FindNode`)."""
    from hsm.hosts.sync_target import find_target

    return find_target(project, name)


def load_targets(
    names: Words | None, *, is_trusted: bool, overrides: Layer | None = None
) -> tuple[LoadedConfig, dict[str, TargetSettings]]:
    """Load the configuration, as far as its owner can be trusted, and the targets that a command means.

    They are left behind for the next call, so that it begins its logins before all is read.

    Args:
        names: As typed; none means the default.
        is_trusted: `--trust`.
        overrides: What the command line sets for these targets.
    """
    from hsm.config.layers import ENVIRONMENT_PREFIX
    from hsm.sync.call import choose_addresses, choose_targets

    warnings: list[str] = []

    def warn(text: str) -> None:
        from hsm.cli.render import show_note  # it takes long to import

        warnings.append(text)
        show_note(f"Warning: {text}")

    config = load_current_config()
    loaded, targets = choose_targets(config, names, is_trusted=is_trusted, overrides=overrides, warn=warn)
    # An early login begins before environment and trust are known, so it may only be what the file alone says.
    is_overridden = any(name.upper().startswith(ENVIRONMENT_PREFIX) for name in os.environ)
    if not (warnings or is_trusted or overrides or is_overridden):
        remember_logins(loaded, targets)
    return loaded, choose_addresses(loaded, targets)


def find_received_project(start: Path) -> Path | None:
    """Find the project that a folder lies in, where nothing but received sweeps tells that it is one."""
    return next((folder for folder in (start, *start.parents) if (folder / "sweeps" / OUTPUTS).is_dir()), None)


def make_connection(target: str, *, is_trusted: bool) -> Connection:
    """Make the connection to one configured target, without a login."""
    from hsm.process.runner import Runner
    from hsm.progress import SilentReporter
    from hsm.sync.places import make_layout
    from hsm.targets.connect import connect

    loaded, targets = load_targets([target], is_trusted=is_trusted)
    return connect(target, targets[target], Runner(), SilentReporter(), layout=make_layout(loaded))


def remember_logins(loaded: LoadedConfig, targets: Mapping[str, TargetSettings]) -> None:
    """Leave behind for the next call which targets OpenSSH reaches, and how."""
    from hsm.remote.openssh.hints import find_hint_file
    from hsm.targets.contract import Client, choose_client

    for name, settings in targets.items():
        file = find_hint_file(loaded.path, name)
        # The address of a node may be another by the next call.
        if file is not None and choose_client(settings) is Client.OPENSSH and settings.node is None:
            file.remember_login(settings, is_default=name in loaded.config.default_target)
