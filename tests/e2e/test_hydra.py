"""Sweeps of Hydra's, there and back: their files at the same path, their runs with all others."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.synthetic import write_file, write_run
from tests.e2e.test_kinds import Project
from tests.marks import parametrize
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from tests.conftest import RunHsm
    from tests.e2e.conftest import MakeProject

PLACE = "multirun/2025-12-07/11-44-08"
SWEEP = "multirun_2025-12-07_11-44-08"
MULTIRUN = b"hydra:\n  overrides:\n    task:\n    - lr=0.1,0.2\n"


@pytest.fixture
def project(tmp_path: Path, hsm: RunHsm) -> Project:
    return Project(tmp_path / "project", tmp_path / "desk", hsm)


def write_job(folder: Path, lr: str, mode: str = "MULTIRUN") -> None:
    write_file(folder / ".hydra/overrides.yaml", f"- lr={lr}\n".encode())
    write_file(folder / ".hydra/config.yaml", f"lr: {lr}\n".encode())
    write_file(folder / ".hydra/hydra.yaml", f"hydra:\n  mode: {mode}\n".encode())


def write_sweep(project: Project, place: str = PLACE, *, has_multirun: bool = True) -> Path:
    """Write two jobs, of which the first has a run."""
    folder = project.folder / place
    for number, lr in enumerate(("0.1", "0.2")):
        write_job(folder / str(number), lr)
    if has_multirun:
        write_file(folder / "multirun.yaml", MULTIRUN)
    write_file(folder / "0/checkpoints/best/model.bin", b"x" * 100)
    write_file(folder / ".submitit/1/1_0_result.pkl", b"cos\nsystem\n(S'touch pickled'\ntR.")
    write_run(folder / "0/wandb", "aaaa1111", sweep="")
    return folder


def read_own(folder: Path) -> set[str]:
    """List the files of a sweep's folder, without those of runs."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if "/wandb/" not in name}


def call(project: Project, *words: str, code: int = 0) -> str:
    found, text = project.call(*words)
    assert found == code, text
    return text


def read_report(hsm: RunHsm, folder: Path, sweep: str) -> list[dict[str, str]]:
    done = hsm("sync", "report", sweep, "--csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


@parametrize(
    ("place", "has_multirun"),
    [
        pytest.param(PLACE, True, id="multirun.yaml"),
        pytest.param(PLACE, False, id="none"),
        pytest.param("results/exp_a", True, id="elsewhere"),
    ],
    quick=["multirun.yaml", "none"],
)
def test_a_sweep_lands_at_its_own_path(project: Project, hsm: RunHsm, place: str, has_multirun: bool) -> None:
    folder = write_sweep(project, place, has_multirun=has_multirun)
    sweep = place.replace("/", "_")
    (here,) = project.read("list", "--sweeps")["places"]
    assert [(row["sweep"], row["kind"], row["place"]) for row in here["sweeps"]] == [(sweep, "hydra", place)]
    assert f"{sweep} (Hydra, 2 jobs)" in call(project, "to", place)
    assert read_own(project.desk / place) == read_own(folder)
    assert project.list_runs(project.desk / "wandb") == {"aaaa1111"}
    assert not list((project.desk / place).rglob("*.wandb"))
    (receipt,) = (project.desk / "sweeps/outputs" / sweep / ".hsm-sync").glob("receipt-*.json")
    document = json.loads(receipt.read_bytes())
    assert (document["kind"], document["place"]) == ("hydra", place)
    assert "nothing to do" in call(project, "to", sweep)
    assert "equal" in call(project, "verify", sweep)
    for where in (project.folder, project.desk):
        rows = read_report(hsm, where, sweep)
        assert [(row["name"], row["lr"]) for row in rows[:2]] == [("0", "0.1"), ("1", "0.2")]
    assert not list(project.folder.parent.rglob("pickled"))


def test_its_run_is_not_loose_and_also_its_groups(project: Project) -> None:
    folder = write_sweep(project)
    write_run(folder / "1/wandb", "bbbb2222", sweep="forest")
    log = w.frame([w.run("cccc3333"), w.environment(f"/elsewhere/{PLACE}/.submitit/%j"), w.exit_code(0), w.FOOTER])
    write_file(project.folder / "wandb/run-20251020_212836-cccc3333/run-cccc3333.wandb", log)
    call(project, "to", "loose", code=2)
    call(project, "to", "forest")
    assert project.list_runs(project.desk) == {"bbbb2222"}
    call(project, "to", SWEEP)
    assert project.list_runs(project.desk) == {"aaaa1111", "bbbb2222", "cccc3333"}


def test_it_comes_back_where_it_was(project: Project) -> None:
    folder = write_sweep(project)
    before = read_own(folder)
    call(project, "to", SWEEP)
    shutil.rmtree(project.folder / "multirun")
    call(project, "from", SWEEP)
    assert read_own(folder) == before
    assert project.list_runs(project.folder / "wandb") == {"aaaa1111"}
    assert "nothing to do" in call(project, "to", SWEEP)


def test_it_comes_by_its_receipt_where_nothing_else_tells_of_it(project: Project) -> None:
    folder = write_sweep(project)
    call(project, "to", SWEEP)
    (project.desk / PLACE / "multirun.yaml").unlink()
    for path in (project.desk / PLACE).rglob("hydra.yaml"):
        path.write_text("hydra: {}\n")
    shutil.rmtree(project.folder / "multirun")
    call(project, "from", SWEEP)
    assert (folder / "1/.hydra/config.yaml").is_file()


@parametrize("place", ["../../x", ".git/hooks", "wandb/x", "other"], quick=["../../x"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_place_of_a_receipt_that_leads_out_is_refused(project: Project, place: str, is_there: bool) -> None:
    write_sweep(project)
    call(project, "to", SWEEP)
    (receipt,) = (project.desk / "sweeps/outputs" / SWEEP / ".hsm-sync").glob("receipt-*.json")
    receipt.write_text(receipt.read_text().replace(f'"place": "{PLACE}"', f'"place": "{place}"'))
    if not is_there:
        shutil.rmtree(project.desk / "multirun")
    shutil.rmtree(project.folder / "multirun")
    before = sorted(path for path in project.folder.rglob("*") if ".hsm" not in path.parts)
    assert "names a place" in call(project, "from", SWEEP, code=12)
    assert sorted(path for path in project.folder.rglob("*") if ".hsm" not in path.parts) == before
    assert not (project.folder.parent / "x").exists()


def test_a_pull_writes_through_no_symlink(project: Project, tmp_path: Path) -> None:
    write_sweep(project)
    call(project, "to", SWEEP)
    shutil.rmtree(project.folder / "multirun")
    (tmp_path / "away").mkdir()
    (project.folder / "multirun").symlink_to(tmp_path / "away")
    assert "symlink" in call(project, "from", SWEEP, code=1)
    assert not list((tmp_path / "away").iterdir())


def test_a_target_without_a_project_is_refused_before_anything_begins(project: Project) -> None:
    write_sweep(project)
    config = project.folder / ".hsm/sync_config.yaml"
    config.write_text(config.read_text().replace(f"project_root: {project.desk}, ", ""))
    for words in (("to", SWEEP), ("to", SWEEP, "-n"), ("to", "--all")):
        text = call(project, *words, code=2)
        assert f"Target desk has no paths.project_root, so there is no place for {PLACE}" in text
    assert not list((project.desk / "sweeps").iterdir())


def test_two_sweeps_of_one_id_are_refused(project: Project) -> None:
    for place in ("a_b/c", "a/b_c"):
        write_job(project.folder / place / "0", "0.1")
        write_file(project.folder / place / "multirun.yaml", b"")
    for word in ("a_b_c", "a_b/c", "--all"):
        assert "lies in two places" in call(project, "to", word, code=2)


@pytest.mark.parametrize("other", ["folder", "group"])
def test_an_id_of_two_kinds_is_refused(project: Project, other: str) -> None:
    write_job(project.folder / "results/x/0", "0.1")
    write_file(project.folder / "results/x/multirun.yaml", b"")
    if other == "folder":
        write_file(project.folder / "outputs/results_x/a.txt", b"")
    else:
        write_run(project.folder / "wandb", "aaaa1111", sweep="results_x")
    for word in ("results_x", "results/x", "--all"):
        assert "is the id of 2 sweeps" in call(project, "to", word, code=2)


def test_jobs_of_a_folder_sweep_come_whole(project: Project) -> None:
    day = project.folder / "outputs/2025-12-08"
    write_job(day / "09-00-00", "0.1", mode="RUN")
    write_file(day / "09-00-00/a/b/c.txt", b"x")
    write_file(day / "tasks/t1/out.txt", b"x")
    call(project, "to", "outputs/2025-12-08/09-00-00")
    there = project.desk / "sweeps/outputs/2025-12-08"
    assert (there / "09-00-00/a/b/c.txt").is_file()
    assert (there / "09-00-00/.hydra/config.yaml").is_file()
    assert not (there / "tasks").exists()
    assert "nothing to do" in call(project, "to", "2025-12-08")


def test_it_is_known_at_once_though_the_search_is_remembered(project: Project) -> None:
    write_run(project.folder / "wandb", "aaaa1111", sweep="")
    call(project, "to", "loose")
    write_job(project.folder / PLACE / "0", "0.1")
    write_file(project.folder / PLACE / "multirun.yaml", b"")
    call(project, "to", SWEEP)


def test_it_is_followed_until_its_jobs_have_ended(project: Project) -> None:
    folder = write_sweep(project)
    text = call(project, "to", SWEEP, "--continuous", "--interval", "1")
    assert "2 of 2 runs ended (as Hydra's own files say)" in text
    write_file(folder / "multirun.yaml", b"hydra:\n  overrides:\n    task:\n    - lr=range(1,9)\n")
    text = call(project, "to", SWEEP, "--continuous", "--interval", "1", "--settle", "1s")
    assert "no new run came" in text


def test_each_job_is_removed_once_it_has_an_end_and_the_folder_last(project: Project) -> None:
    folder = write_sweep(project)
    (folder / ".submitit/%j").mkdir()  # as submitit's launcher leaves it
    before = read_own(folder)
    call(project, "to", SWEEP)
    text = call(project, "clean", SWEEP, "--yes")
    assert "nothing says that it has ended" in text
    assert project.list_runs(project.folder) == set()
    assert not (folder / "0").exists()
    assert read_own(folder) == {path for path in before if not path.startswith("0/")}
    status = project.read("status", SWEEP)["sweeps"][0]
    assert (status["complete"], status["cleaned"]["jobs"]) == (True, ["0"])
    assert "equal" in call(project, "verify", SWEEP)
    (project.desk / PLACE / "0/.hydra/config.yaml").write_text("lr: 9\n")
    call(project, "verify", SWEEP, code=1)
    (project.desk / PLACE / "0/.hydra/config.yaml").write_text("lr: 0.1\n")

    write_file(folder / ".submitit/7_1/7_1_0_log.out", b"submitit INFO (x) - Job completed successfully\n")
    call(project, "to", SWEEP)
    call(project, "clean", SWEEP, "--yes")
    assert not folder.exists()
    assert "equal" in call(project, "verify", SWEEP)
    call(project, "from", SWEEP)
    assert before < read_own(folder)
    assert project.list_runs(project.folder) == {"aaaa1111"}
    assert project.read("status", SWEEP)["sweeps"][0]["cleaned"] is None


def test_the_folder_of_a_job_means_this_job_alone(project: Project) -> None:
    folder = write_sweep(project)
    write_run(folder / "1/wandb", "bbbb2222", sweep="")
    call(project, "to", SWEEP)
    call(project, "clean", f"{PLACE}/1", "--yes")
    assert project.list_runs(project.folder) == {"aaaa1111"}
    assert not (folder / "1").exists()
    assert (folder / "multirun.yaml").is_file()
    assert (folder / "0/.hydra/config.yaml").is_file()


@pytest.mark.slow
def test_what_hydra_itself_writes_is_understood(project: Project, hsm: RunHsm) -> None:
    pytest.importorskip("hydra", reason="hydra-core is not installed")
    write_file(project.folder / "conf/config.yaml", b"lr: 0.5\n")
    script = "import hydra\n\n@hydra.main(version_base='1.3', config_path='conf', config_name='config')\n"
    write_file(project.folder / "train.py", f"{script}def main(cfg):\n    pass\n\nmain()\n".encode())
    nested = ["hydra.sweep.dir=results/b", "hydra.sweep.subdir=x/${hydra.job.num}"]
    for words in (["hydra.sweep.dir=multirun/a"], nested):
        argv = [sys.executable, "train.py", "-m", "lr=0.1,0.2", *words]
        subprocess.run(argv, cwd=project.folder, check=True, timeout=120)
    for sweep, place in (("multirun_a", "multirun/a"), ("results_b", "results/b")):
        call(project, "to", sweep)
        assert read_own(project.desk / place) == read_own(project.folder / place)
        assert [row["lr"] for row in read_report(hsm, project.desk, sweep)] == ["0.1", "0.2"]


@pytest.mark.slow
@pytest.mark.parametrize("is_folder_sweep", [False, True])
def test_what_changes_deep_in_a_job_over_ssh_is_noticed(make_project: MakeProject, is_folder_sweep: bool) -> None:
    project = make_project(options={"max_depth": 1})
    place = "outputs/2025-12-08" if is_folder_sweep else PLACE
    sweep = "2025-12-08" if is_folder_sweep else SWEEP
    there = project.target_root / (f"sweeps/{place}" if is_folder_sweep else place)
    write_job(project.folder / place / "0", "0.1", mode="RUN" if is_folder_sweep else "MULTIRUN")
    write_file(project.folder / place / "0/a/b/c.txt", b"x")
    for lost in (None, "0/a/b/c.txt"):
        for _ in range(3):  # the second leaves behind what the third needs not ask again
            done = project.hsm("sync", "to", sweep)
            assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing to do" in done.stdout
        assert (there / "0/a/b/c.txt").is_file()
        if lost is None:
            (there / "0/a/b/c.txt").unlink()
    assert project.hsm("sync", "verify", sweep).returncode == 0
    done = project.hsm("sync", "from", sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to do" in done.stdout
