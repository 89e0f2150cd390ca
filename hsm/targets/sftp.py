"""A target reached by the second SSH client."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from hsm.config.settings import TargetSettings
from hsm.endpoint import Endpoint
from hsm.model import Problem, Root
from hsm.process.runner import Runner
from hsm.remote.guard import MakeGuard
from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.sftp.endpoint import SftpEndpoint
from hsm.remote.sftp.guard import SftpGuard
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.targets.contents.contract import Contents
from hsm.targets.contents.sftp import SftpContents
from hsm.targets.contents.shell import ShellContents
from hsm.transfer.base import Engine
from hsm.transfer.sftp.engine import SftpEngine


class SftpTarget:
    """Implements `hsm.targets.contract.Connection` with paramiko and SFTP.

    Args:
        client: Reaches the target.
        settings: The target's.
        runner: Interrupts what runs.
    """

    is_folder = False
    login_lasts_seconds = 0

    def __init__(self, client: ParamikoClient, settings: TargetSettings, runner: Runner) -> None:
        self.name = client.name
        self._client = client
        self._rsync_path = settings.rsync_path or "rsync"
        self._receive_mode = settings.options.receive_mode
        self._runner = runner
        self._endpoint: RemoteEndpoint | SftpEndpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The target's end: behind a shell where commands may run, else behind SFTP alone. Asks the first time."""
        if self._endpoint is None:
            by_shell = self._client.can_run
            self._endpoint = (
                RemoteEndpoint(self._client, rsync_path=self._rsync_path) if by_shell else SftpEndpoint(self._client)
            )
        return self._endpoint

    @property
    def make_guard(self) -> MakeGuard:
        """Makes what keeps lock and receipt there. Asks as `endpoint` does."""
        return partial(ShellGuard if self._client.can_run else SftpGuard, self._client)

    @property
    def shell(self) -> RemoteShell | None:
        """See `hsm.targets.contract.Connection.shell`. Asks as `endpoint` does."""
        return self._client if self._client.can_run else None

    def find_host(self) -> str:
        """See `hsm.targets.contract.Connection.find_host`."""
        return self._client.host

    def login(self, *, may_ask: bool = False) -> None:
        """See `hsm.targets.contract.Connection.login`; the login ends with the call of the program."""
        self._client.login(may_ask=may_ask)

    def logout(self) -> bool:
        """See `hsm.targets.contract.Connection.logout`."""
        return self._client.logout()

    @contextlib.contextmanager
    def keep_open(self) -> Iterator[None]:
        """See `hsm.targets.contract.Connection.keep_open`."""
        try:
            yield
        finally:
            self._client.logout()

    def list_notices(self) -> tuple[Problem, ...]:
        """See `hsm.targets.contract.Connection.list_notices`: it was asked for, or another one tells."""
        return ()

    def check_roots(self, roots: Mapping[Root, str]) -> None:
        """See `hsm.targets.contract.Connection.check_roots`: only the check over there can tell."""

    def contents(self) -> Contents:
        """See `hsm.targets.contract.Connection.contents`. Asks as `endpoint` does."""
        return ShellContents(self._client) if self._client.can_run else SftpContents(self._client)

    def prepare(self, changed: Collection[Root], *, workspace: str, update_only: bool) -> None:
        """See `hsm.targets.contract.Connection.prepare`: nothing can be opened before it is used."""

    def release(self) -> None:
        """See `hsm.targets.contract.Connection.release`."""

    def make_engine(
        self, roots: Mapping[Root, str], *, workspace: str, update_only: bool, pulls: bool = False
    ) -> Engine:
        """See `hsm.targets.contract.Connection.make_engine`."""
        return SftpEngine(
            self._client,
            self._runner,
            roots,
            workspace=workspace,
            pulls=pulls,
            update_only=update_only,
            receive_mode=self._receive_mode,
        )
