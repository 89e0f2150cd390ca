"""Early logins: begun while the rest of the program is still being imported.

Reading the command line and the configuration takes a third of a second of imports; a login takes as long, and waits
for the network. So each call begins at once with the logins that the hints of the last one name (`hints.py`), and uses
what it began only if the configuration then says the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.call_options import ReceiveOptions, SendOptions, list_harmless_switches
from hsm.process.runner import Runner
from hsm.process.terminal import has_terminal
from hsm.project_folder import ProjectFolder
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.openssh.hints import RememberedTarget, find_hint_file, list_default_targets, make_remembered

if TYPE_CHECKING:
    from hsm.remote.openssh.command_line import SshTarget

# Options that change neither the targets that are meant nor the way to them.
_PLAIN_OPTIONS = list_harmless_switches(SendOptions, ReceiveOptions)

_COMMANDS = tuple(("sync", name) for name in ("to", "push", "run", "from", "pull"))
_OVERRIDE = "HSM_SYNC"


class EarlyLogins:
    """Logins that were begun before their purpose was known."""

    def __init__(self) -> None:
        self._runner = Runner()
        self._begun: dict[str, tuple[RememberedTarget, OpenSsh]] = {}

    def __bool__(self) -> bool:
        return bool(self._begun)

    def begin(self, arguments: Sequence[str], folder: Path) -> None:
        """Begin the logins that a command line needs, as far as hints tell.

        In a terminal only a login that is open already is used: one that has to be opened may have to ask.

        Args:
            arguments: Of the program.
            folder: The working folder of the call.
        """
        names = parse_target_names(arguments)
        if names is None or any(name.upper().startswith(_OVERRIDE) for name in os.environ):
            return
        config = _find_config(folder)
        if config is None:
            return
        for name in names or list_default_targets(config):
            file = find_hint_file(config, name)
            known = file.load().login if file is not None else None
            if known is not None and name not in self._begun:
                ssh = OpenSsh(name, known, self._runner)
                self._begun[name] = (known, ssh)
                ssh.begin(may_log_in=not has_terminal())

    def take(self, name: str, settings: SshTarget, runner: Runner) -> OpenSsh | None:
        """Take over the login to a target, if it was begun with these settings and by this runner."""
        known, ssh = self._begun.pop(name, (None, None))
        if ssh is None or (known == make_remembered(settings) and ssh.runner is runner):
            return ssh
        ssh.drop_begun()
        return None

    def take_runner(self) -> Runner:
        """Take over the runner of these logins, for all that uses them later; without any it is a new one."""
        runner, self._runner = self._runner, Runner()
        return runner

    def end(self) -> None:
        """End the logins that nobody took over."""
        for _, ssh in self._begun.values():
            ssh.runner.stop()
            ssh.drop_begun()
        self._begun.clear()


early_logins = EarlyLogins()
"""The early logins of this call of the program."""


def parse_target_names(arguments: Sequence[str]) -> tuple[str, ...] | None:
    """Read the names of targets from a command line. Pure.

    Returns:
        None where it is not the line of a sync, or says more of its targets than their names.
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


def _find_config(folder: Path) -> Path | None:
    """Find the configuration of the project that a folder lies in, without reading it."""
    places = (ProjectFolder(place).config for place in (folder, *folder.parents))
    return next((place for place in places if os.path.lexists(place)), None)
