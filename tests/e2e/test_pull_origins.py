"""A sweep that ran at two places, and files here that did not come from where a pull looks."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.aftermath import SWEEP
from tests.e2e.pull_project import Desktop, make_desktop
from tests.e2e.synthetic import T, write_file, write_project, write_run, write_sweep_folder
from tests.marks import parametrize
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm

RUN = "run-20251020_212836-r0000"
CONFIG = f"{RUN}/files/config.yaml"


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def desktop(tmp_path: Path, sshd: PrivateSshd, hsm: RunHsm) -> Desktop:
    """Return an empty project here, whose target `hpc` has a sweep with one run."""
    desktop = make_desktop(tmp_path, sshd, hsm)
    write_project(desktop.far, n_runs=1)
    return desktop


@pytest.fixture
def other(desktop: Desktop, tmp_path: Path) -> Path:
    """Return the project of a second target, `lab`, with the same sweep and another run."""
    root = desktop.add_target("lab", tmp_path / "lab" / "project")
    write_sweep_folder(root)
    write_run(root / "wandb", "other")
    return root


def find_conflicts(target: dict[str, Any]) -> list[str]:
    return [problem["path"] for problem in target["problems"] if problem["kind"] == "conflict"]


def test_tasks_and_runs_of_two_places_unite(desktop: Desktop, other: Path) -> None:
    write_file(desktop.far / "sweeps/outputs" / SWEEP / "task_1.out", b"one")
    write_file(other / "sweeps/outputs" / SWEEP / "task_2.out", b"two")
    document = desktop.read("sync", "from", SWEEP, "-t", "hpc", "-t", "lab")
    (sweep,) = document["sweeps"]
    assert [(target["name"], target["state"]) for target in sweep["targets"]] == [("hpc", "done"), ("lab", "done")]
    assert {path.name for path in desktop.wandb.iterdir()} == {RUN, "run-20251020_212836-other"}
    folder = desktop.sweeps / "outputs" / SWEEP
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert names == {"sweep_config.yaml", "task_1.out", "task_2.out"}
    assert len(list((folder / ".hsm-sync").glob("receipt-*.json"))) == 2
    again = desktop.read("sync", "from", SWEEP, "-t", "hpc", "-t", "lab")
    assert [target["state"] for target in again["sweeps"][0]["targets"]] == ["nothing_to_do"] * 2
    assert again["exit_code"] == 0


@parametrize("later_ns", [5 * 10**9, -5 * 10**9], quick=[5 * 10**9], ids=["newer", "older"])
def test_the_same_path_with_other_content_is_a_conflict_whichever_is_newer(
    desktop: Desktop, other: Path, later_ns: int
) -> None:
    write_run(other / "wandb", "r0000")
    write_file(other / "wandb" / CONFIG, b"a: 2\n", mtime_ns=T + later_ns)
    desktop.pull(SWEEP)
    result = desktop.pull(SWEEP, "-t", "lab")
    assert (result["state"], result["exit_code"], result["files"]["conflict"]) == ("partial", 1, 1)
    assert find_conflicts(result) == [CONFIG]
    assert (desktop.wandb / CONFIG).read_bytes() == b"a: 1\n"
    assert (desktop.wandb / "run-20251020_212836-other").is_dir()
    assert desktop.pull(SWEEP)["state"] == "nothing_to_do"
    assert find_conflicts(desktop.pull(SWEEP, "-t", "lab")) == [CONFIG]
    taken = desktop.pull(SWEEP, "-t", "lab", "--overwrite")
    assert (taken["state"], taken["files"]["sent"]) == ("done", 1)
    assert (desktop.wandb / CONFIG).read_bytes() == b"a: 2\n"
    assert find_conflicts(desktop.pull(SWEEP)) == [CONFIG]


@pytest.mark.slow
def test_the_same_content_with_another_time_is_no_conflict(desktop: Desktop, other: Path) -> None:
    path = f"sweeps/outputs/{SWEEP}/sweep_config.yaml"
    os.utime(other / path, ns=(T + 10**12, T + 10**12))
    desktop.pull(SWEEP)
    assert desktop.pull(SWEEP, "-t", "lab")["state"] == "done"
    assert (desktop.here / path).stat().st_mtime_ns == T
    assert desktop.pull(SWEEP, "-t", "lab")["state"] == "nothing_to_do"


@pytest.mark.slow
@pytest.mark.usefixtures("other")
def test_what_grew_at_the_place_it_came_from_is_an_update(desktop: Desktop) -> None:
    log = desktop.far / "wandb" / RUN / "run-r0000.wandb"
    desktop.read("sync", "from", SWEEP, "-t", "hpc", "-t", "lab")
    for number in range(2):
        write_file(log, log.read_bytes() + w.frame([w.history({"loss": 0.1}, number)]), mtime_ns=T + number + 10**9)
        result = desktop.pull(SWEEP)
        assert (result["state"], result["files"]["sent"], result["files"]["conflict"]) == ("done", 1, 0)
        assert (desktop.wandb / RUN / log.name).read_bytes() == log.read_bytes()
    assert desktop.pull(SWEEP)["state"] == "nothing_to_do"


@pytest.mark.slow
def test_what_was_changed_here_is_kept_even_where_it_is_older(desktop: Desktop) -> None:
    desktop.pull(SWEEP)
    write_file(desktop.wandb / CONFIG, b"my own\n", mtime_ns=T - 10**12)
    result = desktop.pull(SWEEP)
    assert (result["exit_code"], find_conflicts(result)) == (1, [CONFIG])
    assert (desktop.wandb / CONFIG).read_bytes() == b"my own\n"


@pytest.mark.slow
def test_what_came_here_by_other_means_is_kept_and_what_is_equal_counts(desktop: Desktop) -> None:
    write_run(desktop.wandb, "r0000", files={"config.yaml": b"a: 1\n", "output.log": b"an earlier part\n"})
    result = desktop.pull(SWEEP)
    assert find_conflicts(result) == [f"{RUN}/files/output.log"]
    assert (desktop.wandb / RUN / "files/output.log").read_bytes() == b"an earlier part\n"
    write_file(desktop.far / "wandb" / CONFIG, b"a: 1\nb: 2\n", mtime_ns=T + 10**9)
    assert find_conflicts(desktop.pull(SWEEP)) == [f"{RUN}/files/output.log"]
    assert (desktop.wandb / CONFIG).read_bytes() == b"a: 1\nb: 2\n"


def test_what_the_far_project_pushed_here_is_its_own(desktop: Desktop, hsm: RunHsm) -> None:
    paths = {"sweeps": str(desktop.sweeps), "wandb": str(desktop.wandb)}
    config = {"sync_targets": {"desktop": {**desktop.targets["hpc"], "paths": paths}}}
    (desktop.far / ".hsm").mkdir()
    (desktop.far / ".hsm/sync_config.yaml").write_text(yaml.safe_dump(config))
    assert hsm("sync", "to", SWEEP, "-t", "desktop", cwd=desktop.far).returncode == 0
    (receipt,) = (desktop.sweeps / "outputs" / SWEEP / ".hsm-sync").glob("receipt-*.json")
    log = desktop.far / "wandb" / RUN / "run-r0000.wandb"
    write_file(log, log.read_bytes() + w.frame([w.history({"loss": 0.1}, 1)]), mtime_ns=T + 10**9)
    result = desktop.pull(SWEEP)
    assert (result["state"], result["files"]["sent"]) == ("done", 1)
    assert (desktop.wandb / RUN / log.name).read_bytes() == log.read_bytes()
    assert list(receipt.parent.glob("receipt-*.json")) == [receipt]
    assert json.loads(receipt.read_bytes())["generation"] == 2


@pytest.mark.slow
def test_a_copy_of_a_project_takes_nothing_that_the_original_pushed(desktop: Desktop, other: Path, hsm: RunHsm) -> None:
    paths = {"sweeps": str(desktop.sweeps), "wandb": str(desktop.wandb)}
    config = {"sync_targets": {"desktop": {"paths": paths}}}
    (desktop.far / ".hsm").mkdir()
    (desktop.far / ".hsm/sync_config.yaml").write_text(yaml.safe_dump(config))
    assert hsm("sync", "to", SWEEP, "-t", "desktop", cwd=desktop.far).returncode == 0
    shutil.rmtree(other)
    shutil.copytree(desktop.far, other)
    write_file(other / "wandb" / CONFIG, b"of the copy\n", mtime_ns=T + 10**9)
    result = desktop.pull(SWEEP, "-t", "lab")
    assert (result["exit_code"], find_conflicts(result)) == (1, [CONFIG])
    assert (desktop.wandb / CONFIG).read_bytes() == b"a: 1\n"
    receipts = list((desktop.sweeps / "outputs" / SWEEP / ".hsm-sync").glob("receipt-*.json"))
    assert len(receipts) == 2
    write_file(desktop.far / "wandb" / CONFIG, b"a: 1\nb: 2\n", mtime_ns=T + 2 * 10**9)
    assert desktop.pull(SWEEP)["state"] == "done"
    assert (desktop.wandb / CONFIG).read_bytes() == b"a: 1\nb: 2\n"
    pushed = json.loads(hsm("sync", "to", SWEEP, "-t", "desktop", "--json", cwd=other).stdout)
    assert "copied_project" in [problem["kind"] for problem in pushed["sweeps"][0]["targets"][0]["problems"]]


@pytest.mark.slow
def test_a_project_that_was_copied_with_its_id_has_a_receipt_of_its_own(desktop: Desktop, other: Path) -> None:
    for root in (desktop.far, other):
        (root / ".hsm").mkdir()
        (root / ".hsm/project.json").write_text('{"schema": 1, "source_id": "00112233445566ff"}')
    desktop.read("sync", "from", SWEEP, "-t", "hpc", "-t", "lab")
    names = {path.name for path in (desktop.sweeps / "outputs" / SWEEP / ".hsm-sync").glob("receipt-*.json")}
    assert "receipt-00112233445566ff.json" in names
    assert len(names) == 2
    again = desktop.read("sync", "from", SWEEP, "-t", "hpc", "-t", "lab")
    assert [target["state"] for target in again["sweeps"][0]["targets"]] == ["nothing_to_do"] * 2
