"""A target, and what works there: the contract that every kind of connection implements.

`tests/contract/test_targets.py` holds all of them to it, the fake of the unit tests included.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol

from hsm.config.settings import TargetSettings
from hsm.endpoint import Endpoint
from hsm.errors import UsageError
from hsm.model import Problem, Root, SweepKind
from hsm.remote.guard import MakeGuard
from hsm.remote.shell import RemoteShell
from hsm.targets.contents.contract import Contents
from hsm.transfer.base import Engine


class Client(str, Enum):
    """The means by which a target is reached."""

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
    def make_guard(self) -> MakeGuard:
        """Makes what keeps lock and receipt there."""

    @property
    def shell(self) -> RemoteShell | None:
        """Runs commands there; None where none may run, and of a folder of this machine."""

    @property
    def is_folder(self) -> bool:
        """True for a folder of this machine, which needs no login."""

    @property
    def login_lasts_seconds(self) -> int:
        """Seconds that a login stays open for later calls after its last use; 0 where it ends with the call."""

    def find_host(self) -> str:
        """Find the host's name or address by ssh's own settings; empty for a folder of this machine.

        Raises:
            UnreachableError: ssh does not accept its configuration.
        """

    def list_notices(self) -> tuple[Problem, ...]:
        """Notices on how the target is reached, such as why SFTP is used; those known so far, for the report."""

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

    def contents(self) -> Contents:
        """Access to whole files there, for what must be sure of their content. After `login`.

        Raises:
            HsmError: The target is out of reach.
        """

    def prepare(self, changed: Collection[Root], *, workspace: str, update_only: bool) -> None:
        """Begin with what a push will need, before it is known what has to be sent. May do nothing.

        Nothing is changed there: a stream that is opened has been told no name. `make_engine` uses what was begun
        where it fits, and `release` ends the rest.

        Args:
            changed: The folders in which something changed here since a sync; none for a first one.
            workspace: As for `make_engine`.
            update_only: As for `make_engine`.

        Raises:
            HsmError: It cannot work; whoever goes on without it will hear the same.
        """

    def release(self) -> None:
        """End what `prepare` began and nobody uses. May be called at any time, also twice."""

    def make_engine(
        self, roots: Mapping[Root, str], *, workspace: str, update_only: bool, pulls: bool = False
    ) -> Engine:
        """Choose and make the engine between this machine and the target.

        Args:
            roots: The destination's folders, real paths.
            workspace: Below each root, the folder for files under way (`hsm.transfer.base.make_workspace`).
            update_only: Leave what is newer at the destination.
            pulls: The target is the source.

        Raises:
            HsmError: No engine can work between the two.
        """


def choose_client(settings: TargetSettings) -> Client:
    """Choose the means by which a target is reached. Pure."""
    if settings.is_folder:
        return Client.NONE
    if settings.ssh.client == "paramiko" or settings.engine == "sftp":
        return Client.PARAMIKO
    return Client.OPENSSH


def get_roots(settings: TargetSettings, kind: SweepKind = SweepKind.FOLDER) -> dict[Root, str]:
    """Return the target's two folders for a kind of sweep, as configured.

    The files of a Hydra sweep keep their path below the project; lock and receipts of every sweep lie in the folder of
    sweeps.
    """
    paths = settings.paths
    sweeps = paths.project_root if kind is SweepKind.HYDRA else None  # `check_project_root` has seen that there is one
    return {Root.SWEEPS: sweeps or paths.sweeps, Root.WANDB: paths.wandb}


def check_project_root(name: str, settings: TargetSettings, kind: SweepKind, place: str) -> None:
    """Refuse a target that has no folder for the files of a Hydra sweep.

    Args:
        name: The target's name.
        settings: For the sweep.
        kind: The sweep's.
        place: The sweep's folder, relative to the project.

    Raises:
        UsageError: It has none.
    """
    if kind is SweepKind.HYDRA and settings.paths.project_root is None:
        raise UsageError(
            f"Target {name} has no paths.project_root, so there is no place for {place}",
            hint=f"Add `project_root`, the project's folder there, to `paths` of {name} in .hsm/sync_config.yaml.",
            kind="no_project_root",
        )
