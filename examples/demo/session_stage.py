"""Where the guide's terminal sessions are recorded: projects of several machines, all behind one private sshd."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from demo_stage import LIVE_SWEEP, OTHER_SWEEP, SWEEP
from session_text import Rules, make_run_names
from write_sweep import write_sweep

from hsm.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from private_sshd import PrivateSshd

NAME = "Encoded-CVPR"
HOME = "/home/me/code"
HOST = "login1"
WAIT_SECONDS = 150
RUN_BYTES = 2_000_000
TIMES = {SWEEP: "2025-10-20 23:59:50", OTHER_SWEEP: "2025-10-18 11:59:47", LIVE_SWEEP: "2025-10-21 09:12:49"}
FOREIGN = ("HSM_", "LC_", "RSYNC_", "SLURM_", "SSH_", "WANDB_", "COLUMNS", "FORCE_COLOR", "LANG", "NO_COLOR", "XDG_")


class SessionError(Exception):
    """A program that is recorded did not do what the session is about."""


@dataclass(slots=True)
class Stage:
    """Where it happens: projects on a cluster and on a desktop, and the runs that were written.

    Attributes:
        work: The folder of it all.
        sshd: What both are reached by.
        since: When the recording began.
        runs: What stands for the names of runs.
    """

    work: Path
    sshd: PrivateSshd
    since: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    runs: dict[str, str] = field(default_factory=dict)

    def get_project(self, machine: str) -> Path:
        """The project's folder on a machine."""
        return self.work / machine / NAME

    def write_runs(self, machine: str, sweep: str, n_runs: int, *, n_killed: int = 0) -> None:
        """Write a sweep and its runs, of fixed sizes and times."""
        project = self.get_project(machine)
        runs = write_sweep(project, sweep, n_runs, n_killed=n_killed)
        self.name_runs(sweep, [run.name for run in runs])
        for run in runs:
            write_checkpoint(run, sum(list_sizes(run).values()), RUN_BYTES)
        for folder in (*runs, project / "sweeps" / "outputs" / sweep):
            set_times(folder, TIMES[sweep])

    def name_runs(self, sweep: str, names: Sequence[str]) -> None:
        """Choose what stands for the runs' names; those of a sweep that has some already come behind them."""
        self.runs |= make_run_names(names, sweep.split("_")[1])

    def write_target(self, machine: str, target: str, at: str) -> None:
        """Configure a project: its target is the project on another machine."""
        folder, sshd = self.get_project(at), self.sshd
        ssh = {"identity_file": str(sshd.identity_file), "options": {"UserKnownHostsFile": str(sshd.known_hosts)}}
        paths = {"sweeps": "sweeps", "wandb": "wandb", "project_root": str(folder)}
        settings = {"host": sshd.host, "port": sshd.port, "user": sshd.user, "paths": paths, "ssh": ssh}
        config = {"default_target": target, "sync_targets": {target: settings}}
        self.write_config(machine, yaml.safe_dump(config, sort_keys=False))

    def write_config(self, machine: str, text: str) -> None:
        """Write a project's configuration."""
        path = self.get_project(machine) / ".hsm" / "sync_config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def make_rules(self) -> Rules:
        """Make the rules for what was recorded so far."""
        paths = {str(folder): HOME for folder in self.work.iterdir()}
        return Rules(self.since.date(), paths, socket.gethostname(), HOST, self.runs)

    @contextlib.contextmanager
    def start_hsm(
        self, machine: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Start `hsm` in a machine's project, with no terminal; what it prints comes by `stdout`.

        It is killed with the end of the context, and after `WAIT_SECONDS`.

        Raises:
            SessionError: It was killed, or crashed.
        """
        outside = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        fixed = {"LC_ALL": "C.UTF-8", "TERM": "dumb", "TZ": "UTC", "HOME": str(self.sshd.home)}
        process = subprocess.Popen(
            [sys.executable, "-m", "hsm", *arguments],
            cwd=self.get_project(machine),
            env={**outside, **fixed, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        limit = threading.Timer(WAIT_SECONDS, process.kill)
        limit.start()
        with process:
            try:
                yield process
            finally:
                limit.cancel()
                if process.poll() is None:
                    process.kill()
        if process.returncode not in (ExitCode.DONE, ExitCode.PARTIAL):
            raise SessionError(f"`hsm {shlex.join(arguments)}` ended with {process.returncode}")

    def show(self, machine: str, command: str, *, environment: Mapping[str, str] | None = None) -> str:
        """Run a command line of `hsm` and return it with all that was printed.

        What stands behind `&&` is an `echo`, and counts where the command's exit code is 0.
        """
        words, _, echo = command.partition(" && echo ")
        with self.start_hsm(machine, *shlex.split(words)[1:], environment=environment) as process:
            said = process.communicate()[0]
        lines = "".join(f"$ export {name}={value}\n" for name, value in (environment or {}).items())
        ending = f"{echo}\n" if echo and process.returncode == 0 else ""
        return f"{lines}$ {command}\n{said}{ending}"


def list_sizes(folder: Path) -> dict[Path, int]:
    """List a folder's files and their sizes, without symlinks."""
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def write_checkpoint(run: Path, n_bytes: int, total_bytes: int, name: str = "model.ckpt") -> None:
    """Write what a training leaves beside wandb's files, so large that the sum is fixed."""
    (run / "files" / name).write_bytes(bytes(total_bytes - n_bytes))


def set_times(folder: Path, newest: str) -> None:
    """Give a folder and all in it one time, in UTC."""
    at = datetime.fromisoformat(newest).replace(tzinfo=timezone.utc).timestamp()
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (at, at), follow_symlinks=False)
