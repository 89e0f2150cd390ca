"""Many targets, many runs, and clocks that disagree."""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.records.lock import make_holder, make_lock_content
from tests.e2e.aftermath import (
    SWEEP,
    assert_all_arrived,
    assert_end,
    assert_nothing_left,
    list_arrived,
    list_runs,
    sync,
)
from tests.e2e.archive import FAKE_CLOCK, get_from_archive
from tests.e2e.synthetic import T, write_file, write_project, write_run, write_sweep_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project

N_RUNS = 5000
OLD = (1_600_000_000, 1_600_000_000)


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


# One dead target of three.


def test_a_dead_target_of_three_is_named_and_the_others_are_done(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], tmp_path: Path
) -> None:
    project = make_project(options={"latest_only": False})
    write_project(project.folder)
    lost = start_sshd()
    ssh = {"identity_file": str(lost.identity_file), "options": {"UserKnownHostsFile": str(lost.known_hosts)}}
    alive = project.read_config()["sync_targets"]["desktop"]
    targets = {
        name: {
            **settings,
            "paths": {"sweeps": str(tmp_path / name / "sweeps"), "wandb": str(tmp_path / name / "wandb")},
        }
        for name, settings in {
            "backup": alive,
            "lost": {**alive, "port": lost.port, "user": lost.user, "ssh": ssh},
        }.items()
    }
    targets["desktop"] = alive
    project.write_config({"default_target": ["desktop", "lost", "backup"], "sync_targets": targets})
    lost.stop()
    completed = project.hsm("sync", "to", SWEEP, "--json")
    (sweep,) = json.loads(completed.stdout)["sweeps"]
    ends = {target["name"]: (target["state"], target["exit_code"]) for target in sweep["targets"]}
    assert ends == {"desktop": ("done", 0), "lost": ("unreachable", 10), "backup": ("done", 0)}
    assert completed.returncode == 1
    assert_all_arrived_at(project, tmp_path / "backup")
    assert not (tmp_path / "lost").exists()
    plain = project.hsm("sync", "to", SWEEP)
    assert plain.returncode == 1
    assert "1 unreachable (lost)" in plain.stdout
    assert "refuses connections" in plain.stdout
    lost.start()
    after = json.loads(project.hsm("sync", "to", SWEEP, "--json").stdout)
    assert {target["name"]: target["state"] for target in after["sweeps"][0]["targets"]} == {
        "desktop": "nothing_to_do",
        "lost": "done",
        "backup": "nothing_to_do",
    }
    assert_all_arrived_at(project, tmp_path / "lost")
    ids = {path.name for path in tmp_path.glob("*/**/.hsm-sync/receipt-*.json")}
    assert len(ids) == 1, "one project is one source at all its targets"


def assert_all_arrived_at(project: Project, root: Path) -> None:
    for run in list_runs(project):
        for path in run.rglob("*"):
            if path.is_file():
                there = root / "wandb" / path.relative_to(project.folder / "wandb")
                assert (there.read_bytes(), there.stat().st_mtime_ns) == (path.read_bytes(), path.stat().st_mtime_ns)


# Clocks.


@pytest.fixture
def skew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process whose clock is wrong, while its disk's is right."""
    library = get_from_archive(FAKE_CLOCK, tmp_path_factory)
    off = {
        "NO_FAKE_STAT": "1",
        "FAKE_STAT": "0",
        "FAKE_UTIME": "0",
        "FAKETIME_NO_CACHE": "1",
    }
    return {"LD_PRELOAD": str(library), "FAKETIME": str(request.param), **off}


@pytest.mark.slow
@pytest.mark.parametrize("skew", ["+2h", "-2h"], indirect=True)
def test_a_target_whose_clock_is_two_hours_off_gets_everything_once(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], skew: dict[str, str]
) -> None:
    project = make_project(start_sshd(environment=skew), options={"latest_only": False})
    write_project(project.folder)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)
    assert_end(sync(project), "nothing_to_do", 0)
    write_file(list_runs(project)[0] / "files/config.yaml", b"a: 2\n", mtime_ns=time.time_ns())
    said = sync(project)
    assert (said.end, said.n_sent) == (("done", 0), 1)
    assert_all_arrived(project)


@pytest.mark.slow
@pytest.mark.parametrize("skew", ["+2h", "-2h"], indirect=True)
def test_a_lock_that_was_just_made_is_never_old_by_a_wrong_clock(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], skew: dict[str, str]
) -> None:
    project = make_project(start_sshd(environment=skew), options={"latest_only": False})
    write_project(project.folder)
    holder = replace(make_holder("f" * 16, "2025-10-20T21:28:36+00:00"), host="login2.example.org", pid=4711)
    lock = write_file(
        project.target_sweeps / "outputs" / SWEEP / ".hsm-sync/lock",
        make_lock_content(holder),
        mtime_ns=time.time_ns(),
    )
    assert_end(sync(project), "locked", 11, "locked")
    assert lock.read_bytes() == make_lock_content(holder)
    assert_end(sync(project, "--break-lock"), "done", 0)
    assert_all_arrived(project)


@pytest.mark.slow
@pytest.mark.parametrize("skew", ["+2h"], indirect=True)
def test_a_source_whose_clock_is_two_hours_off_brings_the_same(make_project: MakeProject, skew: dict[str, str]) -> None:
    project = make_project(options={"latest_only": False})
    write_project(project.folder)
    assert_end(sync(project, env=skew), "done", 0)
    assert_all_arrived(project)
    assert_end(sync(project), "nothing_to_do", 0)
    assert_end(sync(project, env=skew), "nothing_to_do", 0)


# 5,000 runs.


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_thousand_runs_arrive_and_are_known_the_second_time(make_project: MakeProject) -> None:
    project = make_project(options={"latest_only": False})
    write_sweep_folder(project.folder)
    files = {"wandb-summary.json": b"{}"}
    for number in range(N_RUNS):
        write_run(project.folder / "wandb" / SWEEP / "wandb", f"r{number:05}", files=files)
    seconds: dict[str, float] = {}
    for name, end in {"first": ("done", 0), "second": ("nothing_to_do", 0)}.items():
        began = time.monotonic()
        said = sync(project, timeout=200)
        seconds[name] = time.monotonic() - began
        assert said.end == end, said.why
        assert (said.target["runs"]["total"], said.target["runs"]["complete"]) == (N_RUNS, N_RUNS)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"first {seconds['first']:.1f} s, second {seconds['second']:.1f} s, at most {most} MB")
    arrived = list_arrived(project)
    assert len(arrived) == 2 * N_RUNS + 1
    assert {path.stat().st_mtime_ns for path in arrived.values()} == {T}
    assert len({os.path.dirname(name) for name in arrived if name.endswith(".wandb")}) == N_RUNS  # noqa: PTH120 - text
    assert_nothing_left(project)
