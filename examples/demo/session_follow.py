"""The guide's session of `--continuous`: a run that another process writes begins and ends while it is followed."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from demo_stage import LIVE_SWEEP
from live_run import start_live_run
from session_stage import RUN_BYTES, WAIT_SECONDS, SessionError, list_sizes, write_checkpoint
from write_sweep import make_tasks, write_sweep_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_stage import Stage

TAIL_BYTES = 3_000_000


def record_follow(stage: Stage) -> dict[str, str]:
    """Record `--continuous` over a run that begins and ends meanwhile.

    `hsm` is stopped between two passes while wandb writes, so that every recording has the same passes.
    """
    stage.write_target("node", "desktop", at="store")
    project = stage.get_project("node")
    stage.write_runs("node", LIVE_SWEEP, 2, n_killed=1)
    write_sweep_folder(project / "sweeps" / "outputs" / LIVE_SWEEP, LIVE_SWEEP, make_tasks(LIVE_SWEEP, 4))
    command = "hsm sync to latest --continuous --interval 2"
    with stage.start_hsm("node", *shlex.split(command)[1:]) as process:
        said = read_until(process, "1 to come; desktop: ")
        with stopped(process), start_live_run(project, LIVE_SWEEP, 4, scratch=stage.work / "scratch") as live:
            run = Path(read_line(live).strip())
            stage.name_runs(LIVE_SWEEP, list_runs(project))
            write_checkpoint(run, sum(list_sizes(run).values()), RUN_BYTES, "step_1.ckpt")
            before = read_states(run)
            with continued(process):
                said += read_until(process, "1 going on")
            live.communicate("\n", timeout=WAIT_SECONDS)
            changed = [path for path, state in read_states(run).items() if before.get(path) != state]
            write_checkpoint(run, sum(path.stat().st_size for path in changed), TAIL_BYTES)
        assert process.stdout is not None
        said += process.stdout.read()
        process.wait()
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
        SessionError: It has ended.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SessionError(f"it has ended early: {process.args!r}")
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
