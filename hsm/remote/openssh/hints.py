"""Hints: what a call leaves behind about a target, from which the next one begins before it has looked.

One file a target, in the private folder of the control sockets, which no other user can write to. A hint saves time and
decides nothing: a login that was begun from one is used only if the configuration then says the same, a stream only if
the destination does. A file that is missing, damaged or out of date is no error. All of it is void as soon as the
configuration, a file that it names, or the right to write them is another.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm.files import USELESS_ERRORS, load_json, save_json
from hsm.model import Root
from hsm.remote.openssh.command_line import has_secrets
from hsm.remote.openssh.control_folder import find_control_folder

if TYPE_CHECKING:
    from hsm.remote.openssh.command_line import SshTarget

SCHEMA = 1

OLD_SECONDS = 30 * 24 * 3600
"""A file that nobody has needed for so long is removed."""


@dataclass(frozen=True, slots=True)
class RememberedSsh:
    """The `ssh` settings of a target, as `hsm.config.schema` has them."""

    config: str | None = None
    identity_file: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RememberedTarget:
    """The settings that decide a login to a target; implements `hsm.remote.openssh.command_line.SshTarget`."""

    host: str
    user: str | None
    port: int | None
    ssh: RememberedSsh


@dataclass(frozen=True, slots=True)
class DestinationHint:
    """The destination as the last push found it.

    Attributes:
        route: Between which places that was, in a word.
        roots: The real paths of its folders.
        rsync: The output of its `rsync --version`.
        round_trip_seconds: Of the link; None where it was not measured.
    """

    route: str
    roots: Mapping[Root, str]
    rsync: str
    round_trip_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Hints:
    """All that is known of a target.

    Attributes:
        login: The settings of its login; None where they must not be known before the configuration is read.
        is_default: A command line that names no target means it.
        destination: None where nothing was pushed there yet.
    """

    login: RememberedTarget | None = None
    is_default: bool = False
    destination: DestinationHint | None = None


class HintFile:
    """The hints of one target. Reading and writing never raise.

    Args:
        folder: The private one.
        config: The project's configuration file, absolute.
        target: The target's name.
    """

    def __init__(self, folder: Path, config: Path, target: str) -> None:
        self.path = folder / f"{_make_prefix(config)}{_make_word(target)}.json"
        self._config = config
        self._target = target

    def load(self) -> Hints:
        """Read the hints; none where there are none that still hold."""
        try:
            return self._load()
        except USELESS_ERRORS:
            return Hints()

    def remember_login(self, target: SshTarget, *, is_default: bool) -> None:
        """Keep what decides the login of a target that the configuration alone describes, unless it holds a secret."""
        login = None if has_secrets(target) else make_remembered(target)
        self._update(login=login, is_default=is_default)

    def remember_destination(self, hint: DestinationHint) -> None:
        """Keep what a push found there."""
        known = self.load().destination
        if known is None or not _is_alike(known, hint):
            self._update(destination=hint)

    def _update(self, **changes: Any) -> None:  # noqa: ANN401 - fields of Hints
        found = self.load()
        hints = replace(found, **changes)
        if hints == found:
            return
        try:
            if not self.path.exists():
                _drop_old(self.path.parent)
            save_json(self.path, self._make_document(hints), schema=SCHEMA)
        except USELESS_ERRORS:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _load(self) -> Hints:
        document: dict[str, Any] | None = load_json(self.path, schema=SCHEMA)
        if document is None or document["target"] != self._target:
            return Hints()
        login, destination = document["login"], document["destination"]
        hints = Hints(
            login=None if login is None else _parse_login(login),
            is_default=bool(document["is_default"]),
            destination=None if destination is None else _parse_destination(destination),
        )
        return hints if document["stamps"] == _make_stamps(self._config, hints) else Hints()

    def _make_document(self, hints: Hints) -> dict[str, object]:
        there = hints.destination
        return {
            "target": self._target,
            "stamps": _make_stamps(self._config, hints),
            "login": None if hints.login is None else _make_login(hints.login),
            "is_default": hints.is_default,
            "destination": there
            and {
                "route": there.route,
                "roots": {root.value: path for root, path in there.roots.items()},
                "rsync": there.rsync,
                "round_trip_seconds": there.round_trip_seconds,
            },
        }


def find_hint_file(config: Path, target: str) -> HintFile | None:
    """Find where the hints of a target lie; None where there is no private folder for them.

    Args:
        config: The project's configuration file, absolute.
        target: The target's name.
    """
    folder = find_control_folder()
    return HintFile(folder, config, target) if folder is not None else None


def list_default_targets(config: Path) -> tuple[str, ...]:
    """List the targets that a command line without a target means, as far as hints tell."""
    folder = find_control_folder()
    names = []
    for path in sorted(folder.glob(f"{_make_prefix(config)}*.json")) if folder is not None else ():
        with contextlib.suppress(*USELESS_ERRORS):
            name = str((load_json(path, schema=SCHEMA) or {})["target"])
            if HintFile(path.parent, config, name).load().is_default:
                names.append(name)
    return tuple(names)


def make_remembered(settings: SshTarget) -> RememberedTarget:
    """Take from a target's settings what decides its login. Pure."""
    ssh = settings.ssh
    return RememberedTarget(
        settings.host, settings.user, settings.port, RememberedSsh(ssh.config, ssh.identity_file, dict(ssh.options))
    )


def _is_alike(known: DestinationHint, found: DestinationHint) -> bool:
    """Tell whether a hint need not be written again: no two measurements of a round trip are the same."""
    if replace(known, round_trip_seconds=None) != replace(found, round_trip_seconds=None):
        return False
    one, two = known.round_trip_seconds, found.round_trip_seconds
    return one == two if one is None or two is None else two / 2 <= one <= two * 2


def _make_prefix(config: Path) -> str:
    return f"hints-{_make_word(os.fspath(config))}-"


def _make_word(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def _drop_old(folder: Path) -> None:
    """Remove what projects and logins left in the folder that nobody has needed for long."""
    limit = time.time() - OLD_SECONDS
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.suffix in (".json", ".lock", ".log") and path.lstat().st_mtime < limit:
                path.unlink()


def _make_stamps(config: Path, hints: Hints) -> dict[str, list[int]]:
    """Make what differs once any of the files is another, or others may write to it."""
    places = {str(config), str(config.parent)}
    if hints.login is not None and hints.login.ssh.config:
        places.add(os.path.expanduser(hints.login.ssh.config))  # noqa: PTH111 - as ssh reads it
    return {place: _make_stamp(place) for place in sorted(places)}


def _make_stamp(place: str) -> list[int]:
    try:
        status = os.stat(place)  # noqa: PTH116 - a name, as it is
    except OSError:
        return []
    if os.path.isdir(place):  # noqa: PTH112 - its files may come and go
        return [status.st_ino, status.st_uid, status.st_mode]
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


_MOST_TRIP_SECONDS = 3600


def _make_login(target: RememberedTarget) -> dict[str, object]:
    ssh = {"config": target.ssh.config, "identity_file": target.ssh.identity_file, "options": dict(target.ssh.options)}
    return {"host": target.host, "user": target.user, "port": target.port, "ssh": ssh}


def _parse_login(record: dict[str, Any]) -> RememberedTarget:
    return RememberedTarget(record["host"], record["user"], record["port"], RememberedSsh(**record["ssh"]))


def _parse_destination(record: dict[str, Any]) -> DestinationHint:
    trip = record["round_trip_seconds"]
    if trip is not None and not 0 <= trip < _MOST_TRIP_SECONDS:  # NaN too
        raise ValueError(f"a round trip of {trip} seconds")
    roots = {Root(name): str(path) for name, path in record["roots"].items()}
    return DestinationHint(str(record["route"]), roots, str(record["rsync"]), None if trip is None else float(trip))
