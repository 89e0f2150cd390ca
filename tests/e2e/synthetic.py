"""Runs that cost nothing: minimal `.wandb` logs, in a project whose sweep is `aftermath.SWEEP`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.aftermath import SWEEP
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from collections.abc import Mapping

T = 1_760_000_000_123_456_789
"""When everything was written: long ago, with all the digits of a nanosecond."""


def write_project(project: Path, *, n_runs: int = 3, sweep: str = SWEEP) -> list[Path]:
    """Write a sweep folder with one file, and finished runs with a log and two files each; return the runs."""
    write_sweep_folder(project, sweep)
    return [write_run(project / "wandb", f"r{number:04}", sweep=sweep) for number in range(n_runs)]


def write_sweep_folder(project: Path, sweep: str = SWEEP) -> Path:
    """Write a sweep's folder with one file."""
    folder = project / "sweeps/outputs" / sweep
    write_file(folder / "sweep_config.yaml", b"grid: {}\n")
    return folder


def write_run(
    wandb: Path, run_id: str, *, sweep: str = SWEEP, name: str = "", files: Mapping[str, bytes] | None = None
) -> Path:
    """Write a finished run.

    Args:
        wandb: The folder it lies in.
        run_id: wandb's id.
        sweep: Which it belongs to, by its group.
        name: Of its folder; by default as wandb would name it.
        files: What lies in its `files/`.
    """
    folder = wandb / (name or f"run-20251020_212836-{run_id}")
    log = w.frame([w.run(run_id, group=sweep), w.history({"loss": 0.5}, 1), w.exit_code(0), w.FOOTER])
    write_file(folder / f"run-{run_id}.wandb", log)
    for path, content in (files or {"config.yaml": b"a: 1\n", "output.log": b"done\n" * 50}).items():
        write_file(folder / "files" / path, content)
    return folder


def write_file(path: Path, content: bytes, *, mtime_ns: int = T) -> Path:
    """Write a file and set its time; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path
