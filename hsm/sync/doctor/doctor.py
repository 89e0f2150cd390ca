"""`hsm sync doctor`: looks in advance at everything that a sync needs, at all targets at the same time.

It is polite: one login per target, the one that a sync would use, and no contact besides. Probes of ports and scans for
keys say little about a machine behind a jump host, and on a guarded server they are what leads to a ban. What ssh says
of the login tells how far it came. Nothing is written anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.process.runner import Runner
from hsm.remote.openssh.client import OpenSsh
from hsm.sync.doctor.findings import Checkup, DoctorReport, make_failed_finding, make_not_checked
from hsm.sync.doctor.folders import examine_folder
from hsm.sync.doctor.here import examine_here
from hsm.sync.doctor.openssh import OpenSshExamination
from hsm.sync.doctor.rows import Rows
from hsm.sync.doctor.silence import SilentPlaceError, check_answers_here
from hsm.sync.target_threads import wait_awake
from hsm.targets.contract import Client, choose_client

if TYPE_CHECKING:
    from hsm.sync.doctor.sftp import SftpExamination


def examine(
    targets: Mapping[str, TargetSettings], *, layout: Layout, runner: Runner, may_ask: bool = False
) -> DoctorReport:
    """Check this machine and targets. Everything that is wrong is a row of the report; nothing is raised for it.

    Args:
        targets: By name.
        layout: Folders of the project's own sweeps and runs.
        runner: Starts the processes.
        may_ask: ssh may ask in this terminal; logins are then made one after the other.
    """
    asking = threading.Lock() if may_ask else None
    try:
        check_answers_here((layout.project, layout.sweeps, layout.wandb))
    except SilentPlaceError as error:
        because = make_not_checked("place", "because of this project's own folders")
        return DoctorReport(
            (make_failed_finding("project", error),), tuple(Checkup(name, (because,)) for name in targets)
        )

    def examine_target(name: str) -> Checkup:
        settings = targets[name]
        if settings.is_folder:
            return examine_folder(name, settings, layout, runner)
        return _examine_far(name, settings, layout, runner, asking)

    with ThreadPoolExecutor(len(targets) + 1, thread_name_prefix="hsm-doctor") as executor:
        here = executor.submit(examine_here, runner, list(targets.values()))
        checkups = [executor.submit(examine_target, name) for name in targets]
        try:
            wait_awake(checkups)
            return DoctorReport(here.result(), tuple(checkup.result() for checkup in checkups))
        except BaseException:
            runner.stop()
            raise


def _examine_far(
    name: str, settings: TargetSettings, layout: Layout, runner: Runner, asking: threading.Lock | None
) -> Checkup:
    """Examine a target behind a network."""
    rows = Rows(name, layout)

    def make_sftp(reason: str) -> SftpExamination:
        from hsm.remote.paramiko.client import ParamikoClient  # noqa: PLC0415 - few targets need it
        from hsm.sync.doctor.sftp import SftpExamination  # noqa: PLC0415 - as above

        client = ParamikoClient(name, settings, runner, pauses_seconds=())
        return SftpExamination(client, settings, runner, asking, rows, reason)

    if choose_client(settings) is Client.PARAMIKO:
        make_sftp("").fill()
    else:
        ssh = OpenSsh(name, settings, runner, pauses_seconds=())
        OpenSshExamination(ssh, settings, runner, asking, rows, make_sftp).fill()
    return rows.make_checkup()
