"""Examination of folders: those of any target, and a target that is a folder of this machine.

They are looked at, never tried by writing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.endpoint import Tree
from hsm.errors import ExitCode, HsmError
from hsm.process.runner import Runner
from hsm.remote.local import LocalShell
from hsm.remote.shell import RemoteShell, quote_path
from hsm.sweep_folder import OUTPUTS
from hsm.sync.doctor.findings import (
    CheckState,
    Checkup,
    DoctorRow,
    check_space,
    describe_engine,
    make_failed,
    make_failed_finding,
    make_not_checked,
    make_ok,
)
from hsm.sync.doctor.silence import check_answers_here
from hsm.targets.apart import ApartEndpoint
from hsm.targets.contract import get_roots
from hsm.targets.folder import FolderTarget

FOLDER_NAMES = ("place", "engine", "sweeps_folder", "sweeps_space", "wandb_folder", "wandb_space")
"""Rows of a target that is a folder of this machine, in the order in which they are filled."""

# Prints for each path its nearest existing parent (a symlink that leads nowhere counts), `y` if that is a folder, and
# `y` if it may be written to.
_PROBE = r"""
probe() {
  n=$1
  while [ -n "$n" ] && [ "$n" != / ] && [ ! -e "$n" ] && [ ! -L "$n" ]; do n=${n%/*}; done
  n=${n:-/} d=n w=n
  [ -d "$n" ] && d=y
  [ -w "$n" ] && [ -x "$n" ] && w=y
  printf '%s\0%s\0%s\0' "$n" "$d" "$w"
}
"""


def examine_folder(name: str, settings: TargetSettings, layout: Layout, runner: Runner) -> Checkup:
    """Fill the rows of a target that is a folder of this machine; one that fails ends it."""
    target = FolderTarget(name, settings, runner, layout=layout)
    roots = get_roots(settings)
    shell = LocalShell(runner)
    rows: list[DoctorRow] = []
    try:  # each row is appended once its check has passed, so the number of rows tells which one failed
        check_answers_here(roots.values())
        target.check_roots(roots)
        end = ApartEndpoint(target.endpoint, roots, layout)
        survey = end.survey([Tree(path, names=()) for path in roots.values()])
        rows.append(make_ok("place", "a folder of this machine, apart from the project's own"))
        engine = target.make_engine(roots, workspace="", update_only=False)
        rows.append(make_ok("engine", describe_engine(engine.capabilities)))
        folders = check_folders(shell, settings)
        listings = zip(roots, survey.listings, strict=True)
        spaces = [check_space(f"{root.value}_space", listing.space) for root, listing in listings]
        rows += [row for pair in zip(folders, spaces, strict=True) for row in pair]
        rows += check_upload(shell, settings)
    except HsmError as error:
        code = ExitCode.USAGE if error.exit_code is ExitCode.USAGE else ExitCode.PARTIAL
        rows.append(make_failed_finding(FOLDER_NAMES[len(rows)], error, code))
    reason = f"because of {rows[-1].name}"
    return Checkup(name, (*rows, *(make_not_checked(left, reason) for left in FOLDER_NAMES[len(rows) :])))


def check_upload(shell: RemoteShell | None, settings: TargetSettings) -> list[DoctorRow]:
    """Look at the program that uploads runs from a target, where its `after_sync` asks for that.

    Args:
        shell: Of the target; None where no command may run there.
        settings: Of the target.

    Returns:
        A row `wandb`, or none where nothing is to be uploaded.
    """
    if not settings.uploads:
        return []
    if shell is None:
        hint = "Take `wandb_sync` out of the target's after_sync, and upload from another machine."
        return [make_failed("wandb", "no command may run there, so no run can be uploaded", hint)]
    program = next((step.wandb_path for step in settings.after_sync if step.wandb_path), "wandb")
    completed = shell.run(f"command -v {quote_path(program)} >/dev/null && {quote_path(program)} --version </dev/null")
    lines = os.fsdecode(completed.stdout).strip().splitlines()
    if completed.returncode == 0:
        return [make_ok("wandb", lines[-1] if lines else "it names no version")]
    hint = "Install wandb there, or name the program with `wandb_path` beside `wandb_sync`."
    return [make_failed("wandb", f"there is no program {program} there that works, so no run can be uploaded", hint)]


def check_folders(shell: RemoteShell, settings: TargetSettings) -> list[DoctorRow]:
    """Look at the folders of a target, sweeps' and runs', without writing; one session."""
    paths = settings.paths
    wanted = (
        ("sweeps_folder", (paths.sweeps, f"{paths.sweeps}/{OUTPUTS}")),
        ("wandb_folder", (paths.wandb,)),
    )
    completed = shell.run(make_probe_program([path for _, group in wanted for path in group]))
    fields = iter(os.fsdecode(completed.stdout).split("\0"))
    found = []
    for name, group in wanted:
        rows = [judge_folder(name, path, next(fields), next(fields), next(fields)) for path in group]
        found.append(next((row for row in rows if row.state is not CheckState.OK), rows[0]))
    return found


def make_probe_program(paths: Sequence[str]) -> str:
    """Make a program that prints three fields a path: its nearest existing parent, a folder or not, writable or not."""
    return "\n".join([_PROBE, *(f"probe {quote_path(path)}" for path in paths)])


def judge_folder(name: str, path: str, nearest: str, is_folder: str, is_writable: str) -> DoctorRow:
    """Judge a folder by its nearest parent that exists; `is_folder` and `is_writable` are `y` or `n`."""
    is_there = nearest == path or (path.startswith("~/") and nearest.endswith(path[1:]))
    if is_folder == "n":
        return make_failed(
            name, f"{nearest} is in the way: it is no folder", "Remove or rename it, or choose other `paths`."
        )
    if is_writable == "n":
        found = f"{nearest} may not be written to" + ("" if is_there else f", so {path} cannot be made")
        return make_failed(
            name, found, "Check its permissions and whether it is mounted read-only, or choose other `paths`."
        )
    return make_ok(name, f"{path} is there" if is_there else f"{path} can be made in {nearest}")
