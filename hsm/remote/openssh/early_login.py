"""Beginning a login while the rest of the program is still being imported.

Reading the command line and the configuration takes a third of a second of imports; a login takes as long, and waits
for the network. So each call leaves behind, in the private folder of control sockets, which targets the project's
configuration has. The next call begins with those that it means at once, and uses what it began only if the
configuration then says the same. What does not matter, is wrong or missing here costs time, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm.files import DamagedFileError, load_json, save_json
from hsm.process.runner import Runner
from hsm.remote.openssh.client import OpenSsh, has_terminal
from hsm.remote.openssh.control_folder import find_control_folder

if TYPE_CHECKING:
    from hsm.remote.openssh.command_line import SshTarget

SCHEMA = 1

OLD_SECONDS = 30 * 24 * 3600

_PLAIN_OPTIONS = frozenset(
    {"--dry-run", "-n", "--sweep-only", "--wandb-only", "--all-versions", "--overwrite", "--break-lock", "--json"}
    | {"--no-after-sync", "--verbose", "-v", "-vv", "--quiet", "-q"}
)
"""Options that do not change which targets are meant, nor how they are reached."""

_COMMANDS = (("sync", "to"), ("sync", "run"), ("sync", "from"))
_OVERRIDE = "HSM_SYNC"
_USELESS = (DamagedFileError, OSError, AttributeError, KeyError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class RememberedSsh:
    """The `ssh` settings of a target, as `hsm.config.schema` has them."""

    config: str | None = None
    identity_file: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RememberedTarget:
    """What decides a login to a target; keeps `hsm.remote.openssh.command_line.SshTarget`."""

    host: str
    user: str | None
    port: int | None
    ssh: RememberedSsh


class EarlyLogins:
    """The logins that were begun before it was known what they are for."""

    def __init__(self) -> None:
        self._runner = Runner()
        self._begun: dict[str, tuple[RememberedTarget, OpenSsh]] = {}

    def __bool__(self) -> bool:
        return bool(self._begun)

    def begin(self, arguments: Sequence[str], folder: Path) -> None:
        """Begin with the logins that a command line means, if that is known.

        In a terminal only a login that is open already is used: one that has to be opened may have to ask.

        Args:
            arguments: Of the program.
            folder: Where it was called.
        """
        names = parse_target_names(arguments)
        if names is None or any(name.upper().startswith(_OVERRIDE) for name in os.environ):
            return
        try:
            known, default = _load(folder)
        except _USELESS:
            return
        for name in names or default:
            if name in known and name not in self._begun:
                ssh = OpenSsh(name, known[name], self._runner)
                self._begun[name] = (known[name], ssh)
                ssh.begin(only_live=has_terminal())

    def take(self, name: str, settings: SshTarget, runner: Runner) -> OpenSsh | None:
        """Take over the login to a target, if it was begun with these settings and by this runner."""
        known, ssh = self._begun.pop(name, (None, None))
        if ssh is None or (known == make_known_target(settings) and ssh.runner is runner):
            return ssh
        ssh.drop_begun()
        return None

    def take_runner(self) -> Runner:
        """Take over what starts the processes of these logins, for all that goes on with them; else it is a new one."""
        runner, self._runner = self._runner, Runner()
        return runner

    def end(self) -> None:
        """End what nobody took over."""
        for _, ssh in self._begun.values():
            ssh.runner.stop()
            ssh.drop_begun()
        self._begun.clear()


early_logins = EarlyLogins()
"""Those of this call of the program."""


def parse_target_names(arguments: Sequence[str]) -> tuple[str, ...] | None:
    """Read which targets a command line names. Pure.

    Returns:
        None where the line is not one of a sync, or says more of its targets than their names.
    """
    if tuple(arguments[:2]) not in _COMMANDS:
        return None
    names: list[str] = []
    words = iter(arguments[2:])
    for word in words:
        if word in ("-t", "--target"):
            names.append(next(words, ""))
        elif word.startswith("--target="):
            names.append(word.partition("=")[2])
        elif word.startswith("-") and word not in _PLAIN_OPTIONS:
            return None
    return tuple(names)


def make_known_target(settings: SshTarget) -> RememberedTarget:
    """Take from a target's settings what decides its login. Pure."""
    ssh = settings.ssh
    return RememberedTarget(
        settings.host, settings.user, settings.port, RememberedSsh(ssh.config, ssh.identity_file, dict(ssh.options))
    )


def remember_targets(config: Path, targets: Mapping[str, SshTarget], default: Sequence[str]) -> None:
    """Leave behind for the next call what a project's configuration says of its targets.

    Args:
        config: The configuration file, absolute.
        targets: Those that are reached by OpenSSH, with trusted settings and without what overrides the file.
        default: Those that are meant where the command line names none.
    """
    folder = find_control_folder()
    if folder is None:
        return
    path = folder / _make_name(config)
    try:
        found, _ = _read(path, config)
        merged = {**found, **{name: make_known_target(settings) for name, settings in targets.items()}}
        document: dict[str, object] = {
            "stamps": _make_stamps(config, merged),
            "targets": {name: _make_record(target) for name, target in merged.items()},
            "default": list(default),
        }
        if merged != found or not path.exists():
            _drop_old(folder)
            save_json(path, document, schema=SCHEMA)
    except _USELESS:
        with contextlib.suppress(OSError):
            path.unlink()


def _drop_old(folder: Path) -> None:
    """Remove what projects and logins left in the folder that nobody has needed for long."""
    limit = time.time() - OLD_SECONDS
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.suffix in (".json", ".lock", ".log") and path.lstat().st_mtime < limit:
                path.unlink()


def _load(folder: Path) -> tuple[dict[str, RememberedTarget], tuple[str, ...]]:
    """Read what is known of the project that a folder lies in; nothing where the configuration is another by now."""
    control = find_control_folder()
    place = next((place for place in (folder, *folder.parents) if os.path.lexists(_get_config(place))), None)
    if control is None or place is None:
        return {}, ()
    config = _get_config(place)
    return _read(control / _make_name(config), config)


def _read(path: Path, config: Path) -> tuple[dict[str, RememberedTarget], tuple[str, ...]]:
    document: dict[str, Any] | None = load_json(path, schema=SCHEMA)
    if document is None:
        return {}, ()
    targets = {name: _parse_record(record) for name, record in document["targets"].items()}
    if document["stamps"] != _make_stamps(config, targets):
        return {}, ()
    return targets, tuple(str(name) for name in document["default"])


def _get_config(project: Path) -> Path:
    return project / ".hsm" / "sync_config.yaml"


def _make_name(config: Path) -> str:
    return f"project-{hashlib.sha256(os.fsencode(config)).hexdigest()[:16]}.json"


def _make_stamps(config: Path, targets: Mapping[str, SshTarget]) -> dict[str, list[int]]:
    """What changes when any of the files changes, or who may write them."""
    places = {str(config), str(config.parent)}
    places |= {os.path.expanduser(target.ssh.config) for target in targets.values() if target.ssh.config}  # noqa: PTH111
    return {place: _make_stamp(place) for place in sorted(places)}


def _make_stamp(place: str) -> list[int]:
    try:
        status = os.stat(place)  # noqa: PTH116 - a name, as it is
    except OSError:
        return []
    if os.path.isdir(place):  # noqa: PTH112 - its files may come and go
        return [status.st_ino, status.st_uid, status.st_mode]
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _make_record(target: RememberedTarget) -> dict[str, object]:
    ssh = {"config": target.ssh.config, "identity_file": target.ssh.identity_file, "options": dict(target.ssh.options)}
    return {"host": target.host, "user": target.user, "port": target.port, "ssh": ssh}


def _parse_record(record: dict[str, Any]) -> RememberedTarget:
    return RememberedTarget(record["host"], record["user"], record["port"], RememberedSsh(**record["ssh"]))
