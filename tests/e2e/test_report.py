"""`hsm sync report` on runs that the real wandb wrote, compared with what the script that wrote them logged."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.wandb_log.curve import read_curve
from tests.e2e.report_runs import KILLED, SWEEP, read_logged, write_report_runs
from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.conftest import RunHsm, WriteOnce

N_RUNS = 10
N_SOAK_RUNS = 100
NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@pytest.fixture(scope="session")
def written(write_once: WriteOnce) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Return a project without a configuration, and what was logged."""
    pytest.importorskip("wandb")
    project = write_once("report-runs", lambda folder: write_report_runs(folder, N_RUNS))
    return project, read_logged(project)


@pytest.fixture
def project(written: tuple[Path, dict[str, dict[str, Any]]]) -> Path:
    """Return the project, for reading alone."""
    return written[0]


def read_document(hsm: RunHsm, project: Path, *options: str) -> dict[str, Any]:
    completed = hsm("sync", "report", "latest", "--json", *options, cwd=project)
    assert completed.returncode == 0, completed.stderr
    document: dict[str, Any] = json.loads(completed.stdout, parse_constant=pytest.fail)
    return document


def assert_equal(found: Any, logged: Any, what: str) -> None:
    """The same value, to the last digit; NaN is equal to itself."""
    number = NUMBERS.get(found, found) if isinstance(found, str) else found
    if isinstance(logged, float) and math.isnan(logged):
        assert isinstance(number, float), what
        assert math.isnan(number), what
        return
    assert number == logged, what
    assert isinstance(number, bool) is isinstance(logged, bool), what


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def compare(document: dict[str, Any], logged: dict[str, dict[str, Any]]) -> int:
    """Compare all runs but the killed one; return how many values were equal."""
    runs = {run["name"]: run for run in document["runs"]}
    assert runs.keys() == logged.keys()
    n_equal = 0
    for name in logged.keys() - {KILLED}:
        run, wanted = runs[name], logged[name]
        assert run["id"] == f"id-{name}"
        assert run["folders"] == wanted["folders"]
        assert run["exit_code"] == wanted["exit_code"]
        assert run["state"] == ("failed" if wanted["exit_code"] else "finished")
        assert run["host"]
        assert run["duration_seconds"] > 0
        config = flatten(wanted["config"])
        summary = {key: value for key, value in run["summary"].items() if not key.startswith("_")}
        assert run["config"].keys() == config.keys()
        assert summary.keys() == wanted["summary"].keys()
        for key, value in config.items():
            assert_equal(run["config"][key], value, f"{name}: {key}")
        for key, value in wanted["summary"].items():
            assert_equal(summary[key], value, f"{name}: {key}")
        curve = read_points(run)
        assert [step for step, _ in curve] == [step for step, _ in wanted["curve"]]
        for (step, value), (_, wanted_value) in zip(curve, wanted["curve"], strict=True):
            assert_equal(value, wanted_value, f"{name}: val/loss at {step}")
        n_equal += len(config) + len(summary) + len(curve)
    return n_equal


def read_points(run: dict[str, Any]) -> list[tuple[float, float]]:
    logs = [next(Path(folder).glob("run-*.wandb")) for folder in run["folders"]]
    curves = [read_curve(log.read_bytes(), ("val/loss",)) for log in logs]
    return [point for curve in curves for point in zip(curve.steps, curve.values, strict=True)]


def test_all_values_are_what_was_logged(hsm: RunHsm, written: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    project, logged = written
    assert compare(read_document(hsm, project), logged) > N_RUNS * 30
    assert any(len(run["folders"]) == 2 for run in logged.values()), "none was resumed"
    assert any(run["exit_code"] for run in logged.values()), "none failed"


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_all_values_of_a_hundred_runs_are_what_was_logged(hsm: RunHsm, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    logged = write_report_runs(tmp_path / "project", N_SOAK_RUNS)
    assert compare(read_document(hsm, tmp_path / "project"), logged) > N_SOAK_RUNS * 30


def test_a_killed_run_with_a_torn_log_has_what_reached_it(
    hsm: RunHsm, written: tuple[Path, dict[str, dict[str, Any]]]
) -> None:
    project, logged = written
    (run,) = read_document(hsm, project, "--where", f"name={KILLED}")["runs"]
    assert (run["state"], run["exit_code"]) == ("unknown", None)
    points = read_points(run)
    wanted = logged[KILLED]["curve"]
    assert len(points) >= 12
    for (step, value), (wanted_step, wanted_value) in zip(points, wanted, strict=False):
        assert step == wanted_step
        assert_equal(value, wanted_value, f"step {step}")
    after = [row for row in wanted if row[0] <= run["summary"]["_step"]]
    assert_equal(run["summary"]["val/loss"], after[-1][1], "the summary goes as far as the log")
    assert len(after) - len(points) in (0, 1)  # a summary comes before its row
    assert run["last_lines"] == []


def test_the_csv_has_every_digit(hsm: RunHsm, written: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    project, logged = written
    options = ("--csv", "--columns", "name,lr,val/loss", "--columns", "seed", "--where", f"name!={KILLED}")
    completed = hsm("sync", "report", SWEEP, *options, cwd=project)
    rows = list(csv.DictReader(io.StringIO(completed.stdout)))
    assert list(rows[0]) == ["name", "lr", "val/loss", "seed"]
    assert len(rows) == N_RUNS
    for row in rows:
        wanted = logged[row["name"]]
        assert float(row["lr"]) == wanted["config"]["lr"]
        assert int(row["seed"]) == wanted["config"]["seed"]
        assert_equal(float(row["val/loss"]), wanted["summary"]["val/loss"], row["name"])


def test_the_parquet_file_has_typed_columns(
    hsm: RunHsm, written: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    project, logged = written
    file = tmp_path / "runs.parquet"
    completed = hsm("sync", "report", SWEEP, "--parquet", file, cwd=project)
    assert completed.returncode == 0, completed.stderr
    assert str(file) in completed.stderr
    assert completed.stdout == ""
    table = parquet.read_table(file)
    types = {name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)}
    assert {name: types[name] for name in ("lr", "batch_size", "use_bias", "optimizer.name", "optimizer.betas")} == {
        "lr": "double",
        "batch_size": "int64",
        "use_bias": "bool",
        "optimizer.name": "string",
        "optimizer.betas": "string",
    }
    for row in table.to_pylist():
        if row["name"] != KILLED:
            assert row["lr"] == logged[row["name"]]["config"]["lr"]
            assert_equal(row["val/loss"], logged[row["name"]]["summary"]["val/loss"], row["name"])


def test_the_table_shows_what_varies_sorted_and_filtered(
    hsm: RunHsm, written: tuple[Path, dict[str, dict[str, Any]]]
) -> None:
    project, logged = written
    options = ("--sort", "acc", "--reverse", "--where", "optimizer.name=adam and state!=unknown")
    completed = hsm("sync", "report", "latest", *options, cwd=project)
    assert completed.returncode == 0, completed.stderr
    title, header, *lines = completed.stdout.splitlines()
    assert title.startswith(f"{SWEEP}: ")
    assert "lr" in header.split()
    assert "constant" not in header.split()
    wanted = [name for name, run in logged.items() if run["config"]["optimizer"]["name"] == "adam" and name != KILLED]
    wanted.sort(key=lambda name: logged[name]["summary"]["acc"], reverse=True)
    names = [line.split()[0] for line in lines if line.startswith("run_")]
    assert names == wanted
    assert wanted[0] in next(line for line in lines if line.startswith("Best: "))


def test_nothing_is_written_where_there_is_no_configuration(hsm: RunHsm, project: Path) -> None:
    before = sorted(project.rglob("*"))
    hsm("sync", "report", "latest", cwd=project)
    assert sorted(project.rglob("*")) == before


def test_a_project_with_a_configuration_is_found_from_within(hsm: RunHsm, project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    assert hsm("sync", "init", cwd=copy).returncode == 0
    (copy / "wandb").rename(copy / "elsewhere")
    config = copy / ".hsm" / "sync_config.yaml"
    config.write_text(config.read_text() + "\nsource: {wandb: elsewhere}\n")
    completed = hsm("sync", "report", "latest", "--json", cwd=copy / "sweeps")
    assert completed.returncode == 0, completed.stderr
    assert len(json.loads(completed.stdout)["runs"]) == N_RUNS + 1


@parametrize(
    ("options", "kind"),
    [
        pytest.param(["nothing_like_it"], "unknown_sweep", id="unknown sweep"),
        pytest.param([SWEEP, "--sort", "val/los"], "unknown_column", id="unknown column to sort by"),
        pytest.param([SWEEP, "--columns", "lr,nix"], "unknown_column", id="unknown column to show"),
        pytest.param([SWEEP, "--where", "lr<"], "bad_condition", id="condition without an end"),
        pytest.param([SWEEP, "--where", "nix<1"], "unknown_column", id="condition on nothing"),
        pytest.param([SWEEP, "--metric", "lr"], "unknown_metric", id="a parameter is no metric"),
        pytest.param([SWEEP, "--metric", "word"], "unknown_metric", id="a text is no metric"),
        pytest.param([SWEEP, "--goal", "up"], "usage", id="unknown goal"),
        pytest.param([SWEEP, "--csv"], "usage", id="two documents on one stream"),
        pytest.param([SWEEP, "--best", "0"], "usage", id="no curves at all"),
        pytest.param([SWEEP, "--html", "missing/report.html"], "no_permission", id="no such folder"),
    ],
    quick=["unknown sweep", "unknown column to sort by", "no such folder"],
)
def test_mistakes_are_errors_with_a_kind(hsm: RunHsm, project: Path, options: list[str], kind: str) -> None:
    completed = hsm("sync", "report", *options, "--json", cwd=project)
    assert completed.returncode == (1 if kind == "no_permission" else 2)
    error = json.loads(completed.stdout)["error"]
    assert error["kind"] == kind
    assert error["hint"]


@parametrize(("option", "package"), [("--html", "plotly"), ("--parquet", "pyarrow")], quick=[("--html", "plotly")])
def test_a_missing_extra_is_named_and_all_else_works(
    hsm: RunHsm, project: Path, tmp_path: Path, option: str, package: str
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('as if it were not installed')")
    env = {"PYTHONPATH": str(tmp_path)}
    completed = hsm("sync", "report", "latest", option, tmp_path / "file", cwd=project, env=env)
    assert completed.returncode == 2
    assert f"{option} needs {package}" in completed.stderr
    assert "hpc-sweep-manager[report]" in completed.stderr
    assert not (tmp_path / "file").exists()
    assert hsm("sync", "report", "latest", "--csv", cwd=project, env=env).returncode == 0


def test_a_log_that_cannot_be_read_whole_is_a_problem_of_its_run(hsm: RunHsm, project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    log = next(copy.glob("wandb/*-id-run_000/run-*.wandb"))
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0xFF
    log.write_bytes(content)
    completed = hsm("sync", "report", "latest", "--json", cwd=copy)
    document = json.loads(completed.stdout)
    assert completed.returncode == document["exit_code"] == 1
    assert [problem["kind"] for problem in document["problems"]] == ["damaged_log"]
    assert len(document["runs"]) == N_RUNS + 1
    shown = hsm("sync", "report", "latest", cwd=copy)
    assert shown.returncode == 1
    assert "damaged" in shown.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_log_without_permission_is_a_problem_of_its_run(hsm: RunHsm, project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    next(copy.glob("wandb/*-id-run_000/run-*.wandb")).chmod(0)
    completed = hsm("sync", "report", "latest", "--json", cwd=copy)
    assert completed.returncode == 1
    assert [problem["kind"] for problem in json.loads(completed.stdout)["problems"]] == ["unreadable"]
