"""`hsm sync doctor`: looks in advance at everything that a sync needs, at all targets at the same time.

It is polite: one login per target, the one that a sync would use, and no contact besides. Probes of ports and scans for
keys say little about a machine behind a jump host, and on a guarded server they are what leads to a ban. What ssh says
of the login tells how far it came. Nothing is written anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from hsm.config.schema import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.process.runner import Runner
from hsm.sync.doctor.findings import Checkup, DoctorReport
from hsm.sync.doctor.folders import examine_folder
from hsm.sync.doctor.here import examine_here
from hsm.sync.doctor.openssh import OpenSshExamination
from hsm.sync.doctor.rows import Rows
from hsm.sync.target_threads import wait_awake
from hsm.targets.contract import Client, choose_client


def examine(
    targets: Mapping[str, TargetSettings], *, layout: Layout, runner: Runner, may_ask: bool = False
) -> DoctorReport:
    """Check this machine and targets. Everything that is wrong is a row of the report; nothing is raised for it.

    Args:
        targets: By name.
        layout: Where the project's own sweeps and runs lie.
        runner: Starts the processes.
        may_ask: ssh may ask in this terminal; logins are then made one after the other.
    """
    asking = threading.Lock() if may_ask else None

    def examine_target(name: str) -> Checkup:
        settings = targets[name]
        client = choose_client(settings)
        if client is Client.NONE:
            return examine_folder(name, settings, layout, runner)
        rows = Rows(name)
        if client is Client.PARAMIKO:
            from hsm.sync.doctor.sftp import SftpExamination  # noqa: PLC0415 - few targets need it

            SftpExamination(name, settings, runner, asking, rows).fill()
        else:
            OpenSshExamination(name, settings, runner, asking, rows).fill()
        return rows.make_checkup()

    with ThreadPoolExecutor(len(targets) + 1, thread_name_prefix="hsm-doctor") as executor:
        here = executor.submit(examine_here, runner, list(targets.values()))
        checkups = [executor.submit(examine_target, name) for name in targets]
        try:
            wait_awake(checkups)
            return DoctorReport(here.result(), tuple(checkup.result() for checkup in checkups))
        except BaseException:
            runner.stop()
            raise
