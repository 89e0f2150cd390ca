"""Hydra's jobs in a clean: each goes by itself once it has ended, the sweep's folder last, and all of it comes back."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from hsm.model import Root, SourceFile
from hsm.remote.local import LocalEndpoint
from hsm.sync.clean.decision import find_holders
from hsm.sync.clean.folders.ends import find_job_folders
from hsm.sync.clean.folders.jobs import split_files
from hsm.sync.clean.folders.nesting import keep_around, keep_folder
from hsm.sync.clean.names import is_needless_folder
from hsm.sync.clean.units import read_everything
from hsm.sync.clean.values import Unit, UnitVerdict
from hsm.sync.cleaned_jobs import find_cleaned_jobs
from hsm.sync.source import find_source
from tests.e2e.synthetic import T, write_file, write_run
from tests.unit.sync.clean.conftest import SWEEP, CleanBench

HOUR = 3600 * 10**9
BEGIN, END = b"Starting with JobEnvironment\n", b"submitit INFO (x) - Job completed successfully\n"
NOTHING = "nothing says that it has ended: no run, and no submitit"


def write_job(folder: Path, job: str, *, begun_ns: int = T, number: str = "") -> None:
    for name in ("config", "overrides"):
        write_file(folder / job / f".hydra/{name}.yaml", b"", mtime_ns=begun_ns)
    hydra = f"hydra:\n  mode: MULTIRUN\n  job:\n    id: '{number}'\n".encode()
    write_file(folder / job / ".hydra/hydra.yaml", hydra, mtime_ns=begun_ns)
    write_file(folder / job / "train.log", b"done\n", mtime_ns=begun_ns)


@pytest.fixture
def jobs(tmp_path: Path) -> CleanBench:
    """Return a project whose sweep has two jobs with a run each and one without, at one target."""
    bench = CleanBench(tmp_path)
    folder = get_folder(bench)
    for job in ("0", "1", "2"):
        write_job(folder, job)
    for job in ("0", "1"):
        write_run(folder / job / "wandb", f"job{job}", sweep="")
    bench.push()
    return bench


def get_folder(bench: CleanBench) -> Path:
    return bench.project / "sweeps/outputs" / SWEEP


def test_each_job_goes_by_itself_and_the_folder_last(jobs: CleanBench) -> None:
    folder = get_folder(jobs)
    report = jobs.clean()
    assert sorted(verdict.unit.job for verdict in report.going if verdict.unit.job) == ["0", "1"]
    assert sorted(path.name for path in folder.iterdir()) == ["2", "sweep_config.yaml"]
    (two,) = (verdict for verdict in report.verdicts if verdict.unit.job == "2")
    assert two.reasons == (NOTHING,)
    (own,) = (verdict for verdict in report.verdicts if verdict.unit.is_sweep)
    assert own.reasons == ("1 job of the sweep stays",)
    assert int(report.exit_code) == 0  # it may go on
    assert [unit.job for unit in find_cleaned_jobs(jobs.project, SWEEP)] == ["0", "1"]

    # What the journal says is of all jobs, also of those that have gone, and a further sync says it of the rest.
    write_run(folder / "2/wandb", "job2", sweep="")
    jobs.push()
    report = jobs.clean()
    assert {"2"} == {verdict.unit.job for verdict in report.going if verdict.unit.job}
    assert not folder.exists()


def test_the_folder_goes_without_a_further_sync(jobs: CleanBench) -> None:
    """What the journal says of the folder is of the jobs too that went before."""
    shutil.rmtree(get_folder(jobs) / "2")
    write_file(get_folder(jobs) / "1/train.log", b"done\n", mtime_ns=time.time_ns() - HOUR)
    jobs.push()
    with jobs.open(older_than_ns=24 * HOUR) as clean:
        clean.remove()
    assert sorted(path.name for path in get_folder(jobs).iterdir()) == ["1", "sweep_config.yaml"]
    jobs.clean()
    assert not get_folder(jobs).exists()


def test_what_is_not_there_keeps_its_job_alone(jobs: CleanBench) -> None:
    (jobs.folder / "nas/sweeps/outputs" / SWEEP / "0/train.log").unlink()
    report = jobs.clean()
    assert sorted(verdict.unit.job for verdict in report.going if verdict.unit.job) == ["1"]
    assert (get_folder(jobs) / "0/train.log").is_file()
    assert int(report.exit_code) == 1


def test_what_an_interrupted_clean_left_of_a_job_is_no_job_and_goes(jobs: CleanBench) -> None:
    folder = get_folder(jobs)
    kept = {path: path.read_bytes() for path in (folder / "0/.hydra").iterdir()}
    jobs.clean()
    unit = find_cleaned_jobs(jobs.project, SWEEP)[0]
    for path, content in kept.items():
        write_file(Path(unit.aside_path) / ".hydra" / path.name, content)
    report = jobs.clean()
    (left,) = (verdict for verdict in report.going if verdict.unit.job)
    assert left.unit.recorded is not None
    assert not Path(unit.aside_path).exists()


def test_a_log_of_submitit_without_an_end_counts_more_than_a_run(jobs: CleanBench) -> None:
    log = get_folder(jobs) / ".submitit/7/7_0_log.out"
    write_job(get_folder(jobs), "0", number="7")
    for content, reason in ((BEGIN, "submitit's log does not say that it has ended"), (BEGIN + END, "")):
        write_file(log, content)
        assert read_reasons(jobs) == {"0": reason, "1": "", "2": NOTHING}


@pytest.mark.parametrize(
    ("begun", "written", "expected"),
    [
        ((T, T), (T, T), ["", ""]),
        ((T, T + HOUR), (T, T + 2 * HOUR), ["", ""]),
        ((T, T + HOUR), (T, T), ["", "nothing"]),
        ((T, T), (T,), ["", "nothing"]),
    ],
    ids=["alike", "one after the other", "two runs in each job, of which the second has begun", "fewer than jobs"],
)
def test_runs_that_lie_together_tell_of_all_jobs_if_each_may_have_one(
    tmp_path: Path, begun: tuple[int, ...], written: tuple[int, ...], expected: list[str]
) -> None:
    """As with chdir and the basic launcher, where wandb keeps the folder of its first run."""
    bench = CleanBench(tmp_path)
    for path in (bench.project / "wandb").iterdir():
        shutil.rmtree(path)
    for number, time_ns in enumerate(begun):
        write_job(get_folder(bench), str(number), begun_ns=time_ns)
    for number, time_ns in enumerate(written):
        run = write_run(get_folder(bench) / "0/wandb", f"run{number}", sweep="")
        os.utime(next(run.glob("*.wandb")), ns=(time_ns, time_ns))
    assert list(read_reasons(bench).values()) == [NOTHING if word else "" for word in expected]


def test_what_jobs_have_gone_tells_nothing_of_others(jobs: CleanBench) -> None:
    """The runs that went with them are as many as the jobs that are left."""
    jobs.clean()
    assert read_reasons(jobs) == {"2": NOTHING}


def test_files_are_of_the_innermost_job() -> None:
    paths = ("multirun.yaml", "0/a", "0/x/0/b", "0/x/c", "10/d")
    files = [SourceFile(Root.SWEEPS, f"m/0/{path}", "/p", 1, 1, 1) for path in paths]
    found = split_files(files, "m/0", ["0", "0/x/0"])
    assert {job: [file.path for file in own] for job, own in found.items()} == {
        "": ["m/0/multirun.yaml", "m/0/10/d"],
        "0": ["m/0/0/a", "m/0/0/x/c"],
        "0/x/0": ["m/0/0/x/0/b"],
    }


def test_what_holds_something_that_stays_stays() -> None:
    def make(path: str, *, goes: bool, name: str = "", job: str = "", is_open: bool = False) -> UnitVerdict:
        return UnitVerdict(Unit(name, path, job=job), goes, is_open=is_open)

    run = make("/p/s/0/x/0/wandb/run-1", goes=False, name="run-1", is_open=True)
    inner = make("/p/s/0/x/0", goes=True, job="0/x/0")
    outer, other = make("/p/s/0", goes=True, job="0"), make("/p/s/1", goes=True, job="1")
    found = keep_around([run, inner, outer, other])
    assert [verdict.goes for verdict in found] == [False, False, False, True]
    assert found[2].reasons == ("run-1 lies in it and stays",)
    folder = keep_folder(make("/p/s", goes=True), [run], removes_runs=True, jobs=found[1:])
    assert (folder.goes, folder.is_open, folder.reasons) == (False, True, ("2 jobs of the sweep stay",))


def test_what_lies_in_another_goes_before_it() -> None:
    units = [Unit("", f"/p/s{path}", job=path[1:]) for path in ("", "/0", "/0/x")]
    assert find_holders([UnitVerdict(unit, True) for unit in units], []) == {
        "/p/s/0/x": frozenset(),
        "/p/s/0": frozenset({"/p/s/0/x"}),
        "/p/s": frozenset({"/p/s/0", "/p/s/0/x"}),
    }


@pytest.mark.parametrize(
    ("path", "is_run", "expected"),
    [
        (".submitit/%j", False, True),
        ("a/.submitit/%j", False, True),
        (".submitit/%j", True, False),
        ("x.submitit/%j", False, False),
        ("%j", False, False),
        ("0/wandb", False, True),
    ],
)
def test_which_empty_folders_tools_leave(path: str, is_run: bool, expected: bool) -> None:
    assert is_needless_folder(path, is_run=is_run) is expected


def read_reasons(bench: CleanBench) -> dict[str, str]:
    source = find_source(bench.load(), LocalEndpoint(), [SWEEP])
    return dict(find_job_folders(source, read_everything(source)[0]).reasons)
