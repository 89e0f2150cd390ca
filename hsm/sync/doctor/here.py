"""Examination of this machine: HSM, Python, and the programs that the targets need."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

from hsm._version import __version__
from hsm.config.settings import TargetSettings
from hsm.errors import ExitCode, HsmError, NoSshError
from hsm.process.runner import CommandTimeoutError, ProgramMissingError, Runner
from hsm.sync.doctor.findings import (
    CheckState,
    DoctorRow,
    check_rsync,
    make_failed,
    make_failed_finding,
    make_not_checked,
    make_ok,
)
from hsm.targets.auto import find_fallback
from hsm.targets.contract import Client, choose_client
from hsm.transfer.rsync.versions import read_local_version

_VERSION_TIMEOUT_SECONDS = 20


def examine_here(runner: Runner, targets: Sequence[TargetSettings]) -> tuple[DoctorRow, ...]:
    """Fill the rows of this machine: what the targets need of it.

    Args:
        runner: Starts the programs.
        targets: Settings of all targets that are examined.
    """
    by_ssh = [settings for settings in targets if choose_client(settings) is Client.OPENSSH]
    needs_rsync = [*by_ssh, *(settings for settings in targets if settings.is_folder and settings.engine == "rsync")]
    ssh = _check_ssh_here(runner) if by_ssh else make_not_checked("ssh", "no target needs it")
    rsync = _check_rsync_here(runner) if needs_rsync else make_not_checked("rsync", "each target says what it uses")
    # By the very rule by which a sync turns to SFTP, so that the doctor warns only of what a sync can do without.
    if all(find_fallback(settings, NoSshError("")) for settings in by_ssh):
        ssh = _soften(ssh)
    if all(settings.engine == "auto" for settings in needs_rsync):
        rsync = _soften(rsync)
    return (
        make_ok("hsm", __version__),
        make_ok("python", f"{platform.python_version()} on {platform.system()}"),
        ssh,
        rsync,
    )


def _soften(row: DoctorRow) -> DoctorRow:
    """Turn the failure of a program that SFTP can stand in for into a warning."""
    if row.state is not CheckState.FAILED:
        return row
    return replace(
        row, state=CheckState.WARNING, found=f"{row.found.rstrip('.')}: SFTP is used", exit_code=ExitCode.DONE
    )


def _check_ssh_here(runner: Runner) -> DoctorRow:
    try:
        completed = runner.run(["ssh", "-V"], timeout_seconds=_VERSION_TIMEOUT_SECONDS)
    except (ProgramMissingError, CommandTimeoutError):
        hint = "Install OpenSSH's client, for example `apt-get install openssh-client`."
        found = "there is no `ssh` on this machine that works"
        return DoctorRow("ssh", CheckState.FAILED, found, hint, exit_code=ExitCode.UNREACHABLE)
    return make_ok("ssh", (completed.stderr_text.strip().splitlines() or ["it names no version"])[0])


def _check_rsync_here(runner: Runner) -> DoctorRow:
    try:
        return check_rsync("rsync", read_local_version(runner))
    except HsmError as error:
        return make_failed_finding("rsync", error)
    except CommandTimeoutError as error:
        return make_failed("rsync", str(error), "Try `rsync --version` by hand.")
