"""Targets that are folders of this machine: which are refused before anything is looked at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.config.schema import parse_target
from hsm.discover.sweeps import Layout
from hsm.errors import ExitCode, HsmError, RefusedError, TargetError
from hsm.model import Root
from hsm.process.runner import Runner
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Journal, Route, list_journals, save_journal
from hsm.records.record import RunRecord
from hsm.targets.folder import FolderTarget, check_apart, check_there


def make_layout(project: Path) -> Layout:
    return Layout(str(project), str(project / "sweeps"), str(project / "wandb"))


def refusal_of(check: Callable[[], None]) -> tuple[str, ExitCode] | None:
    try:
        check()
    except HsmError as error:
        return error.kind, error.exit_code
    return None


@pytest.mark.parametrize(
    ("sweeps", "wandb", "is_refused"),
    [
        ("{p}/../nas/sweeps", "{p}/../nas/wandb", False),
        ("{p}/backup/sweeps", "{p}/backup/wandb", False),
        ("{p}-2/sweeps", "{p}-2/wandb", False),
        ("{p}/sweeps2", "{p}/wandb2", False),
        ("{p}/..", "{p}/../w", False),
        ("{p}/sweeps", "{p}/../w", True),
        ("{p}/sweeps/outputs/x", "{p}/../w", True),
        ("{p}", "{p}/../w", True),
        ("{p}/../s", "{p}", True),
        ("{p}/../s", "{p}/wandb", True),
        ("{p}/../s", "{p}/wandb/copies", True),
        ("{p}/../s", "{p}/outputs", True),
        ("{p}/../link/sweeps", "{p}/../w", True),
    ],
)
def test_the_projects_own_folders_are_no_target(tmp_path: Path, sweeps: str, wandb: str, is_refused: bool) -> None:
    project = tmp_path / "p"
    project.mkdir()
    (tmp_path / "link").symlink_to(project)
    roots = {Root.SWEEPS: sweeps.format(p=project), Root.WANDB: wandb.format(p=project)}
    found = refusal_of(lambda: check_apart("nas", roots, make_layout(project)))
    assert found == (("destination_in_source", ExitCode.USAGE) if is_refused else None)


def make_journal(there: Path, *runs: str, host: str = "", n_files: int = 3) -> Journal:
    route = Route("push", host, None, None, str(there / "sweeps"), str(there / "wandb"))
    return Journal(route, runs={run: RunRecord(n_files=n_files) for run in runs})


@pytest.mark.parametrize(
    ("state", "runs", "options", "is_refused"),
    [
        pytest.param("missing", ["", "run-1"], {}, True, id="the folders are missing"),
        pytest.param("empty", ["", "run-1"], {}, True, id="a mount point without its mount"),
        pytest.param("empty", ["run-1"], {}, True, id="only runs are known"),
        pytest.param("filled", ["", "run-1"], {}, False, id="all is there"),
        pytest.param("missing", [], {}, False, id="the first sync"),
        pytest.param("missing", [""], {"n_files": 0}, False, id="nothing was proven"),
        pytest.param("missing", [""], {"host": "desktop"}, False, id="the target was another machine"),
        pytest.param("file", ["", "run-1"], {}, False, id="a file is in the way, which the plan says"),
    ],
)
def test_a_disk_that_is_gone_is_noticed(
    tmp_path: Path, state: str, runs: list[str], options: dict[str, object], is_refused: bool
) -> None:
    roots = {root: str(tmp_path / root.value) for root in Root}
    for path in map(Path, roots.values()):
        if state == "file":
            path.write_text("x")
        elif state != "missing":
            path.mkdir()
        if state == "filled":
            (path / "something").write_text("x")
    journal = make_journal(tmp_path, *runs, **options)  # type: ignore[arg-type]
    journals = [make_journal(tmp_path / "elsewhere", ""), journal]
    found = refusal_of(lambda: check_there("nas", roots, journals))
    assert found == (("destination-gone", ExitCode.REFUSED) if is_refused else None)


def test_one_of_two_disks_is_missed_alone(tmp_path: Path) -> None:
    roots = {root: str(tmp_path / root.value) for root in Root}
    (tmp_path / "sweeps/outputs").mkdir(parents=True)
    check_there("nas", roots, [make_journal(tmp_path, "")])
    with pytest.raises(RefusedError, match="wandb is missing"):
        check_there("nas", roots, [make_journal(tmp_path, "", "run-1")])


def test_journals_of_all_sweeps_at_a_target_are_read(tmp_path: Path) -> None:
    journal = make_journal(tmp_path, "run-1")
    for sweep in ("sweep_1", "sweep_2"):
        save_journal(ProjectFolder(tmp_path).journal("nas", sweep), journal)
    ProjectFolder(tmp_path).journal("nas", "sweep_3").write_text("{")
    save_journal(ProjectFolder(tmp_path).journal("other", "sweep_4"), journal)
    assert [set(found.runs) for found in list_journals(tmp_path, "nas")] == [{"run-1"}, {"run-1"}]
    assert list_journals(tmp_path, "none") == []


@pytest.mark.parametrize(
    ("engine", "has_rsync", "expected"),
    [
        ("auto", True, "rsync"),
        ("auto", False, "copy"),
        ("rsync", True, "rsync"),
        ("rsync", False, "rsync_missing_here"),
        ("copy", True, "copy"),
    ],
)
def test_the_engine_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, has_rsync: bool, expected: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    if has_rsync:
        line = "rsync  version 3.2.7  protocol version 31"
        (programs / "rsync").write_text(f"#!/bin/sh\necho '{line}'\n")
        (programs / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    paths = {"sweeps": str(tmp_path / "there/s"), "wandb": str(tmp_path / "there/w")}
    settings = parse_target({"engine": engine, "paths": paths})
    target = FolderTarget("nas", settings, Runner(), layout=make_layout(tmp_path / "p"))
    try:
        found = target.make_engine({Root.SWEEPS: paths["sweeps"]}, workspace="s", update_only=False).capabilities.name
    except TargetError as error:
        found = error.kind
    assert found == expected
