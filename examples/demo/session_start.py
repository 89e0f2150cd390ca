"""The sessions of docs/QUICKSTART.md: the first commands in an empty project, in both directions."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from typing import TYPE_CHECKING

from demo_stage import OTHER_SWEEP, SWEEP

if TYPE_CHECKING:
    from pathlib import Path

    from session_stage import Stage

PULL = ("hsm sync init --pull hpc:{there}", "hsm sync from latest", "hsm")
PUSH = ("hsm sync init --push desktop:{there}", "hsm sync to latest", "hsm")

_PROGRESS = re.compile(
    r"^(?:hpc|desktop): (?:logging in|checking what is there|checked|done|transfer started: .*)\n", re.MULTILINE
)


def record_start(stage: Stage) -> dict[str, str]:
    """Record the first commands: on a laptop that pulls from a cluster, and on a cluster that pushes to a desktop."""
    stage.write_runs("cluster", OTHER_SWEEP, 2)
    stage.write_runs("cluster", SWEEP, 3)
    stage.get_project("laptop").mkdir(parents=True)
    stage.get_project("cluster").joinpath(".hsm").mkdir(exist_ok=True)
    path = f"{_write_ssh(stage)}:{os.environ['PATH']}"
    return {
        "first-pull": _show(stage, "laptop", "cluster", PULL, path),
        "first-push": _show(stage, "cluster", "desktop", PUSH, path),
    }


def _show(stage: Stage, machine: str, there: str, commands: tuple[str, ...], path: str) -> str:
    said = ""
    for command in commands:
        line = command.format(there=stage.get_project(there))
        with stage.start_hsm(machine, *shlex.split(line)[1:], environment={"PATH": path}) as process:
            said += f"$ {line}\n{process.communicate()[0]}"
    return _PROGRESS.sub("", said)


def _write_ssh(stage: Stage) -> Path:
    """Write an ssh that knows the hosts `hpc` and `desktop`, as a user's ~/.ssh/config would; returns its folder."""
    folder = stage.sshd.folder / "bin"
    folder.mkdir()
    config = folder / "config"
    config.write_text(stage.sshd.ssh_config.read_text().replace(f"Host {stage.sshd.alias}", "Host hpc desktop", 1))
    config.chmod(0o600)
    ssh = folder / "ssh"
    real = shutil.which("ssh") or "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} -F {shlex.quote(str(config))} "$@"\n')
    ssh.chmod(0o755)
    return folder
