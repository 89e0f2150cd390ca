"""Runs whose log says less than the files beside it, and files that anybody may have written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hsm.model import Problem, Run, RunState
from hsm.report.read import read_last_lines, read_runs
from hsm.report.runs import ReportRun
from tests.unit.wandb_log import log_writer as w

NAME = "run-20250101_000000-aaaa1111"
LOG = "run-aaaa1111.wandb"
CONFIG = "lr:\n    value: 0.1\n"
SUMMARY = {"loss": 0.5, "_step": 7, "_runtime": 263, "_wandb": {"runtime": 264}}
METADATA = {"host": "gpu01", "startedAt": "2025-01-01T00:00:00.000000Z"}
OLD_METADATA = {**METADATA, "state": "finished", "exitcode": 0}


def write(folder: Path, log: bytes | None, *, place: str = "files", **contents: Any) -> Run:
    """Write a run whose files lie in a place of it, and which rests without an exit record."""
    files = {"config.yaml": CONFIG, "wandb-summary.json": SUMMARY, "wandb-metadata.json": METADATA, **contents}
    (folder / NAME / place).mkdir(parents=True)
    for name, content in files.items():
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / NAME / place / name).write_text(text)
    if log is not None:
        (folder / NAME / LOG).write_bytes(log)
    return Run(NAME, str(folder), log=LOG if log is not None else "", state=RunState.UNKNOWN)


def read(run: Run) -> tuple[ReportRun, tuple[Problem, ...]]:
    (found,), problems = read_runs([run])
    return found, problems


def assert_is_from_files(run: Run) -> ReportRun:
    found, problems = read(run)
    assert [(problem.kind, problem.is_failure) for problem in problems] == [("values_from_files", False)]
    assert NAME in problems[0].message
    assert [part.is_from_files for part in found.parts] == [True]
    return found


SILENT = {"no log": None, "no bytes": b"", "a header": w.HEADER, "part of a header": w.HEADER[:3]}


@pytest.mark.parametrize("log", SILENT.values(), ids=SILENT)
def test_a_log_that_says_nothing_is_replaced_by_the_files(tmp_path: Path, log: bytes | None) -> None:
    found = assert_is_from_files(write(tmp_path, log))
    assert (found.id, found.name, found.host, found.state) == ("aaaa1111", "aaaa1111", "gpu01", RunState.UNKNOWN)
    assert (found.started, found.duration_seconds) == (1735689600, 264)
    assert found.config == {("lr",): 0.1}
    assert found.summary == {("loss",): 0.5, ("_step",): 7, ("_runtime",): 263}


def test_up_to_0_9_the_files_lie_in_the_run_and_say_how_it_ended(tmp_path: Path) -> None:
    run = write(tmp_path, None, place="", **{"wandb-metadata.json": OLD_METADATA, "output.log": "the end\n"})
    found = assert_is_from_files(run)
    assert (found.state, found.exit_code) == (RunState.FINISHED, 0)
    assert (found.host, found.config, found.summary["loss",]) == ("gpu01", {("lr",): 0.1}, 0.5)
    assert read_last_lines(found) == ("the end",)


def test_a_log_that_ends_before_the_files_is_completed(tmp_path: Path) -> None:
    log = w.frame(
        [w.run("aaaa1111", config={"lr": 0.1, "own": 1}), w.summary({("loss",): 9}), w.history({"loss": 9}, 3)]
    )
    found = assert_is_from_files(write(tmp_path, log))
    assert found.config == {("lr",): 0.1, ("own",): 1}
    assert found.summary["loss",] == 0.5
    assert found.state is RunState.UNKNOWN


WHOLE = {
    "as far": [w.history({"loss": 9, "_step": 7}, 7), w.exit_code(0)],
    "further": [w.history({"loss": 9, "_step": 8}, 8)],
    "by the summary alone": [w.summary({("loss",): 9, ("_step",): 7})],
}


@pytest.mark.parametrize("rows", WHOLE.values(), ids=WHOLE)
def test_a_log_that_goes_as_far_is_all_that_counts(tmp_path: Path, rows: list[bytes]) -> None:
    run = write(tmp_path, w.frame([w.run("aaaa1111", config={"own": 1}), *rows]), **{"config.yaml": "a: ["})
    found, problems = read(run)
    assert problems == ()
    assert (found.config, found.summary["loss",]) == ({("own",): 1}, 9)
    assert not found.parts[0].is_from_files


@pytest.mark.parametrize("summary", [None, "{", "", {"loss": 0.5}, {"_step": "9"}])
def test_a_summary_that_tells_no_step_changes_nothing_of_a_log(tmp_path: Path, summary: Any) -> None:
    log = w.frame([w.run("aaaa1111", config={"own": 1}), w.history({"loss": 9}, 3)])
    found, problems = read(write(tmp_path, log, **{"wandb-summary.json": summary}))
    assert problems == ()
    assert found.summary["loss",] == 9


def test_an_exit_record_says_more_than_the_files(tmp_path: Path) -> None:
    log = w.frame([w.run("aaaa1111"), w.history({"loss": 9}, 3), w.exit_code(2)])
    run = write(tmp_path, log, **{"wandb-metadata.json": OLD_METADATA})
    found = assert_is_from_files(Run(run.name, run.prefix, run.log, RunState.FAILED, 2))
    assert (found.state, found.exit_code, found.summary["loss",]) == (RunState.FAILED, 2, 0.5)


def test_a_file_that_is_no_log_is_not_called_damaged(tmp_path: Path) -> None:
    """That it is none, `hsm.discover` says where it finds the run."""
    found = assert_is_from_files(write(tmp_path, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"))
    assert found.config == {("lr",): 0.1}


def test_a_run_without_a_log_and_without_files_has_a_row_and_no_notice(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("config.yaml", "wandb-summary.json", "wandb-metadata.json"))
    found, problems = read(write(tmp_path, None, **nothing))
    assert (found.id, found.config, problems) == (NAME, {}, ())


def test_one_notice_speaks_of_all_runs(tmp_path: Path) -> None:
    runs = [write(tmp_path / str(number), None) for number in range(5)]
    _, problems = read_runs(runs)
    assert len(problems) == 1
    assert "5 runs" in problems[0].message
    assert "and 2 more" in problems[0].message


def make_huge(path: Path) -> None:
    with path.open("w") as stream:
        stream.truncate(10**12)


def make_symlink(path: Path) -> None:
    secret = path.with_name("secret.yaml")
    secret.write_text("key: {value: secret}")
    path.symlink_to(secret)


BAD = {
    "no YAML": (lambda path: path.write_text("a: ["), "cannot be understood"),
    "a trillion bytes": (make_huge, "more than 1 MiB"),
    "a pipe": (os.mkfifo, "no regular file"),
    "a folder": (Path.mkdir, "no regular file"),
    "a symlink": (make_symlink, "symlink"),
    "a symlink to itself": (lambda path: path.symlink_to(path), "symlink"),
}


@pytest.mark.parametrize(("make", "reason"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", ["files", ""], ids=["files", "0.8"])
def test_a_file_that_cannot_be_used_is_a_failure_and_the_others_count(
    tmp_path: Path, place: str, make: Any, reason: str
) -> None:
    run = write(tmp_path, None, place=place, **{"config.yaml": None})
    make(tmp_path / NAME / place / "config.yaml")
    found, (unread, notice) = read(run)
    assert (unread.kind, unread.is_failure) == ("unreadable_values", True)
    assert unread.path == "/".join(filter(None, [NAME, place, "config.yaml"]))
    assert reason in unread.message
    assert notice.kind == "values_from_files"
    assert (found.config, found.summary["loss",]) == ({}, 0.5)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_failure(tmp_path: Path) -> None:
    run = write(tmp_path, None)
    (tmp_path / NAME / "files/config.yaml").chmod(0)
    _, (unread, _) = read(run)
    assert "ermission" in unread.message


def test_output_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    run = write(tmp_path, None)
    os.mkfifo(tmp_path / NAME / "files/output.log")
    found, _ = read(run)
    assert read_last_lines(found) == ()
