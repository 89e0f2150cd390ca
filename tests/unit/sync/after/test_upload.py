"""Which runs are uploaded from a target, with which commands, and what is said of the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hsm.config.load import parse_document
from hsm.config.schema import ConfigSection, parse_target
from hsm.config.settings import AfterSyncStep
from hsm.errors import ConfigError
from hsm.model import Entry, EntryKind, PlanItem, Reason, Root, Run, RunState, SourceFile, SyncPlan
from hsm.sync.after.upload import (
    GREW,
    NO_FOLDER,
    NO_LOG,
    NO_MARK,
    NO_WANDB,
    choose_runs,
    explain_upload,
    find_missing,
    leave_uploaded,
    list_paths,
    list_staging,
    make_command_program,
    make_upload_program,
)
from hsm.sync.bring.options import make_options
from hsm.sync.request import SyncRequest
from hsm.wandb_log.artifacts import StagedArtifact

NAME = "offline-run-20251020_212836-abc"
LOG = "run-abc.wandb"
PATHS = {"project_root": "/p", "sweeps": "sweeps", "wandb": "wandb"}


def make_run(**changes: Any) -> Run:
    values = {"name": NAME, "prefix": "/s/wandb", "log": LOG, "state": RunState.FINISHED, "exit_code": 0, **changes}
    return Run(**values)


def make_item(run: str, path: str, reason: Reason = Reason.SAME) -> PlanItem:
    return PlanItem(SourceFile(Root.WANDB, f"{run}/{path}", "/s/wandb", 1, 1, 1, run), reason)


def choose(run: Run, *reasons: Reason, arrived: bool = True) -> tuple[bool, list[str]]:
    items = [make_item(run.name, LOG), *(make_item(run.name, f"f{n}", reason) for n, reason in enumerate(reasons))]
    plan = SyncPlan("sweep_1", (run,), tuple(items))
    files = {(item.file.root, item.file.path): item.file for item in items if item.reason.is_send and arrived}
    choice = choose_runs(plan, files)
    return bool(choice.runs), [problem.kind for problem in choice.problems]


@pytest.mark.parametrize(
    ("run", "reasons", "expected"),
    [
        pytest.param(make_run(), [], (True, []), id="finished and whole"),
        pytest.param(make_run(state=RunState.FAILED, exit_code=3), [], (True, []), id="failed has ended too"),
        pytest.param(make_run(), [Reason.NEW, Reason.TIME], (True, []), id="sent by this call"),
        pytest.param(make_run(state=RunState.RUNNING, exit_code=None), [], (False, []), id="running"),
        pytest.param(make_run(state=RunState.UNKNOWN, exit_code=None), [], (False, []), id="killed"),
        pytest.param(make_run(at_rest=False), [], (False, []), id="ended moments ago"),
        pytest.param(make_run(uploaded=True), [], (False, []), id="uploaded from here"),
        pytest.param(make_run(name="run-20251020_212836-abc"), [], (False, []), id="an online run"),
        pytest.param(make_run(log=""), [], (False, []), id="no log"),
        pytest.param(make_run(), [Reason.CONFLICT], (False, []), id="a conflict, which is told elsewhere"),
        pytest.param(make_run(), [Reason.NOT_CHOSEN], (False, []), id="not all chosen"),
        pytest.param(make_run(), [Reason.EXCLUDED], (False, ["upload_not_whole"]), id="excluded"),
        pytest.param(make_run(), [Reason.SUPERSEDED], (False, ["upload_not_whole"]), id="superseded"),
        pytest.param(make_run(), [Reason.SECRET], (False, ["upload_not_whole"]), id="a secret"),
        pytest.param(make_run(), [Reason.UNFINISHED], (True, []), id="only a mark that no longer holds was left"),
    ],
)
def test_what_is_uploaded(run: Run, reasons: list[Reason], expected: tuple[bool, list[str]]) -> None:
    assert choose(run, *reasons) == expected


def test_what_has_not_arrived_is_not_uploaded() -> None:
    assert choose(make_run(), Reason.NEW, arrived=False) == (False, [])


@pytest.mark.parametrize(
    ("log_ns", "mark_ns", "is_left"),
    [
        pytest.param(5, None, False, id="no mark"),
        pytest.param(5, 6, True, id="a later mark"),
        pytest.param(5, 5, True, id="the log's own time"),
        pytest.param(10**10, 10**9, False, id="the log has grown since"),
        pytest.param(1_700_000_000_123_456_789, 1_700_000_000_123_456_000, True, id="the mark's time is cut"),
        pytest.param(None, 6, True, id="a mark alone"),
        pytest.param(None, None, False, id="nothing there"),
    ],
)
def test_a_mark_counts_unless_the_log_is_newer(log_ns: int | None, mark_ns: int | None, is_left: bool) -> None:
    run = make_run()
    times = dict(zip(list_paths([run]), (log_ns, mark_ns), strict=True))
    entries = {path: Entry(path, EntryKind.FILE, 0, time, 1) for path, time in times.items() if time is not None}
    assert leave_uploaded([run], entries) == (() if is_left else (run,))


# -- the programs -------------------------------------------------------------------------------------------------

NAMES = st.text("$`\"'\\;&|<>(){}[]*?!#~ \n\t-=%aé", min_size=1, max_size=30)


def run_shell(program: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, **environment}
    return subprocess.run(["/bin/sh", "-c", program], cwd=cwd, env=env, capture_output=True, check=False)


def make_wandb(folder: Path, body: str) -> Path:
    path = folder / "wandb program"
    path.write_text(f"#!{sys.executable}\nimport json, os, pathlib, sys\nrun = pathlib.Path(sys.argv[-1])\n{body}\n")
    path.chmod(0o755)
    return path


MARKS = "[pathlib.Path(f'{log}.synced').touch() for log in run.glob('*.wandb')]"


@pytest.mark.parametrize(
    ("body", "status", "is_marked"),
    [
        pytest.param(MARKS, 0, True, id="uploaded"),
        pytest.param("", NO_MARK, False, id="no mark"),
        pytest.param(f"{MARKS}; sys.exit(5)", 5, True, id="its own exit code"),
        pytest.param(f"{MARKS}; (run / {LOG!r}).write_text('longer')", GREW, False, id="the log grew"),
    ],
)
def test_how_an_upload_ends(tmp_path: Path, body: str, status: int, is_marked: bool) -> None:
    folder = tmp_path / "wandb"
    (folder / NAME).mkdir(parents=True)
    log = folder / NAME / LOG
    log.write_text("log")
    os.utime(log, (1000, 1000))
    wandb = make_wandb(tmp_path, body)
    program = make_upload_program(str(folder), make_run(), cwd=str(tmp_path), wandb=str(wandb))
    assert run_shell(program, tmp_path).returncode == status
    mark = Path(f"{log}.synced")
    assert mark.exists() is is_marked
    if status == 0:
        assert mark.stat().st_mtime_ns == log.stat().st_mtime_ns, "so that a log that grows is newer, by any clock"


@pytest.mark.parametrize(
    ("lacks", "status"), [("cwd", NO_FOLDER), ("wandb", NO_WANDB), ("log", NO_LOG)], ids=["folder", "wandb", "log"]
)
def test_what_an_upload_may_lack(tmp_path: Path, lacks: str, status: int) -> None:
    (tmp_path / NAME).mkdir()
    if lacks != "log":
        (tmp_path / NAME / LOG).touch()
    cwd = tmp_path / "nowhere" if lacks == "cwd" else tmp_path
    wandb = "no-such-program" if lacks == "wandb" else str(make_wandb(tmp_path, ""))
    program = make_upload_program(str(tmp_path), make_run(), cwd=str(cwd), wandb=wandb)
    assert run_shell(program, tmp_path).returncode == status


@example(name="'$(touch pwned)`touch pwned`\"; touch pwned", log="' & touch pwned #")
@given(name=NAMES, log=NAMES)
@settings(max_examples=25, deadline=None)
def test_names_of_runs_are_single_words(tmp_path_factory: pytest.TempPathFactory, name: str, log: str) -> None:
    tmp_path = tmp_path_factory.mktemp("names")
    run = make_run(name=f"offline-run-{name}", log=f"run-{log}.wandb")
    folder = tmp_path / "wandb"
    (folder / run.name).mkdir(parents=True)
    (folder / run.name / run.log).touch()
    wandb = make_wandb(tmp_path, f"print(json.dumps(sys.argv[1:]))\n{MARKS}")
    program = make_upload_program(str(folder), run, cwd=str(tmp_path), wandb=str(wandb))
    done = run_shell(program, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == ["sync", str(folder / run.name)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wandb", "wandb program"]


def test_a_command_gets_its_variables_and_its_folder(tmp_path: Path) -> None:
    (tmp_path / "it's here").mkdir()
    environment = {"HSM_SWEEP": "it's $HOME", "HSM_RECEIPT": "~/sweeps/r.json"}
    program = make_command_program('pwd; echo "$HSM_SWEEP|$HSM_RECEIPT"', cwd="~/it's here", environment=environment)
    done = run_shell(program, tmp_path, HOME=str(tmp_path))
    assert done.stdout.decode() == f"{tmp_path}/it's here\nit's $HOME|{tmp_path}/sweeps/r.json\n"


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (1, "a\nlast words\n\n", "exit code 1: last words"),
        (1, "", "exit code 1"),
        (NO_MARK, "Finished", "it left no mark that the run is uploaded"),
        (None, "", "it took too long, or was ended without a word"),
    ],
)
def test_why_it_failed(status: int | None, output: str, expected: str) -> None:
    assert explain_upload(status, output) == expected


# -- artifacts ----------------------------------------------------------------------------------------------------


def test_artifacts_are_named_by_what_is_missing() -> None:
    artifacts = [
        StagedArtifact("whole", "model", ("/staging/a", "/staging/b")),
        StagedArtifact("half", "model", ("/staging/a", "/staging/gone")),
        StagedArtifact("odd", "model", ("relative", "/nul\0", "/")),
        StagedArtifact("run-abc-table", "run_table", ("/staging/table",)),
    ]
    assert list_staging(artifacts) == ("staging/a", "staging/b", "staging/gone", "staging/table")
    problems = list(find_missing(make_run(), artifacts, {"staging/a", "staging/b"}))
    assert [(problem.path, problem.kind, problem.is_failure) for problem in problems] == [
        (f"{NAME}: model half", "artifact_missing", True),
        (f"{NAME}: model odd", "artifact_missing", True),
        (NAME, "table_artifact_missing", False),
    ]
    assert "1 of 2, as /staging/gone" in problems[0].message


# -- the settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{}], "is neither wandb_sync nor run"),
        ([{"wandb_sync": False}], "is neither wandb_sync nor run"),
        ([{"wandb_sync": True, "run": "x"}], "is both wandb_sync and run"),
        ([{"run": "x", "wandb_path": "wandb"}], "has a wandb_path without wandb_sync"),
        ([{"run": " "}], "is empty"),
        ([{"run": "a\x1b[31m"}], "has a control character"),
        ([{"wandb_sync": True, "wandb_path": "wandb --verbose"}], "is relative"),
        ([{"upload": True}], "Extra inputs"),
        ("run", "valid tuple"),
    ],
)
def test_wrong_steps_are_refused(steps: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        parse_target({"paths": PATHS, "after_sync": steps})


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        pytest.param("", 6, id="no steps"),
        pytest.param("    after_sync: [{run: make}]\n", 6, id="another step"),
        pytest.param("    after_sync: [{wandb_sync: true}]\n", None, id="an upload"),
    ],
)
def test_artifacts_come_along_only_where_they_are_uploaded(extra: str, line: int | None) -> None:
    text = (
        "sync_targets:\n  nas:\n    paths: {project_root: /p, sweeps: sweeps, wandb: wandb}\n"
        f"    options:\n      max_depth: 2\n      sync_artifact_staging: true\n{extra}"
    )
    if line is None:
        assert parse_document(text, "c.yaml")[0].sync_targets["nas"].options.sync_artifact_staging
        return
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "c.yaml")[0]
    words = "true needs a step `wandb_sync: true` in after_sync"
    assert f"line {line}  sync_targets.nas.options.sync_artifact_staging: {words}" in caught.value.message


def test_a_command_needs_a_folder_to_run_in() -> None:
    paths = {"sweeps": "/p/sweeps", "wandb": "/p/wandb"}
    upload = parse_target({"paths": paths, "after_sync": [{"wandb_sync": True}]})
    assert upload.after_sync == (AfterSyncStep(wandb_sync=True),)
    with pytest.raises(ValidationError, match=r"there is no paths\.project_root"):
        parse_target({"paths": paths, "after_sync": [{"run": "make\n\tfigures"}]})


@pytest.mark.parametrize(
    ("steps", "latest_only", "all_versions", "expected"),
    [
        ([{"wandb_sync": True}], True, False, "uploaded"),
        ([{"wandb_sync": True}], "uploaded", False, "uploaded"),
        ([{"wandb_sync": True}], False, False, False),
        ([{"wandb_sync": True}], True, True, False),
        ([{"run": "true"}], True, False, True),
        ([], True, False, True),
    ],
)
def test_runs_that_are_to_be_uploaded_are_sent_with_all_versions(
    steps: list[dict[str, object]], latest_only: object, all_versions: bool, expected: object
) -> None:
    target = {"paths": PATHS, "options": {"latest_only": latest_only}, "after_sync": steps}
    config = ConfigSection.model_validate({"sync_targets": {"nas": target}})
    found = config.make().sync_targets["nas"]
    request = SyncRequest(("latest",), {"nas": found}, all_versions=all_versions)
    assert make_options("nas", found, request).plan.latest_only == expected
