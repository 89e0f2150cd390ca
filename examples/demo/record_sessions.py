"""Record the terminal sessions of the guide from real runs of `hsm`, and write them into it. `make sessions` runs it.

    python examples/demo/record_sessions.py [PAGE...]

A page is known by its file's name; without one, all of them are written.

Runs that the real wandb writes travel over a private sshd on 127.0.0.1. Each run gets a checkpoint that makes its size
the same in every recording, and all files get fixed times. What still differs is replaced by the rules of
`session_text`. Two recordings give the same page.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from demo_stage import OTHER_SWEEP, REPOSITORY, SWEEP
from private_sshd import PrivateSshd
from session_follow import record_follow
from session_layouts import record_layouts
from session_stage import Stage
from session_start import record_start
from session_text import make_fixed, replace_sessions

DOCS = REPOSITORY / "docs"

# With the `sweeps` that the guide shows.
RESOLVED_CONFIG = """\
default_target: desktop
sync_targets:
  desktop:
    host: desktop.example.org
    paths: {sweeps: sweeps, wandb: wandb, project_root: ~/code/Encoded-CVPR}
  backup:
    host: backup.example.org
    paths: {sweeps: sweeps, wandb: wandb, project_root: /backup/Encoded-CVPR}
sweeps:
  "sweep_2024*":
    paths: {wandb: /archive/wandb, sweeps: /archive/sweeps}
  "sweep_20251020*":
    options: {max_depth: null}
    targets:
      backup:
        options: {exclude: ["*.ckpt"]}
"""


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
    brought = stage.show("cluster", f"hsm sync to {OTHER_SWEEP} -q") + stage.show(
        "cluster", "hsm sync to latest --runs unknown -q"
    )
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
    command = "hsm sync list --resolved latest --set options.parallel_transfers=8 -t backup"
    variable = {"HSM_SYNC__BACKUP__PATHS__WANDB": "/scratch/wandb"}
    return {"resolved": stage.show("cluster", command, environment=variable)}


def record_day(work: Path) -> dict[str, str]:
    """Record all but `--continuous`."""
    with PrivateSshd(work / "sshd") as sshd:  # a shared login ends with it
        stage = Stage(work, sshd)
        stage.write_runs("cluster", OTHER_SWEEP, 2)
        stage.write_runs("cluster", SWEEP, 3, n_killed=1)
        said = {**record_pull(stage), **record_push(stage), **record_resolved(stage)}
        return {name: make_fixed(text, stage.make_rules()) for name, text in said.items()}


def record_following(work: Path) -> dict[str, str]:
    """Record `--continuous`."""
    with PrivateSshd(work / "sshd") as sshd:
        stage = Stage(work, sshd)
        said = record_follow(stage)
        return {name: make_fixed(text, stage.make_rules()) for name, text in said.items()}


def record_all_layouts(work: Path) -> dict[str, str]:
    """Record a project of each layout."""
    with PrivateSshd(work / "sshd") as sshd:
        stage = Stage(work, sshd)
        said = record_layouts(stage)
        return {name: make_fixed(text, stage.make_rules()) for name, text in said.items()}


def record_guide(work: Path) -> dict[str, str]:
    """Record the sessions of the guide."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(record_following, work / "follow")  # it mostly waits
        return {**record_day(work / "day"), **following.result()}


def record_quickstart(work: Path) -> dict[str, str]:
    """Record the first commands in both directions."""
    with PrivateSshd(work / "sshd") as sshd:
        stage = Stage(work, sshd)
        said = record_start(stage)
        return {name: make_fixed(text, stage.make_rules()) for name, text in said.items()}


RECORDERS = {"SYNC.md": record_guide, "LAYOUTS.md": record_all_layouts, "QUICKSTART.md": record_quickstart}


def record(page: str) -> dict[str, str]:
    """Record all sessions of a page, in a temporary folder that is removed, and end all that was started."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return RECORDERS[page](Path(folder).resolve())


def main() -> None:
    """Record the sessions and write them into their pages."""
    parser = argparse.ArgumentParser(description="Record the sessions of the guide, and write them into it.")
    pages = [DOCS / name for name in RECORDERS]
    parser.add_argument("pages", metavar="PAGE", type=Path, nargs="*", default=pages, help="default: all of docs/")
    for page in parser.parse_args().pages:
        began = time.monotonic()
        sessions = record(page.name)
        page.write_text(replace_sessions(page.read_text("utf-8"), sessions), "utf-8")
        print(f"{len(sessions)} sessions are in {page}, recorded in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
