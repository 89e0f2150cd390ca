"""Trust in a configuration: to ssh it is code (`Match exec`, `ProxyCommand`), `after_sync` and `rsync_path` run there.

Who can write the configuration can choose what runs, and projects on clusters are shared. So what the file says of
`ssh`, `after_sync` and `rsync_path` counts only where file and folder are the user's own, or `--trust` is given;
environment and command line are the user's own. A file that `ssh.config` names can run programs outright, so it is held
to what sshd's StrictModes asks of `authorized_keys`, must lie outside the project, and `--trust` does not waive that.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hsm.config.layers import CODE
from hsm.config.loaded import LoadedConfig
from hsm.config.settings import TargetSettings
from hsm.errors import ConfigError
from hsm.user_files import find_other_owner, find_other_writer

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def apply_trust(loaded: LoadedConfig, *, is_trusted: bool) -> tuple[LoadedConfig, tuple[str, ...]]:
    """Leave out of a configuration what must not count because others can write it. Reads files, changes none.

    Args:
        loaded: The configuration.
        is_trusted: The user says that all of it counts (`--trust`).

    Returns:
        The configuration that counts, and a sentence for each thing that was left out; the same configuration and none
        where it is the user's own, or has nothing that would have to be left out.
    """
    reason = "" if is_trusted else find_other_writer(loaded.path)
    if not reason:
        return loaded, ()
    targets = loaded.config.sync_targets
    # Only what the file itself says: environment and command line are the user's own.
    found = {name: {key[0] for key in loaded.layers.file.get(name, {})} for name in targets}
    names = [name for name in targets if not found[name].isdisjoint(CODE)]
    if not names:
        return loaded, ()
    from hsm.config.resolve import resolve_targets  # noqa: PLC0415 - with the schema

    layers = loaded.layers.without_code()
    config = replace(loaded.config, sync_targets=resolve_targets(layers, targets))
    words = {"ssh": "the ssh settings", "after_sync": "the steps after_sync", "rsync_path": "the values of rsync_path"}
    ignored = (
        f"{words[section]} of {', '.join(name for name in names if section in found[name])}"
        for section in CODE
        if any(section in found[name] for name in names)
    )
    warning = f"{reason[0].upper()}{reason[1:]}, so {' and '.join(ignored)} are ignored; `--trust` lets them count."
    place = reason.partition("everybody may write to ")[2]
    if place:
        warning += f" Or close it: `chmod o-w {shlex.quote(place)}`."
    return replace(loaded, config=config, read_layers=lambda: layers), (warning,)


def check_trust(loaded: LoadedConfig, targets: Mapping[str, TargetSettings]) -> None:
    """Refuse an `ssh.config` that others can write or that came with the project. Reads files, changes none.

    Args:
        loaded: The configuration, as `apply_trust` gave it.
        targets: Those of the call, by name.

    Raises:
        ConfigError: An `ssh.config` is missing, lies in the project, or is not the user's alone (kind
            `bad_ssh_config`); the message names every one, and the hint says what to do.
    """
    found = []
    for name, target in targets.items():
        if target.ssh.config is not None:
            path = Path(target.ssh.config).expanduser()
            problem, remedy = _check_ssh_config(path, loaded.project)
            if problem:
                found.append((f"{name}: ssh.config {path} {problem}", remedy))
    if found:
        raise ConfigError(
            "\n".join(message for message, _ in found),
            hint="\n".join(dict.fromkeys(remedy for _, remedy in found)),
            kind="bad_ssh_config",
        )


def _check_ssh_config(path: Path, project: Path) -> tuple[str, str]:
    """Say what is wrong with an ssh configuration, and what to do about it; both empty for nothing."""
    try:
        real = path.resolve(strict=True)
        if not real.is_file():
            return "is no file", "Correct `ssh.config` of the target."
        if _is_in_project(path, real, project.resolve()):
            return f"lies in the project {project}", f"Move it out of the project, for example to ~/.ssh/{path.name}."
        places = _iter_places(path, real)
        return next((found for found in map(_check_place, places) if found), ("", ""))
    except (OSError, RuntimeError) as error:  # RuntimeError: before Python 3.13 symlinks that lead in a circle
        reason = getattr(error, "strerror", None) or "its symlinks lead in a circle"
        return f"cannot be read: {reason}", "Correct `ssh.config` of the target."


def _is_in_project(path: Path, real: Path, project: Path) -> bool:
    """Tell whether a file or the symlink to it came with the project; `~/.ssh` did not, even where that is `~`."""
    home = Path.home().resolve()
    own = (home / ".ssh").resolve()
    # Where the project is the home folder, all of ~/.ssh would lie in it.
    inside = [place for place in (path.parent.resolve() / path.name, real) if place.is_relative_to(project)]
    return any(not (home.is_relative_to(project) and place.is_relative_to(own)) for place in inside)


def _iter_places(path: Path, real: Path) -> Iterator[Path]:
    """Yield the file, a symlink to it, and the folders above both, up to the home folder where they lie in it."""
    home = Path.home()
    ends = {home, home.resolve()}
    for place in dict.fromkeys((real, path)):
        for above in (place, *place.parents):
            yield above
            if above in ends:
                break


def _check_place(place: Path) -> tuple[str, str] | None:
    status = place.lstat()
    if owner := find_other_owner(status):
        return f"is not yours alone: {place} belongs to {owner}", "Copy it to ~/.ssh/ and name the copy."
    # sshd does not mind a sticky folder such as /tmp either: others cannot replace in it what is the user's.
    # A symlink has no mode of its own.
    is_guarded = stat.S_ISLNK(status.st_mode) or (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX)
    if status.st_mode & _OTHERS_MAY_WRITE and not is_guarded:
        return f"is not yours alone: others may write to {place}", f"Run `chmod go-w {shlex.quote(str(place))}`."
    return None
