"""Record the terminal sessions of the guide from real runs of `hsm`, and write them into it. `make sessions` runs it.

    python examples/demo/record_sessions.py [PAGE]

Runs that the real wandb writes travel over a private sshd on 127.0.0.1. Each run gets a checkpoint that makes its size
the same in every recording, and all files get fixed times. What still differs is replaced by the rules of
`session_text`. Two recordings give the same page.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from demo import OTHER_SWEEP, REPOSITORY, SWEEP
from private_sshd import PrivateSshd
from session_text import Rules, make_fixed, make_run_names, replace_sessions
from write_sweep import QUIET, log_run, make_tasks, wait_for_log, write_sweep, write_sweep_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GUIDE = REPOSITORY / "docs" / "SYNC.md"
LIVE_SWEEP = "sweep_20251021_090000"
NAME = "Encoded-CVPR"
HOME = "/home/me/code"
WAIT_SECONDS = 90
RUN_BYTES = 2_000_000
TAIL_BYTES = 3_000_000
TIMES = {SWEEP: "2025-10-20 23:59:50", OTHER_SWEEP: "2025-10-18 11:59:47", LIVE_SWEEP: "2025-10-21 09:12:49"}
FOREIGN = ("HSM_", "LC_", "RSYNC_", "SLURM_", "SSH_", "WANDB_", "COLUMNS", "FORCE_COLOR", "LANG", "NO_COLOR", "XDG_")

RESOLVED_CONFIG = """\
default_target: desktop
sync_targets:
  desktop:
    host: desktop.example.org
    paths:
      sweeps: sweeps
      wandb: wandb
      project_root: ~/code/Encoded-CVPR
sweeps:
  "sweep_202510*":
    paths: {wandb: /archive/wandb}
    options: {max_depth: null}
"""


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
        return Rules(self.since.date(), paths, socket.gethostname(), "login1", self.runs)

    @contextlib.contextmanager
    def start_hsm(
        self, machine: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Start `hsm` in a machine's project, with no terminal; what it prints comes by `stdout`."""
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
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def show(self, machine: str, command: str, *, environment: Mapping[str, str] | None = None) -> str:
        """Run a command line of `hsm` and return it with all that was printed.

        What stands behind `&&` is an `echo`, and counts where the command's exit code is 0.
        """
        words, _, echo = command.partition(" && echo ")
        with self.start_hsm(machine, *shlex.split(words)[1:], environment=environment) as process:
            said = process.communicate(timeout=WAIT_SECONDS)[0]
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


def record_pull(stage: Stage) -> dict[str, str]:
    """Record a desktop that looks at a cluster's sweeps and brings the newest."""
    stage.write_target("laptop", "hpc", at="cluster")
    commands = ("list --sweeps --target hpc", "from latest --target hpc --dry-run", "from latest --target hpc")
    return {"pull": "".join(stage.show("laptop", f"hsm sync {command}") for command in commands)}


def record_push(stage: Stage) -> dict[str, str]:
    """Record choosing, and where things stand then: here, asked there, and on the machine that receives."""
    stage.write_target("cluster", "desktop", at="desktop")
    choice = "hsm sync to latest --runs finished --newest 2 --exclude '*.html'"
    sessions = {"choose": stage.show("cluster", f"{choice} --dry-run") + stage.show("cluster", choice)}
    brought = stage.show("cluster", f"hsm sync to {OTHER_SWEEP} -q")
    sessions["status"] = brought + stage.show("cluster", "hsm sync status")
    desktop = stage.get_project("desktop")
    sessions["status-there"] = stage.show("desktop", "hsm sync status") + stage.show(
        "desktop", f"hsm sync status {OTHER_SWEEP} -q && echo complete"
    )
    (desktop / "sweeps" / "outputs" / OTHER_SWEEP / "sweep_summary.csv").unlink()
    sessions["status-check"] = stage.show("cluster", f"hsm sync status {OTHER_SWEEP} --check")
    return sessions


def record_resolved(stage: Stage) -> dict[str, str]:
    """Record where the values of a target come from."""
    stage.write_config("cluster", RESOLVED_CONFIG)
    command = "hsm sync list --resolved latest --set options.parallel_transfers=8"
    variable = {"HSM_SYNC__DESKTOP__PATHS__SWEEPS": "/scratch/sweeps"}
    return {"resolved": stage.show("cluster", command, environment=variable)}


def record_follow(stage: Stage) -> dict[str, str]:
    """Record `--continuous` over a run that begins and ends meanwhile.

    `hsm` is stopped between two passes while wandb writes, so that every recording has the same passes.
    """
    stage.write_target("node", "desktop", at="store")
    project = stage.get_project("node")
    stage.write_runs("node", LIVE_SWEEP, 2, n_killed=1)
    write_sweep_folder(project / "sweeps" / "outputs" / LIVE_SWEEP, LIVE_SWEEP, make_tasks(LIVE_SWEEP, 4))
    command = "hsm sync to latest --continuous --interval 1"
    with stage.start_hsm("node", *shlex.split(command)[1:]) as process:
        said = read_until(process, "1 to come; desktop: ")
        with stopped(process), start_live_run(stage, project) as live:
            run = Path(read_line(live).strip())
            stage.name_runs(LIVE_SWEEP, [name for name in list_runs(project)])
            write_checkpoint(run, sum(list_sizes(run).values()), RUN_BYTES, "step_1.ckpt")
            before = read_states(run)
            with continued(process):
                said += read_until(process, "1 going on")
            live.communicate("\n", timeout=WAIT_SECONDS)
            changed = [path for path, state in read_states(run).items() if before.get(path) != state]
            write_checkpoint(run, sum(path.stat().st_size for path in changed), TAIL_BYTES)
        said += process.communicate(timeout=WAIT_SECONDS)[0]
    return {"follow": f"$ {command}\n{said}"}


def list_runs(project: Path) -> list[str]:
    """List the names of a project's runs."""
    return sorted(path.name for path in (project / "wandb").glob("offline-run-*"))


def read_states(run: Path) -> dict[Path, tuple[int, int]]:
    """Read what tells a changed file: its size and its time."""
    return {path: (size, path.stat().st_mtime_ns) for path, size in list_sizes(run).items()}


def read_line(process: subprocess.Popen[str]) -> str:
    """Read a line that a process prints.

    Raises:
        RuntimeError: It has ended.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"it has ended early: {process.args!r}")
    return line


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read what a process prints, up to a line with these words."""
    lines = [read_line(process)]
    while words not in lines[-1]:
        lines.append(read_line(process))
    return "".join(lines)


@contextlib.contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    """Let a process rest while the context lasts."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def continued(process: subprocess.Popen[str]) -> Iterator[None]:
    """Let a process that rests go on while the context lasts."""
    process.send_signal(signal.SIGCONT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGSTOP)


@contextlib.contextmanager
def start_live_run(stage: Stage, project: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that begins a run, prints its folder once its log has a block, and ends it when told to."""
    scratch = stage.work / "scratch"
    scratch.mkdir()
    folders = dict.fromkeys(("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"), str(scratch))
    with subprocess.Popen(
        [sys.executable, __file__, "--live", str(project)],
        env={**os.environ, **QUIET, **folders},
        cwd=scratch,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def be_live_run(project: str) -> None:
    """Be that process."""
    run: Any = log_run({**make_tasks(LIVE_SWEEP, 4)[3], "dir": project, "group": LIVE_SWEEP})
    wait_for_log(run)
    print(Path(run.dir).parent, flush=True)
    sys.stdin.readline()
    run.finish()


def record() -> dict[str, str]:
    """Record all sessions, in a temporary folder that is removed, and end all that was started."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder).resolve()
        with PrivateSshd(work / "sshd") as sshd:
            stage = Stage(work, sshd)
            stage.write_runs("cluster", OTHER_SWEEP, 2)
            stage.write_runs("cluster", SWEEP, 3, n_killed=1)
            said: dict[str, str] = {}
            try:
                for part in (record_pull, record_push, record_follow, record_resolved):
                    said |= part(stage)
            finally:
                for machine, target in (("laptop", "hpc"), ("node", "desktop")):
                    stage.show(machine, f"hsm sync logout {target}")
            return {name: make_fixed(text, stage.make_rules()) for name, text in said.items()}


def main() -> None:
    """Record the sessions and write them into the page."""
    parser = argparse.ArgumentParser(description="Record the sessions of the guide, and write them into it.")
    parser.add_argument("page", type=Path, nargs="?", default=GUIDE, help="default: docs/SYNC.md")
    parser.add_argument("--live", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.live:
        be_live_run(arguments.live)
        return
    began = time.monotonic()
    sessions = record()
    page: Path = arguments.page
    page.write_text(replace_sessions(page.read_text("utf-8"), sessions), "utf-8")
    print(f"{len(sessions)} sessions are in {page}, recorded in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
