"""The second part of the demo, a researcher's day: follow a sweep, pull it elsewhere, free the disk, look at it."""

from __future__ import annotations

import filecmp
import threading
from itertools import pairwise
from pathlib import Path
from typing import IO

from demo_stage import (
    DEMO,
    LAPTOP,
    LIVE_SWEEP,
    PROJECT,
    REPOSITORY,
    SWEEP,
    TARGET,
    DemoError,
    list_results,
    run_hsm,
    show_heading,
    show_text,
)
from live_run import start_live_run
from write_sweep import make_tasks, write_sweep, write_sweep_folder

LIVE_SECONDS = 3


def show_day(runs: tuple[Path, ...], *, can_clean: bool) -> None:
    """Show what comes after a first sync.

    Args:
        runs: Those of `SWEEP`, the killed one last.
        can_clean: The desktop can be asked to write its files to the disk.

    Raises:
        DemoError: Something is not as it should be.
    """
    show_follow()
    show_pull(runs)
    show_heading("Where do things stand once most runs have been at rest for a while?")
    run_hsm(["sync", "to", SWEEP, "--target", "desktop"])
    run_hsm(["sync", "status"], expected=1)  # 0 once all sweeps are complete
    show_clean(runs, can_clean=can_clean)
    show_report()


def show_follow() -> None:
    """Follow a sweep of two runs, one of which goes on in another process, to its end."""
    show_heading("A sweep that still runs: follow it until its last run has ended")
    write_sweep(PROJECT, LIVE_SWEEP, 1)
    write_sweep_folder(PROJECT / "sweeps" / "outputs" / LIVE_SWEEP, LIVE_SWEEP, make_tasks(LIVE_SWEEP, 2))
    with start_live_run(PROJECT, LIVE_SWEEP, 2, scratch=DEMO / "wandb-scratch") as live:
        assert live.stdin is not None
        assert live.stdout is not None
        run = Path(live.stdout.readline().strip())
        show_text(f"{run.name} is being written; it ends in some seconds.")
        timer = threading.Timer(LIVE_SECONDS, end_run, [live.stdin])
        timer.start()
        try:
            run_hsm(["sync", "to", LIVE_SWEEP, "--target", "desktop", "--continuous", "--interval", "2"])
        finally:
            timer.cancel()
    log = next(run.glob("*.wandb")).relative_to(PROJECT)
    if not filecmp.cmp(PROJECT / log, TARGET / log, shallow=False):
        raise DemoError(f"{log} is not the same as its source")
    show_text("The log of the run that ended meanwhile is at the desktop, byte for byte.")


def end_run(stdin: IO[str]) -> None:
    """Tell the process of a run to end it."""
    stdin.write("\n")
    stdin.flush()


def show_pull(runs: tuple[Path, ...]) -> None:
    """Pull the first sweep from the desktop into the project's copy on the laptop, and compare the two."""
    show_heading("The other way round: pull it from the desktop to a laptop")
    show_text(f"In {LAPTOP.relative_to(REPOSITORY)}, with the same configuration:")
    run_hsm(["sync", "from", SWEEP, "--target", "desktop"], project=LAPTOP)
    arrived = list_results(LAPTOP)
    folders = {("outputs", SWEEP), *(("wandb", run.name) for run in runs)}
    expected = [path for path in list_results(TARGET) if folders & set(pairwise(path.parts))]
    if arrived != expected:
        raise DemoError(f"these should have come and have not, or the reverse: {sorted({*arrived} ^ {*expected})}")
    for path in arrived:
        if not filecmp.cmp(TARGET / path, LAPTOP / path, shallow=False):
            raise DemoError(f"{path} is not the same on the laptop")
    show_text(f"All {len(arrived)} files of {SWEEP} are the same on the laptop, and nothing else has come.")


def show_clean(runs: tuple[Path, ...], *, can_clean: bool) -> None:
    """Free the cluster's disk of the runs that are proven to lie at the desktop."""
    show_heading("Free the disk of the cluster")
    clean = ["sync", "clean", SWEEP, "--allow-superseded"]
    run_hsm([*clean, "--dry-run"], expected=1)  # 1 where something stays
    if not can_clean:
        show_text("This small server cannot be asked to write its files to the disk, so nothing is removed here.")
        return
    run_hsm([*clean, "--yes"], expected=1)
    left = [run.name for run in runs if run.exists()]
    if left != [runs[-1].name]:
        raise DemoError(f"these runs are left: {', '.join(left)}")
    if missing := [run.name for run in runs if not (TARGET / "wandb" / run.name).is_dir()]:
        raise DemoError(f"these runs are not at the desktop: {', '.join(missing)}")
    show_text("The killed run stays: only what has ended is removed.")


def show_report() -> None:
    """Show what the runs recorded, where the sweep arrived."""
    show_heading("What came out of it? On the laptop:")
    report = ["sync", "report", SWEEP, "--sort", "loss"]
    run_hsm([*report, "--columns", "learning_rate,batch_size,loss,accuracy"], project=LAPTOP)
    page = DEMO / "report.html"
    run_hsm([*report, "--html", str(page)], project=LAPTOP)
    if not page.stat().st_size:
        raise DemoError(f"{page} is empty")
