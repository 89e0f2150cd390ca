"""From a target's configuration to its connection: the one place that chooses what a target is reached by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.errors import UnreachableError
from hsm.model import Problem
from hsm.process.runner import Runner
from hsm.progress import ProblemFound, Reporter, Waiting
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.openssh.early_login import early_logins
from hsm.remote.openssh.hints import find_hint_file
from hsm.remote.retry import PAUSES_SECONDS
from hsm.targets.auto import AutoTarget
from hsm.targets.contract import Client, Connection, choose_client
from hsm.targets.openssh import OpenSshTarget

if TYPE_CHECKING:
    from hsm.targets.sftp import SftpTarget


def connect(
    name: str,
    settings: TargetSettings,
    runner: Runner,
    reporter: Reporter,
    *,
    layout: Layout,
    config: Path | None = None,
    pauses_seconds: Sequence[float] = PAUSES_SECONDS,
    allowed: frozenset[str] = frozenset(),
) -> Connection:
    """Choose what a target is reached by: OpenSSH with rsync, from which `auto` turns to SFTP. Starts nothing.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts the processes.
        reporter: Told of each wait for a dropped connection.
        layout: Where the project's own sweeps and runs lie on this machine.
        config: The configuration file, whose hints a push begins with; None for no hints.
        pauses_seconds: Before each further try after a dropped connection.
        allowed: Names of safety checks that are waived.

    Raises:
        ConfigError: The configuration asks for what HSM cannot do.
    """

    def note(seconds: float, error: UnreachableError) -> None:
        reporter.report(Waiting(name, seconds, error.message))

    client = choose_client(settings)
    if client is Client.NONE:
        from hsm.targets.folder import FolderTarget  # noqa: PLC0415 - few targets are folders

        return FolderTarget(name, settings, runner, layout=layout, allowed=allowed)

    def make_by_paramiko() -> SftpTarget:
        from hsm.remote.paramiko.client import ParamikoClient  # noqa: PLC0415 - few targets need it
        from hsm.targets.sftp import SftpTarget  # noqa: PLC0415 - as above

        client = ParamikoClient(name, settings, runner, pauses_seconds=pauses_seconds, on_wait=note)
        return SftpTarget(client, settings, runner)

    if client is Client.PARAMIKO:
        return make_by_paramiko()
    ssh = early_logins.take(name, settings, runner) or OpenSsh(name, settings, runner)
    ssh.set_pauses(pauses_seconds, note)
    first = OpenSshTarget(ssh, settings, runner, find_hint_file(config, name) if config is not None else None)
    if settings.engine != "auto":
        return first

    def tell(problem: Problem) -> None:
        reporter.report(ProblemFound(name, problem))

    return AutoTarget(first, make_by_paramiko, tell, settings)
