"""From a target's configuration to the two ends of an exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hsm.config.schema import TargetSettings
from hsm.endpoint import Endpoint
from hsm.errors import UnreachableError
from hsm.model import Root
from hsm.progress import Reporter, Waiting
from hsm.records.journal import Route
from hsm.remote.command import Runner
from hsm.remote.endpoint import RemoteEndpoint
from hsm.remote.openssh import PAUSES_SECONDS, OpenSsh
from hsm.sync.exchange import Ends, MakeEngine
from hsm.transfer.base import Engine
from hsm.transfer.rsync import FINE_TIMES_VERSION, RsyncEngine, check_remote_version, read_local_version


def get_roots(settings: TargetSettings) -> dict[Root, str]:
    """The target's two folders, as configured."""
    return {Root.SWEEPS: settings.paths.sweeps, Root.WANDB: settings.paths.wandb}


def make_ssh(
    name: str,
    settings: TargetSettings,
    runner: Runner,
    reporter: Reporter,
    *,
    pauses_seconds: Sequence[float] = PAUSES_SECONDS,
) -> OpenSsh:
    """The SSH client of a target, which tells the reporter when it waits for a dropped connection."""

    def note(seconds: float, error: UnreachableError) -> None:
        reporter.report(Waiting(name, seconds, error.message))

    return OpenSsh(name, settings, runner, pauses_seconds=pauses_seconds, on_wait=note)


def make_push_ends(name: str, settings: TargetSettings, *, source: Endpoint, ssh: OpenSsh, runner: Runner) -> Ends:
    """The ends of a push: this machine is the source, the target the destination. Starts nothing."""
    destination = RemoteEndpoint(ssh, rsync_path=settings.rsync_path or "rsync")
    make_engine = make_rsync_maker(runner, destination, ssh=ssh, rsync_path=settings.rsync_path)
    return Ends(name, source, destination, get_roots(settings), make_engine, runner.sleep)


def make_rsync_maker(
    runner: Runner, remote: RemoteEndpoint, *, ssh: OpenSsh, rsync_path: str | None, pulls: bool = False
) -> MakeEngine:
    """A maker of rsync engines that first checks the rsync of both ends.

    Args:
        runner: Starts the processes.
        remote: The remote end.
        ssh: Its client.
        rsync_path: Its rsync, as configured.
        pulls: The remote end is the source.
    """

    def make_engine(roots: Mapping[Root, str], *, sweep: str, skips_newer: bool) -> Engine:
        here = read_local_version(runner)
        there = check_remote_version(remote.machine.rsync_version, name=ssh.name)
        return RsyncEngine(
            runner,
            roots,
            sweep=sweep,
            ssh=ssh,
            pulls=pulls,
            rsync_path=rsync_path,
            protocol=min(here.protocol, there.protocol),
            skips_newer=skips_newer,
            has_fine_times=min(here.version, there.version) >= FINE_TIMES_VERSION,
        )

    return make_engine


def make_route(settings: TargetSettings, *, direction: str) -> Route:
    """Between which places a journal of this target speaks."""
    return Route(
        direction=direction,
        host=settings.host,
        user=settings.user,
        port=settings.port,
        sweeps=settings.paths.sweeps,
        wandb=settings.paths.wandb,
    )
