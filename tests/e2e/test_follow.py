"""`--continuous`, end to end: runs that another process writes, a real sshd, a real rsync."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.live_run import LiveRun
from tests.e2e.pull_project import Desktop, make_desktop
from tests.e2e.synthetic import write_file, write_project, write_run
from tests.marks import parametrize
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm
    from tests.e2e.conftest import MakeProject, Project

HOUR_NS = 3600 * 10**9


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """Return a project whose sweep has three synthetic runs that ended long ago."""
    project = make_project()
    write_project(project.folder)
    return project


def write_combinations(project: Path, n: int) -> None:
    content = json.dumps([{"index": index + 1, "params": {}} for index in range(n)])
    write_file(project / f"sweeps/outputs/{SWEEP}/parameter_combinations.json", content.encode())


class Following:
    """A `hsm sync ... --continuous --json` under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def end(self, *, timeout: float = 90) -> tuple[dict[str, Any], str]:
        """Wait for its end; the document, and what it said meanwhile."""
        stdout, stderr = self.process.communicate(timeout=timeout)
        assert stdout, stderr
        document: dict[str, Any] = json.loads(stdout)
        assert document["exit_code"] == self.process.returncode, stderr
        return document, stderr


@contextmanager
def following(folder: Path, *args: str, env: dict[str, str] | None = None) -> Iterator[Following]:
    argv = [sys.executable, "-m", "hsm", "sync", *args, "--continuous", "--interval", "1", "--json"]
    with subprocess.Popen(
        argv,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Following(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def follow(folder: Path, *args: str, env: dict[str, str] | None = None) -> tuple[dict[str, Any], str]:
    with following(folder, *args, env=env) as begun:
        return begun.end()


def wait_for(is_so: Any) -> None:
    give_up = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def assert_equal(there: Path, here: Path) -> None:
    """All that counts of a run is the same at both ends, to the byte and the nanosecond."""

    def read(folder: Path) -> dict[str, tuple[bytes, int]]:
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    assert read(there) == read(here)
    assert any(path.endswith(".wandb") for path in read(here))


def watch_live_runs(source: Path, arrives: Path, begun: Following, scratch: Path) -> None:
    """Write one run to its end and kill another, both begun while the sweep is followed."""
    wait_for(lambda: list(arrives.glob("run-*")))
    killed = LiveRun(source, SWEEP, scratch / "killed")
    finished = LiveRun(source, SWEEP, scratch / "finished")
    try:
        for run in (killed, finished):
            wait_for((arrives / run.folder.name / f"run-{run.folder.name[-8:]}.wandb").exists)
        killed.kill()

        finished.finish()
        document, _ = begun.end()
    finally:
        for run in (killed, finished):
            run.kill_if_alive()
    assert document["exit_code"] == 0
    (sweep,) = document["follow"]["sweeps"]
    assert [died["run"] for died in sweep["died"]] == [killed.folder.name]
    assert (sweep["over"], sweep["ended"], sweep["open"], sweep["missing"]) == (True, 3, [], 0)
    assert sweep["expected"] == {"source": "parameter_combinations", "runs": 4}
    (target,) = document["follow"]["targets"]
    assert (target["standing"], target["complete"], target["pending"]) == ("complete", 3, 0)
    for run in (finished, killed):
        assert_equal(run.folder, arrives / run.folder.name)
    assert document["follow"]["passes"] > 2


@pytest.mark.slow
def test_live_runs_are_followed_to_a_target_and_end_equal(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    write_project(project.folder, n_runs=2)
    write_combinations(project.folder, 4)
    with following(project.folder, "to", SWEEP, "--all-versions", "--stale", "5s") as begun:
        watch_live_runs(project.folder, project.target_wandb, begun, tmp_path / "scratch")
    assert project.sshd.count_logins() == 1


@pytest.mark.slow
def test_live_runs_are_followed_from_a_target_and_end_equal(tmp_path: Path, sshd: PrivateSshd, hsm: RunHsm) -> None:
    desktop: Desktop = make_desktop(tmp_path, sshd, hsm)
    write_project(desktop.far, n_runs=2)
    write_combinations(desktop.far, 4)
    with following(desktop.here, "from", SWEEP, "--all-versions", "--stale", "5s") as begun:
        watch_live_runs(desktop.far, desktop.wandb, begun, tmp_path / "scratch")
    assert sshd.count_logins() == 1


def test_a_sweep_that_is_over_costs_one_pass(project: Project) -> None:
    write_combinations(project.folder, 3)
    document, said = follow(project.folder, "to", SWEEP)
    assert document["exit_code"] == 0
    assert (document["follow"]["passes"], document["follow"]["targets"][0]["complete"]) == (1, 3)
    assert "3 of 3 runs ended; desktop: 3 complete" in said


@pytest.mark.slow
def test_without_an_expectation_the_end_is_a_pause_without_a_new_run(project: Project) -> None:
    document, said = follow(project.folder, "to", SWEEP, "--settle", "3s")
    assert document["exit_code"] == 0
    (sweep,) = document["follow"]["sweeps"]
    assert (sweep["expected"]["source"], sweep["ended"], sweep["over"]) == ("none", 3, True)
    assert "waiting whether another begins" in said
    assert document["follow"]["passes"] > 1


@pytest.mark.slow
def test_runs_that_never_begin_are_said_and_change_the_exit_code(project: Project) -> None:
    document, said = follow(project.folder, "to", SWEEP, "--expect", "5", "--stale", "3s")
    assert document["exit_code"] == 1
    (sweep,) = document["follow"]["sweeps"]
    assert (sweep["missing"], sweep["over"]) == (2, True)
    assert "2 to come" in said


@parametrize("number", [signal.SIGINT, signal.SIGTERM], quick=[signal.SIGINT])
def test_an_interrupt_while_it_waits_ends_with_130_and_what_is_pending(
    project: Project, number: signal.Signals
) -> None:
    with following(project.folder, "to", SWEEP, "--expect", "4", "--interval", "1h", "--stale", "30000d") as begun:
        wait_for(lambda: any((project.target_sweeps / "outputs").rglob("receipt*")))
        for line in begun.process.stderr or ():
            if "1 to come" in line:
                break
        begun.process.send_signal(number)
        document, _ = begun.end(timeout=20)
    assert document["exit_code"] == 130
    assert document["follow"]["interrupted"]
    (sweep,) = document["follow"]["sweeps"]
    assert (sweep["over"], sweep["missing"], sweep["ended"]) == (False, 1, 3)
    project.sshd.wait_quiet()


def test_an_interrupt_in_the_middle_of_a_pass_ends_it_too(project: Project) -> None:
    slow = project.folder.parent / "slow-rsync"
    slow.write_text('#!/bin/sh\ncase $1 in --version) ;; *) sleep 30 ;; esac\nexec rsync "$@"\n')
    slow.chmod(0o755)
    project.set_target(rsync_path=str(slow))
    with following(project.folder, "to", SWEEP) as begun:
        for line in begun.process.stderr or ():
            if "transfer started" in line:
                break
        begun.process.send_signal(signal.SIGTERM)
        document, _ = begun.end(timeout=20)
    assert document["exit_code"] == 130
    assert document["sweeps"][0]["targets"][0]["state"] == "interrupted"
    assert document["follow"]["sweeps"][0]["ended"] == 3
    assert document["follow"]["targets"][0]["pending"] == 3
    project.set_target(rsync_path="rsync")
    assert project.hsm("sync", "to", SWEEP).returncode == 0  # no lock is left


@pytest.mark.slow
def test_nothing_is_asked_of_the_target_while_nothing_changes_here(project: Project) -> None:
    lost = project.target_wandb / "run-20251020_212836-r0001/files/config.yaml"
    with following(project.folder, "to", SWEEP, "--expect", "4", "--stale", "30000d") as begun:
        for line in begun.process.stderr or ():
            if "1 to come" in line:
                break
        lost.unlink()  # whoever asks would see it
        time.sleep(3)
        assert not lost.exists()
        write_run(project.folder / "wandb", "late")
        document, _ = begun.end()
    assert document["exit_code"] == 0
    assert lost.is_file()
    assert (project.target_wandb / "run-20251020_212836-late").is_dir()
    assert project.sshd.count_logins() == 1


def test_a_target_that_fails_is_tried_again_and_the_other_goes_on(project: Project) -> None:
    blocked = project.target_root.parent / "other"
    write_file(blocked, b"in the way")
    config = project.read_config()
    config["sync_targets"]["other"] = {"paths": {"sweeps": f"{blocked}/sweeps", "wandb": f"{blocked}/wandb"}}
    project.write_config(config)
    with following(project.folder, "to", SWEEP, "--expect", "3", "-t", "desktop", "-t", "other") as begun:
        wait_for((project.target_wandb / "run-20251020_212836-r0002").is_dir)
        time.sleep(1)
        blocked.unlink()
        (blocked / "sweeps").mkdir(parents=True)
        (blocked / "wandb").mkdir()
        document, said = begun.end()
    assert document["exit_code"] == 0, said
    assert [target["standing"] for target in document["follow"]["targets"]] == ["complete", "complete"]
    assert (blocked / "wandb/run-20251020_212836-r0002").is_dir()
    assert "other: 0 complete, 3 pending" in said


def test_a_refused_login_is_given_up_at_once(project: Project) -> None:
    config = project.read_config()
    config["sync_targets"]["desktop"]["user"] = "nobody-of-this-name"
    project.write_config(config)
    document, _ = follow(project.folder, "to", SWEEP, "--expect", "3")
    assert document["exit_code"] == 10
    assert document["follow"]["targets"][0]["standing"] == "given_up"
    assert document["follow"]["passes"] == 1


SQUEUE = """#!/bin/sh
printf '%s\\n' "$*" >>{log}
cat {answer} 2>/dev/null || {{ echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1; }}
"""


def write_run_of_a_job(wandb: Path, *, job: str, array: str, task: str) -> None:
    """Write a run without an end, whose log names a task of an array job."""
    ids = {"job_id": job, "array_job_id": array, "array_task_id": task}
    environment = b"".join(w.field(27, w.field(1, key) + w.field(2, value)) for key, value in ids.items())
    log = w.frame([w.run("job", group=SWEEP), w.record(26, environment), w.history({"loss": 1}, 1)])
    write_file(wandb / "run-20251020_212836-job/run-job.wandb", log)


def test_slurm_says_which_runs_are_dead_and_when_no_more_come(project: Project, tmp_path: Path) -> None:
    write_run_of_a_job(project.folder / "wandb", job="4242", array="4200", task="3")
    answer, log = tmp_path / "answer", tmp_path / "log"
    answer.write_text("4242 4200 3\n")
    write_file(tmp_path / "bin/squeue", SQUEUE.format(log=log, answer=answer).encode()).chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    with following(project.folder, "to", SWEEP, "--stale", "30000d", env=env) as begun:
        for line in begun.process.stderr or ():
            if "1 going on" in line:
                break
        begun.process.send_signal(signal.SIGINT)
        document, _ = begun.end()
    assert document["follow"]["sweeps"][0]["open"] == ["run-20251020_212836-job"]
    answer.unlink()
    document, _ = follow(project.folder, "to", SWEEP, "--stale", "30000d", env=env)
    (sweep,) = document["follow"]["sweeps"]
    assert sweep["died"] == [{"run": "run-20251020_212836-job", "why": "its Slurm job 4200_3 is gone"}]
    assert (sweep["expected"]["source"], sweep["over"]) == ("scheduler", True)
    assert document["exit_code"] == 0
    assert set(log.read_text().splitlines()) == {"--noheader --array --jobs=4200 --format=%A %F %K"}


@pytest.mark.slow
def test_the_slurm_of_the_far_side_is_asked_over_the_connection(
    tmp_path: Path, start_sshd: Callable[..., PrivateSshd], hsm: RunHsm
) -> None:
    log = tmp_path / "log"
    write_file(tmp_path / "bin/squeue", SQUEUE.format(log=log, answer=tmp_path / "none").encode()).chmod(0o755)
    sshd = start_sshd(environment={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    desktop = make_desktop(tmp_path, sshd, hsm)
    write_project(desktop.far)
    write_run_of_a_job(desktop.far / "wandb", job="4242", array="4200", task="3")
    document, _ = follow(desktop.here, "from", SWEEP, "--stale", "30000d")
    (sweep,) = document["follow"]["sweeps"]
    assert sweep["died"] == [{"run": "run-20251020_212836-job", "why": "its Slurm job 4200_3 is gone"}]
    assert (document["exit_code"], sweep["expected"]["source"]) == (0, "scheduler")
    assert "--jobs=4200 " in log.read_text()
    assert sshd.count_logins() == 1


@parametrize(
    ("args", "words"),
    [
        (["--interval", "5m"], "goes with --continuous"),
        (["--expect", "3"], "goes with --continuous"),
        (["--continuous", "--dry-run"], "--dry-run does not go"),
        (["--continuous", "--interval", "soon"], "'soon' is no duration"),
        (["--continuous", "--settle", "0m"], "longer than nothing"),
        (["--continuous", "--expect", "0"], "at least 1"),
    ],
    quick=[(["--continuous", "--expect", "0"], "at least 1")],
)
def test_options_that_do_not_go_together_are_refused(project: Project, args: list[str], words: str) -> None:
    for way in ("to", "from"):
        completed = project.hsm("sync", way, SWEEP, *args)
        assert completed.returncode == 2
        assert words in completed.stderr
