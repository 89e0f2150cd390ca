"""The sessions of docs/LAYOUTS.md: one project of each layout, and what `hsm` prints there."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from session_stage import list_sizes, set_times, write_checkpoint
from write_layouts import AGENTS_SWEEP, LAYOUTS, MULTIRUN, OLD_SWEEP

if TYPE_CHECKING:
    from pathlib import Path

    from session_stage import Stage

LAYOUT_RUN_BYTES = 100_000
QUIET_DAY = "2025-12-09 10:00:00"
COMMANDS = {
    "loose": (
        "list --sweeps",
        "to loose --newest 2",
        "to k3v9x2ab",
        "report loose --columns name,state,lr,loss",
    ),
    "groups": ("list --sweeps", "to resnet50", "to vit/base"),
    "agents": ("list --sweeps", f"to me/mnist/{AGENTS_SWEEP}"),
    "parts": ("list --sweeps", "to dev", "to checkpoints/exp7/wandb"),
    "outputs": ("list --sweeps", "to exp1", "to outputs/wandb"),
    "hydra": ("list --sweeps", f"to {MULTIRUN}", "report latest --columns name,state,lr,loss"),
    "folders": ("list --sweeps", "to latest"),
    "old": ("list --sweeps", f"to {OLD_SWEEP}", "report loose --columns name,state,lr,loss"),
}
"""What is typed in each project, behind `hsm sync`."""

_PROGRESS = re.compile(
    r"^desktop: (?:logging in|checking what is there|checked|done|nothing to do|transfer started: .*)\n", re.MULTILINE
)


def record_layouts(stage: Stage) -> dict[str, str]:
    """Record what is typed in a project of each layout, without the lines of progress."""
    said = {}
    for name, commands in COMMANDS.items():
        project, desk = stage.get_project(name), f"desk-of-{name}"
        project.mkdir(parents=True)
        LAYOUTS[name](project)
        _make_fixed(project)
        stage.runs |= {run.name: run.name for run in project.rglob("*run-*-*") if run.is_dir()}
        stage.write_target(name, "desktop", at=desk)
        shown = "".join(stage.show(name, f"hsm sync {command}") for command in commands)
        said[name] = _PROGRESS.sub("", shown)
    return said


def _make_fixed(project: Path) -> None:
    """Give every run one size, and the times of which its name speaks."""
    set_times(project, QUIET_DAY)
    for run in project.rglob("offline-run-*"):
        write_checkpoint(run, sum(list_sizes(run).values()), LAYOUT_RUN_BYTES)
        began = datetime.strptime(run.name, f"offline-run-%Y%m%d_%H%M%S-{run.name[-8:]}")
        set_times(run, str(began + timedelta(minutes=10)))
