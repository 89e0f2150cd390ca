"""Sweeps of every kind behind ssh and where they arrived: what `list --sweeps`, `report` and `list --resolved` say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.pull_project import Desktop, make_desktop
from tests.e2e.synthetic import write_file, write_run, write_sweep_folder

if TYPE_CHECKING:
    from pathlib import Path

    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm

SWEEP = "sweep_20251020_212836"


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def desktop(tmp_path: Path, sshd: PrivateSshd, hsm: RunHsm) -> Desktop:
    """Return an empty project here; the far one has sweeps of every kind, in several wandb folders."""
    desktop = make_desktop(tmp_path, sshd, hsm)
    far = desktop.far
    write_sweep_folder(far, SWEEP)
    write_run(far / "wandb", "own", sweep=SWEEP)
    write_run(far / "sweeps/outputs" / SWEEP / "tasks/1/wandb", "placed", sweep="")
    write_run(far / "train/wandb", "d1", sweep="dev")
    write_run(far / "train/wandb", "l1", sweep="")
    write_run(far / "wandb", "l2", sweep="")
    write_run(far / "multirun/2025-12-07/11-44-08/0/wandb", "h1", sweep="")
    write_file(far / "multirun/2025-12-07/11-44-08/multirun.yaml", b"hydra: {}\n")
    write_file(far / "multirun/2025-12-07/11-44-08/0/.hydra/config.yaml", b"lr: 0.1\n")
    return desktop


def list_rows(desktop: Desktop, *words: str) -> dict[str, tuple[str, str | None, int]]:
    (place,) = desktop.read("sync", "list", "--sweeps", *words)["places"]
    assert place["error"] is None
    return {sweep["sweep"]: (sweep["kind"], sweep["place"], sweep["runs"]["total"]) for sweep in place["sweeps"]}


@pytest.mark.slow
def test_sweeps_of_every_kind_are_listed_behind_ssh_and_where_they_come(desktop: Desktop) -> None:
    there = list_rows(desktop, "-t", "hpc")
    assert there == {
        SWEEP: ("folder", f"sweeps/outputs/{SWEEP}", 2),
        "dev": ("wandb", None, 1),
        "multirun_2025-12-07_11-44-08": ("hydra", "multirun/2025-12-07/11-44-08", 1),
        "@loose": ("loose", None, 2),
    }
    plain = desktop.hsm("sync", "list", "--sweeps", "-t", "hpc").stdout
    assert "`hsm sync from loose -t hpc` brings them." in plain
    assert "train/wandb/" in plain
    assert desktop.hsm("sync", "from", "--all").returncode == 0
    here = list_rows(desktop)
    assert {name: (kind, n_runs) for name, (kind, _, n_runs) in here.items()} == {
        name: (kind, n_runs) for name, (kind, _, n_runs) in there.items()
    }


REPORTS = {
    "loose": (["l1", "l2"], "loose (in no sweep, 2 runs)"),
    "dev": (["d1"], "dev (W&B group, 1 run)"),
    "l1": (["l1"], "l1 is run"),
    "./train/wandb": (["l1"], "loose (1 run in ./train/wandb)"),
    SWEEP: (["own", "placed"], ""),
}


@pytest.mark.parametrize(("word", "expected"), REPORTS.items(), ids=REPORTS)
def test_a_report_takes_every_word_without_a_configuration(
    desktop: Desktop, hsm: RunHsm, word: str, expected: tuple[list[str], str]
) -> None:
    done = hsm("sync", "report", word, "--csv", "--columns", "id", cwd=desktop.far)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()[1:]) == expected[0]
    assert done.stderr.startswith(expected[1]), done.stderr
    assert not (desktop.far / ".hsm").exists(), "nothing is written"


def test_a_report_is_of_one_sweep(desktop: Desktop, hsm: RunHsm) -> None:
    done = hsm("sync", "report", "*", cwd=desktop.far)
    assert done.returncode == 2
    assert "A report is of one sweep" in done.stderr


def test_settings_are_shown_for_the_sweep_that_a_word_means(desktop: Desktop) -> None:
    write_run(desktop.here / "wandb", "d1", sweep="dev")
    assert desktop.read("sync", "list", "--resolved", "group:dev")["sweep"] == "dev"
    done = desktop.hsm("sync", "list", "--resolved", "de")
    assert "dev (W&B group, 1 run)" in done.stderr
    assert desktop.read("sync", "list", "--resolved", "nowhere")["sweep"] == "nowhere"


def test_all_goes_with_sweeps(desktop: Desktop) -> None:
    done = desktop.hsm("sync", "list", "--all")
    assert done.returncode == 2
    assert "hsm sync list --sweeps --all" in done.stderr
