"""From a target's configuration to what works there: the one place that chooses client, endpoint, guard and engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Protocol

from hsm.config.schema import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.endpoint import Endpoint
from hsm.errors import UnreachableError
from hsm.model import Problem, Root
from hsm.process.background import Ahead
from hsm.process.runner import Runner
from hsm.progress import ProblemFound, Reporter, Waiting
from hsm.records.journal import Memory
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.openssh.early_login import early_logins
from hsm.remote.openssh.login import PERSIST_SECONDS
from hsm.remote.retry import PAUSES_SECONDS
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.guard import Guard, MakeKeeper
from hsm.targets.auto import AutoTarget
from hsm.targets.head_start import HeadStart
from hsm.transfer.base import Engine

if TYPE_CHECKING:
    from hsm.targets.sftp import SftpTarget
    from hsm.transfer.rsync.engine import RsyncEngine
    from hsm.transfer.rsync.versions import RsyncVersion


class Client(str, Enum):
    """What a target is reached by."""

    OPENSSH = "openssh"
    PARAMIKO = "paramiko"
    NONE = "none"


class Connection(Protocol):
    """A target, and what works there. One object serves one target for one call of the program; thread-safe.

    Making it starts nothing; `login` comes before everything else.
    """

    @property
    def name(self) -> str:
        """The target's name."""

    @property
    def endpoint(self) -> Endpoint:
        """The target's end."""

    @property
    def make_guard(self) -> MakeKeeper:
        """Makes what keeps lock and receipt there."""

    @property
    def shell(self) -> RemoteShell | None:
        """Runs commands there; None where none may run, and of a folder of this machine."""

    def list_notices(self) -> tuple[Problem, ...]:
        """What has come up so far of how it is reached, such as why SFTP is used; for the report."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine, so that there is no login."""

    @property
    def login_lasts_seconds(self) -> int:
        """How long a login stays open for later calls after its last use; 0 where it ends with the call."""

    def login(self, *, may_ask: bool = False) -> None:
        """Make sure that the target is there and lets us in.

        Args:
            may_ask: The user may be asked in this terminal.

        Raises:
            HsmError: It is not, or does not.
        """

    def logout(self) -> bool:
        """Close what login left open; whether there was something."""

    def keep_open(self) -> AbstractContextManager[None]:
        """Keep open, while inside, what questions go over, and close it at the end; needs no login yet."""

    def check_roots(self, roots: Mapping[Root, str]) -> None:
        """Refuse folders at the target, as configured, before anything there is looked at.

        Raises:
            HsmError: They are not what they should be.
        """

    @property
    def head_start(self) -> HeadStart | None:
        """Opens streams to it before the check; None where nothing does."""

    def make_engine(self, roots: Mapping[Root, str], *, sweep: str, skips_newer: bool, pulls: bool = False) -> Engine:
        """Choose and make the engine between this machine and the target, see `hsm.transfer.base.Engine`.

        Args:
            roots: The destination's folders, real paths.
            sweep: Whose files are sent.
            skips_newer: Leave what is newer at the destination.
            pulls: The target is the source.

        Raises:
            HsmError: No engine can work between the two.
        """


def choose_client(settings: TargetSettings) -> Client:
    """Tell by what a target is reached. Pure."""
    if settings.is_folder:
        return Client.NONE
    if settings.ssh.client == "paramiko" or settings.engine == "sftp":
        return Client.PARAMIKO
    return Client.OPENSSH


def connect(
    name: str,
    settings: TargetSettings,
    runner: Runner,
    reporter: Reporter,
    *,
    layout: Layout,
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
    ssh.pauses_seconds, ssh.on_wait = pauses_seconds, note
    first = OpenSshTarget(ssh, settings, runner)
    if settings.engine != "auto":
        return first

    def tell(problem: Problem) -> None:
        reporter.report(ProblemFound(name, problem))

    return AutoTarget(
        name,
        first,
        make_by_paramiko,
        tell,
        login_lasts_seconds=first.login_lasts_seconds,
        may_change_client=settings.ssh.client == "auto",
    )


class OpenSshTarget:
    """Keeps `Connection` with the system's OpenSSH and rsync.

    Args:
        ssh: The client.
        settings: The target's.
        runner: Starts the processes.
    """

    is_folder = False
    login_lasts_seconds = PERSIST_SECONDS

    def __init__(self, ssh: OpenSsh, settings: TargetSettings, runner: Runner) -> None:
        self.name = ssh.name
        self.ssh = ssh
        self.endpoint = RemoteEndpoint(ssh, rsync_path=settings.rsync_path or "rsync")
        self.make_guard: MakeKeeper = partial(Guard, ssh)
        self.shell: RemoteShell | None = ssh
        self.logout: Callable[[], bool] = ssh.logout
        self.keep_open: Callable[[], AbstractContextManager[None]] = ssh.keep_shell
        self._settings = settings
        self._runner = runner
        self._here: Ahead[RsyncVersion] | None = None
        self.head_start: HeadStart | None = HeadStart(ssh, self._make_engine, self._read_version)

    def login(self, *, may_ask: bool = False) -> None:
        """See `Connection.login`."""
        self.ssh.login(may_ask=may_ask)

    def list_notices(self) -> tuple[Problem, ...]:
        """See `Connection.list_notices`."""
        return ()

    def check_roots(self, roots: Mapping[Root, str]) -> None:
        """See `Connection.check_roots`: only the check over there can tell."""

    def make_engine(self, roots: Mapping[Root, str], *, sweep: str, skips_newer: bool, pulls: bool = False) -> Engine:
        """See `Connection.make_engine`; the rsync of both ends is checked first."""
        memory = Memory(roots, self.endpoint.machine.rsync_version)
        return self._make_engine(memory, sweep=sweep, skips_newer=skips_newer, pulls=pulls)

    def _make_engine(self, memory: Memory, *, sweep: str, skips_newer: bool, pulls: bool) -> RsyncEngine:
        asked = self._read_version()
        from hsm.transfer.rsync.engine import RsyncEngine  # noqa: PLC0415 - where nothing is sent, it is not needed
        from hsm.transfer.rsync.versions import check_remote_version, make_pair  # noqa: PLC0415 - as above

        try:
            here = asked.take()
        except Exception:
            self._here = None  # by the next pass there may be one
            raise
        there = check_remote_version(memory.rsync, name=self.name)
        pair = make_pair(here, there, name=self.name, pulls=pulls)
        return RsyncEngine(
            self._runner,
            memory.roots,
            sweep=sweep,
            ssh=self.ssh,
            pulls=pulls,
            rsync_path=self._settings.rsync_path,
            protocol=pair.protocol,
            skips_newer=skips_newer,
            has_fine_times=pair.has_fine_times,
            to_openrsync=pair.to_openrsync,
            compress=self._settings.options.compress,
            compressions=pair.compressions,
            round_trip_seconds=memory.round_trip_seconds,
        )

    def _read_version(self) -> Ahead[RsyncVersion]:
        """Begin to ask the rsync here for its version, once."""
        if self._here is None:
            self._here = Ahead(self._read_local_version, name="hsm-rsync-version")
        return self._here

    def _read_local_version(self) -> RsyncVersion:
        from hsm.transfer.rsync.versions import read_local_version  # noqa: PLC0415 - where nothing is sent, it is not needed

        return read_local_version(self._runner)


def get_roots(settings: TargetSettings) -> dict[Root, str]:
    """The target's two folders, as configured."""
    return {Root.SWEEPS: settings.paths.sweeps, Root.WANDB: settings.paths.wandb}
