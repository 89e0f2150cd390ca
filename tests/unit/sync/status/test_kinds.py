"""Status of sweeps that are no folders: those that were synced, here and where they arrived."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.errors import ExitCode
from hsm.process.runner import Runner
from hsm.progress import SilentReporter
from hsm.sync.bring.push import push
from hsm.sync.request import SyncRequest
from hsm.sync.status.report import StatusReport
from hsm.sync.status.status import read_received_status, read_sweep_status
from tests.e2e.synthetic import write_file, write_run, write_sweep_folder

SWEEP = "sweep_20251020_212836"


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    """Return the configuration of a project with sweeps of three kinds, in several wandb folders."""
    folder = tmp_path / "project"
    write_sweep_folder(folder, SWEEP)
    write_run(folder / "wandb", "own", sweep=SWEEP)
    write_run(folder / "sweeps/outputs" / SWEEP / "wandb", "placed", sweep="dev")
    write_run(folder / "train/wandb", "d1", sweep="dev")
    write_run(folder / "wandb", "x1", sweep="never synced")
    for name in ("l1", "l2"):
        write_run(folder / "train/wandb", name, sweep="")
    paths = {name: str(tmp_path / "nas" / name) for name in ("sweeps", "wandb")}
    for path in paths.values():
        Path(path).mkdir(parents=True)
    write_file(folder / ".hsm/sync_config.yaml", json.dumps({"sync_targets": {"nas": {"paths": paths}}}).encode())
    return load_project_config(folder, environment={})


def bring(loaded: LoadedConfig, *words: str) -> None:
    push(loaded, SyncRequest(words, loaded.config.sync_targets), runner=Runner(), reporter=SilentReporter())


def count_runs(report: StatusReport) -> dict[str, tuple[int, int]]:
    """Count the runs of each sweep and the complete ones, at its only place."""
    found = {}
    for sweep in report.sweeps:
        (runs,) = [*(row.tally.runs for row in sweep.targets), *(row.runs for row in sweep.received)]
        found[sweep.sweep] = (len(runs), sum(standing.value == "complete" for standing in runs.values()))
    return found


def test_without_a_word_those_are_shown_that_were_synced(loaded: LoadedConfig) -> None:
    bring(loaded, "dev", "loose")
    report = read_sweep_status(loaded, ())
    assert count_runs(report) == {SWEEP: (2, 0), "dev": (2, 2), "@loose": (2, 2)}
    assert [sweep.is_complete for sweep in report.sweeps] == [False, True, True]
    write_run(loaded.project / "train/wandb", "l3", sweep="")
    assert count_runs(read_sweep_status(loaded, ()))["@loose"] == (3, 2)


def test_a_sweep_whose_runs_are_gone_is_still_told_of(loaded: LoadedConfig) -> None:
    bring(loaded, "dev")
    for run in ("train/wandb/run-20251020_212836-d1",):
        (loaded.project / run).rename(loaded.project / "elsewhere")
    report = read_sweep_status(loaded, ["dev"])
    assert count_runs(report) == {"dev": (2, 2)}


WORDS = {
    "dev": ("dev", "dev (W&B group, 2 runs)"),
    "loose": ("@loose", "loose (in no sweep, 2 runs)"),
    "never": ("never synced", "never synced (W&B group, 1 run)"),
    "l2": ("@loose", "l2 is run run-20251020_212836-l2 of loose"),
}


@pytest.mark.parametrize(("word", "expected"), WORDS.items(), ids=WORDS)
def test_a_word_of_another_kind_is_said_as_it_was_understood(
    loaded: LoadedConfig, word: str, expected: tuple[str, str]
) -> None:
    report = read_sweep_status(loaded, [word])
    assert ([sweep.sweep for sweep in report.sweeps], report.said) == ([expected[0]], (expected[1],))


def test_where_sweeps_arrived_the_receipts_tell_of_every_kind(loaded: LoadedConfig, tmp_path: Path) -> None:
    bring(loaded, SWEEP, "dev", "loose")
    report = read_received_status(tmp_path / "nas", ())
    assert count_runs(report) == {SWEEP: (2, 2), "dev": (2, 2), "@loose": (2, 2)}
    assert report.exit_code is ExitCode.DONE
    for word in ("dev", "loose", "l1", SWEEP[:10]):
        assert read_received_status(tmp_path / "nas", [word]).exit_code is ExitCode.DONE


def test_a_receipt_gives_a_sweep_runs_whose_log_names_another(loaded: LoadedConfig, tmp_path: Path) -> None:
    bring(loaded, SWEEP)
    received = tmp_path / "nas"
    paths = {name: str(tmp_path / "far" / name) for name in ("sweeps", "wandb")}
    write_file(received / ".hsm/sync_config.yaml", json.dumps({"sync_targets": {"far": {"paths": paths}}}).encode())
    report = read_sweep_status(load_project_config(received, environment={}), [SWEEP], ["far"])
    assert count_runs(report) == {SWEEP: (2, 0)}
