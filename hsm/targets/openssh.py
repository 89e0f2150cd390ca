"""A target reached by the system's OpenSSH, to which rsync carries the files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from hsm.config.settings import TargetSettings
from hsm.model import Problem, Root
from hsm.process.background import BackgroundCall
from hsm.process.runner import Runner
from hsm.remote.guard import MakeGuard
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.openssh.hints import DestinationHint, HintFile
from hsm.remote.openssh.master import PERSIST_SECONDS
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.targets.contents.contract import Contents
from hsm.targets.head_start import HeadStart
from hsm.transfer.base import Engine

if TYPE_CHECKING:
    from hsm.transfer.rsync.engine import RsyncEngine
    from hsm.transfer.rsync.versions import RsyncVersion


class OpenSshTarget:
    """Implements `hsm.targets.contract.Connection` with the system's OpenSSH and rsync.

    Args:
        ssh: The client.
        settings: The target's.
        runner: Starts the processes.
        hints: What the last call left behind of the target; None where there can be nothing.
    """

    is_folder = False
    login_lasts_seconds = PERSIST_SECONDS

    def __init__(self, ssh: OpenSsh, settings: TargetSettings, runner: Runner, hints: HintFile | None = None) -> None:
        self.name = ssh.name
        self.endpoint = RemoteEndpoint(ssh, rsync_path=settings.rsync_path or "rsync")
        self._ssh = ssh
        self._settings = settings
        self._runner = runner
        self._here: BackgroundCall[RsyncVersion] | None = None
        self._head_start = HeadStart(hints, _make_route_word(settings), self._make_push_engine, ssh)

    @property
    def make_guard(self) -> MakeGuard:
        """See `hsm.targets.contract.Connection.make_guard`."""
        return partial(ShellGuard, self._ssh)

    @property
    def shell(self) -> RemoteShell | None:
        """See `hsm.targets.contract.Connection.shell`."""
        return self._ssh

    def find_host(self) -> str:
        """See `hsm.targets.contract.Connection.find_host`."""
        return self._ssh.program.resolve().get("hostname", self._settings.host)

    def login(self, *, may_ask: bool = False) -> None:
        """See `hsm.targets.contract.Connection.login`."""
        self._ssh.login(may_ask=may_ask)

    def logout(self) -> bool:
        """See `hsm.targets.contract.Connection.logout`."""
        return self._ssh.logout()

    def keep_open(self) -> AbstractContextManager[None]:
        """See `hsm.targets.contract.Connection.keep_open`."""
        return self._ssh.keep_shell()

    def list_notices(self) -> tuple[Problem, ...]:
        """See `hsm.targets.contract.Connection.list_notices`."""
        return ()

    def check_roots(self, roots: Mapping[Root, str]) -> None:
        """See `hsm.targets.contract.Connection.check_roots`: only a look there can tell."""

    def contents(self) -> Contents:
        """See `hsm.targets.contract.Connection.contents`."""
        from hsm.targets.contents.shell import ShellContents  # noqa: PLC0415 - few workflows need it

        return ShellContents(self._ssh)

    def prepare(self, changed: Collection[Root], *, workspace: str, update_only: bool) -> None:
        """See `hsm.targets.contract.Connection.prepare`: streams open, or the rsync here is asked for its version."""
        if not self._head_start.begin(changed, workspace=workspace, update_only=update_only):
            self._read_version()

    def release(self) -> None:
        """See `hsm.targets.contract.Connection.release`; the next push begins with what this one found."""
        self._head_start.drop()

    def make_engine(
        self, roots: Mapping[Root, str], *, workspace: str, update_only: bool, pulls: bool = False
    ) -> Engine:
        """See `hsm.targets.contract.Connection.make_engine`; the rsync of both ends is checked first."""
        rsync = self.endpoint.machine.rsync_version
        begun = None if pulls else self._head_start.take(roots, rsync, workspace=workspace, update_only=update_only)
        there = DestinationHint("", roots, rsync)
        return begun or self._make_engine(there, workspace=workspace, update_only=update_only, pulls=pulls)

    def _make_push_engine(self, there: DestinationHint, *, workspace: str, update_only: bool) -> RsyncEngine:
        return self._make_engine(there, workspace=workspace, update_only=update_only, pulls=False)

    def _make_engine(self, there: DestinationHint, *, workspace: str, update_only: bool, pulls: bool) -> RsyncEngine:
        asked = self._read_version()  # a process of its own, begun before the imports below
        from hsm.transfer.rsync.engine import RsyncEngine  # noqa: PLC0415 - where nothing is sent, it is not needed
        from hsm.transfer.rsync.setup import RsyncSetup, StreamDirection  # noqa: PLC0415 - as above
        from hsm.transfer.rsync.versions import check_remote_version, make_pair  # noqa: PLC0415 - as above

        try:
            here = asked.take()
        except Exception:
            self._here = None  # by the next pass of `--continuous` there may be one
            raise
        remote = check_remote_version(there.rsync, name=self.name, rsync_path=self._settings.rsync_path)
        pair = make_pair(here, remote, name=self.name, pulls=pulls)
        setup = RsyncSetup(
            StreamDirection.PULL if pulls else StreamDirection.PUSH,
            there.roots,
            workspace,
            pair,
            rsync_path=self._settings.rsync_path or "",
            update_only=update_only,
            compress=self._settings.options.compress,
            round_trip_seconds=there.round_trip_seconds,
            receive_mode=self._settings.options.receive_mode,
        )
        return RsyncEngine(self._runner, setup, self._ssh)

    def _read_version(self) -> BackgroundCall[RsyncVersion]:
        """Begin to ask the rsync here for its version, once."""
        if self._here is None:
            self._here = BackgroundCall(self._read_local_version, name="hsm-rsync-version")
        return self._here

    def _read_local_version(self) -> RsyncVersion:
        from hsm.transfer.rsync.versions import read_local_version  # noqa: PLC0415 - where nothing is sent, it is not needed

        return read_local_version(self._runner)


def _make_route_word(settings: TargetSettings) -> str:
    """Make a word that differs with every setting which decides what a stream meets."""
    paths = settings.paths
    parts = [settings.host, settings.user, settings.port, paths.sweeps, paths.wandb, settings.rsync_path]
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]
