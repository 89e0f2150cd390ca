"""A target that is a folder of this machine: a mounted disk, a NAS, an NFS share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.errors import ConfigError, RefusedError, TargetError
from hsm.model import Problem, Root
from hsm.plan.safety import DESTINATION_GONE
from hsm.process.places import note_place
from hsm.process.runner import Runner
from hsm.records.journal import Journal, list_journals
from hsm.remote.guard import MakeGuard
from hsm.remote.local import LocalEndpoint, LocalShell
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.sweep_folder import OUTPUTS
from hsm.targets.contents.contract import Contents
from hsm.targets.contents.folder import FolderContents
from hsm.transfer.base import Engine
from hsm.transfer.disk.engine import CopyEngine
from hsm.transfer.rsync.engine import RsyncEngine
from hsm.transfer.rsync.setup import RsyncSetup, StreamDirection
from hsm.transfer.rsync.versions import RsyncPair, read_local_version


class FolderTarget:
    """Implements `hsm.targets.contract.Connection` for a folder of this machine.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts the processes.
        layout: Where the project's own sweeps and runs lie.
        allowed: Names of safety checks that are waived.
    """

    is_folder = True
    shell: RemoteShell | None = None
    login_lasts_seconds = 0

    def __init__(
        self,
        name: str,
        settings: TargetSettings,
        runner: Runner,
        *,
        layout: Layout,
        allowed: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.endpoint = LocalEndpoint(runner, name=name)
        self.make_guard: MakeGuard = partial(ShellGuard, LocalShell(runner, name=name))
        self._settings = settings
        self._runner = runner
        self._layout = layout
        self._allowed = allowed
        for path in (settings.paths.sweeps, settings.paths.wandb):
            note_place(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises where there is no home

    def find_host(self) -> str:
        """See `hsm.targets.contract.Connection.find_host`."""
        return ""

    def login(self, *, may_ask: bool = False) -> None:
        """See `hsm.targets.contract.Connection.login`: there is no login."""

    def logout(self) -> bool:
        """See `hsm.targets.contract.Connection.logout`: there is no login."""
        return False

    def keep_open(self) -> AbstractContextManager[None]:
        """See `hsm.targets.contract.Connection.keep_open`: there is nothing to be kept open."""
        return contextlib.nullcontext()

    def list_notices(self) -> tuple[Problem, ...]:
        """See `hsm.targets.contract.Connection.list_notices`."""
        return ()

    def check_roots(self, roots: Mapping[Root, str]) -> None:
        """See `hsm.targets.contract.Connection.check_roots`.

        Raises:
            ConfigError: They are the project's own.
            RefusedError: Their disk seems to be gone.
        """
        check_apart(self.name, roots, self._layout)
        if DESTINATION_GONE not in self._allowed:
            check_there(self.name, roots, list_journals(Path(self._layout.project), self.name))

    def contents(self) -> Contents:
        """See `hsm.targets.contract.Connection.contents`."""
        return FolderContents(self.name, self._runner)

    def prepare(self, changed: Collection[Root], *, workspace: str, update_only: bool) -> None:
        """See `hsm.targets.contract.Connection.prepare`: nothing takes long to open."""

    def release(self) -> None:
        """See `hsm.targets.contract.Connection.release`."""

    def make_engine(
        self,
        roots: Mapping[Root, str],
        *,
        workspace: str,
        update_only: bool,
        pulls: bool = False,  # noqa: ARG002 - both ends are here
    ) -> Engine:
        """See `hsm.targets.contract.Connection.make_engine`: rsync without ssh, or a plain copy where it is missing."""
        mode = self._settings.options.receive_mode
        if self._settings.engine != "copy":
            try:
                here = read_local_version(self._runner)
            except TargetError:
                if self._settings.engine == "rsync":
                    raise
            else:
                pair = RsyncPair(here, here)
                setup = RsyncSetup(
                    StreamDirection.LOCAL, roots, workspace, pair, update_only=update_only, receive_mode=mode
                )
                return RsyncEngine(self._runner, setup)
        return CopyEngine(self._runner, roots, workspace=workspace, update_only=update_only, receive_mode=mode)


def check_apart(name: str, roots: Mapping[Root, str], layout: Layout) -> None:
    """Refuse a target in the folders that HSM reads of this project. Looks where symlinks lead.

    Raises:
        ConfigError: It is, or would put its files, into one of them.
    """
    project = _resolve(layout.project)
    own = [_resolve(path) for path in (layout.sweeps, f"{project}/{OUTPUTS}", layout.wandb)]
    for root, configured in roots.items():
        path = _resolve(configured)
        landing = f"{path}/{OUTPUTS}" if root is Root.SWEEPS else path
        inside = [folder for folder in own if _is_below(path, folder) or _is_below(landing, folder)]
        if inside or path == project:
            raise ConfigError(
                f"Target {name} lies in the project itself: its {root.value} would land in {landing}, "
                f"and this project's own lie in {inside[0] if inside else project}.",
                hint="Choose other `paths`, or name the machine with `host` if they are another one's.",
                kind="destination_in_source",
            )


def check_there(name: str, roots: Mapping[Root, str], journals: Iterable[Journal]) -> None:
    """Refuse a target whose folders are missing or empty while journals say that files were brought there.

    What a mount leaves behind when it is gone is its mount point, an empty folder, or nothing of what lay in it.

    Raises:
        RefusedError: So it is; writing there would fill another disk.
    """
    lost = {root: path for root, path in roots.items() if _is_empty(path)}
    if not lost:
        return
    known = {root for journal in journals for root in _iter_known(journal, roots)}
    for root, path in lost.items():
        if root in known:
            raise RefusedError(
                f"Target {name}: {path} is missing or empty, although sweeps were brought there before.",
                hint=f"Is its disk mounted? If it was emptied on purpose, `--allow {DESTINATION_GONE}` goes on.",
                kind=DESTINATION_GONE,
            )


def _iter_known(journal: Journal, roots: Mapping[Root, str]) -> Iterator[Root]:
    """The roots below which a journal holds files for proven, as far as it speaks of the same folders."""
    route = journal.route
    same = {root for root, path in ((Root.SWEEPS, route.sweeps), (Root.WANDB, route.wandb)) if path == roots.get(root)}
    for run, record in journal.runs.items():
        root = Root.WANDB if run else Root.SWEEPS
        if record.n_files and root in same and not route.host:
            yield root


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(os.path.expanduser(path)) as found:  # noqa: PTH111 - as `hsm.tree` reads paths
            return next(found, None) is None
    except (NotADirectoryError, PermissionError):
        return False  # what is in the way has words of its own
    except OSError:
        return True


def _resolve(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))  # noqa: PTH111 - as `hsm.tree` reads paths


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
