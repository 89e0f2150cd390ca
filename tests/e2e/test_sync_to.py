"""`hsm sync to`, end to end: real wandb runs, a real sshd, a real rsync."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.conftest import RunHsm
    from tests.e2e.conftest import MakeProject, Project

FLAT = "sweep_20251020_212836"


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


def list_files(folder: Path) -> dict[str, os.stat_result]:
    return {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}


def list_results(project: Project) -> dict[str, os.stat_result]:
    """What lies at the target below its two folders, HSM's receipts left aside."""
    found = list_files(project.target_root) if project.target_root.exists() else {}
    return {name: state for name, state in found.items() if "/.hsm-sync/" not in name}


def read_document(completed: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(completed.stdout)
    assert document["exit_code"] == completed.returncode, completed.stderr
    return document


def sync(project: Project, *args: str, **options: Any) -> dict[str, Any]:
    """Run `hsm sync to ... --json` for one sweep and one target, and return the target's part."""
    document = read_document(project.hsm("sync", "to", *args, "--json", **options))
    assert document["error"] is None
    (sweep,) = document["sweeps"]
    (target,) = sweep["targets"]
    result: dict[str, Any] = target
    return result


def find_sweeps(project: Project) -> tuple[str, str]:
    flat, nested = sorted(path.name for path in (project.folder / "sweeps/outputs").iterdir())
    if (project.folder / "wandb" / flat).is_dir():
        flat, nested = nested, flat
    return flat, nested


def list_runs(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith(("run-", "offline-run-"))}


def assert_equal_files(source: Path, target: Path, names: set[str]) -> None:
    for name in names:
        assert (source / name).read_bytes() == (target / name).read_bytes(), name
        assert (source / name).stat().st_mtime_ns == (target / name).stat().st_mtime_ns, name


def test_exactly_the_right_runs_arrive_byte_for_byte(project: Project) -> None:
    flat, nested = find_sweeps(project)
    result = sync(project, flat, "--all-versions", real_start=True)
    source = project.folder / "wandb"
    runs = list_runs(source)
    assert list_runs(project.target_wandb) == runs
    assert len(runs) == 18
    assert (result["state"], result["runs"]["total"], result["runs"]["new"]) == ("done", 18, 18)
    assert (result["runs"]["finished"], result["runs"]["complete"]) == (15, 15)
    expected = {
        name
        for run in runs
        for name in (f"{run}/{path}" for path in list_files(source / run))
        if Path(name).name != "debug-core.log"
    }
    arrived = set(list_files(project.target_wandb))
    assert arrived == expected
    assert_equal_files(source, project.target_wandb, arrived)
    metadata = {path.name for path in (project.folder / "sweeps/outputs" / flat).iterdir() if path.is_file()}
    folder = project.target_sweeps / "outputs" / flat
    assert {path.name for path in folder.iterdir() if path.is_file()} == metadata
    assert_equal_files(project.folder / "sweeps/outputs" / flat, folder, metadata)
    assert not (project.target_sweeps / "outputs" / nested).exists()
    assert not list(project.target_root.rglob(".hsm-tmp"))
    assert not list(project.target_root.rglob(".hsm-partial"))
    assert result["files"]["sent"] == result["files"]["planned"] == len(arrived) + len(metadata)


@pytest.mark.slow
def test_runs_in_a_folder_of_the_sweep_arrive_beside_the_others(project: Project) -> None:
    flat, nested = find_sweeps(project)
    sync(project, flat)
    sync(project, nested)
    expected = list_runs(project.folder / "wandb") | list_runs(project.folder / "wandb" / nested / "wandb")
    assert list_runs(project.target_wandb) == expected
    assert len(expected) == 33


def test_the_second_call_sends_nothing_and_a_touched_file_goes_alone(project: Project) -> None:
    flat, _ = find_sweeps(project)
    sync(project, flat)
    before = list_results(project)
    project.sshd.clear_log()
    again = sync(project, flat)
    assert (again["state"], again["files"]["planned"], again["exit_code"]) == ("nothing_to_do", 0, 0)
    assert again["runs"]["unchanged"] == 18
    assert not any("rsync" in command and "--server" in command for command in project.sshd.read_commands()[-1:])
    after = list_results(project)
    assert {name: state.st_ino for name, state in after.items()} == {
        name: state.st_ino for name, state in before.items()
    }
    run = sorted(list_runs(project.folder / "wandb"))[0]
    log = next((project.folder / "wandb" / run).glob("*.wandb"))
    os.utime(log)
    third = sync(project, flat)
    assert (third["state"], third["files"]["sent"], third["runs"]["updated"]) == ("done", 1, 1)
    changed = {name for name, state in list_results(project).items() if before[name].st_ino != state.st_ino}
    assert changed == {f"wandb/{run}/{log.name}"}


@pytest.mark.slow
def test_a_whole_sync_is_one_login(make_project: MakeProject) -> None:
    project = make_project(real=True, options={"parallel_transfers": 4})
    flat, _ = find_sweeps(project)
    for number in range(6):
        run = project.folder / "wandb" / sorted(list_runs(project.folder / "wandb"))[number]
        (run / "files" / "big.bin").write_bytes(os.urandom(16_000_000))
    result = sync(project, flat)
    commands = project.sshd.read_commands()
    assert result["state"] == "done"
    assert 2 <= sum("rsync" in command and "--server" in command for command in commands) <= 4  # one a folder at least
    assert project.sshd.count_logins() == 1


def test_the_planned_files_are_the_sent_files_and_a_dry_run_touches_nothing(project: Project) -> None:
    flat, _ = find_sweeps(project)
    source_before = list_files(project.folder)
    planned = sync(project, flat, "--dry-run")
    assert planned["state"] == "planned"
    assert not project.target_root.exists()
    here = {name for name in list_files(project.folder) if not name.startswith(".hsm/")}
    assert here == {name for name in source_before if not name.startswith(".hsm/")}
    sent = sync(project, flat, "-v")
    names = {(item["root"], item["path"]) for item in planned["plan"] if item["action"] == "send"}
    arrived = {(item["root"], item["path"]) for item in sent["plan"] if item["outcome"] == "sent"}
    assert names == arrived
    assert planned["files"]["planned"] == sent["files"]["sent"] == len(names)
    on_disk = {tuple(name.split("/", 1)) for name in list_results(project)}
    assert on_disk == names


def test_superseded_media_stay_unless_asked_for(project: Project) -> None:
    flat, _ = find_sweeps(project)
    latest = sync(project, flat)
    every = sync(project, flat, "--all-versions")
    assert latest["files"]["superseded"] > 0
    assert every["files"]["sent"] == latest["files"]["superseded"]


@parametrize(
    ("option", "present"), [("--sweep-only", "sweeps"), ("--wandb-only", "wandb")], quick=[("--sweep-only", "sweeps")]
)
def test_one_of_the_two_folders_alone(project: Project, option: str, present: str) -> None:
    flat, _ = find_sweeps(project)
    sync(project, flat, option)
    assert {name.split("/")[0] for name in list_results(project)} == {present}
    assert len(list(project.target_sweeps.glob("outputs/*/.hsm-sync/receipt-*.json"))) == 1


@pytest.mark.slow
def test_run_is_the_long_name_and_prefixes_and_latest_work(project: Project) -> None:
    flat, nested = find_sweeps(project)
    newest = max(flat, nested)
    document = read_document(project.hsm("sync", "run", "latest", "--dry-run", "--json"))
    assert [sweep["sweep"] for sweep in document["sweeps"]] == [newest]
    both = read_document(project.hsm("sync", "to", flat, nested, "--json"))
    assert [sweep["sweep"] for sweep in both["sweeps"]] == [flat, nested]
    assert both["command"] == "sync to"
    assert project.sshd.count_logins() == 1


def test_what_is_newer_at_the_target_is_kept_until_overwritten(project: Project) -> None:
    flat, _ = find_sweeps(project)
    sync(project, flat)
    run = sorted(list_runs(project.folder / "wandb"))[0]
    theirs = next((project.target_wandb / run / "files").iterdir())
    theirs.write_text("written at the target")
    kept = sync(project, flat)
    assert (kept["state"], kept["exit_code"], kept["files"]["conflict"]) == ("partial", 1, 1)
    assert theirs.read_text() == "written at the target"
    assert kept["problems"][0]["path"] == f"{run}/files/{theirs.name}"
    forced = sync(project, flat, "--overwrite")
    assert (forced["state"], forced["files"]["sent"]) == ("done", 1)
    assert theirs.read_bytes() == (project.folder / "wandb" / run / "files" / theirs.name).read_bytes()


@pytest.mark.slow
def test_without_the_comparison_newer_files_are_still_kept(make_project: MakeProject) -> None:
    project = make_project(real=True, options={"check_remote_first": False})
    flat, _ = find_sweeps(project)
    sync(project, flat)
    run = sorted(list_runs(project.folder / "wandb"))[0]
    theirs = next((project.target_wandb / run / "files").iterdir())
    theirs.write_text("written at the target")
    again = sync(project, flat)
    assert theirs.read_text() == "written at the target"
    assert again["files"]["conflict"] == 1


@pytest.mark.slow
def test_a_sweep_folder_that_vanished_after_a_sync_is_missed_not_unknown(project: Project) -> None:
    flat, _ = find_sweeps(project)
    sync(project, flat)
    (project.folder / "sweeps/outputs" / flat).rename(project.folder / "away")
    refused = sync(project, flat)
    assert (refused["state"], refused["exit_code"], refused["error"]["kind"]) == ("refused", 12, "source-empty")
    runs_alone = sync(project, flat, "--wandb-only")
    assert (runs_alone["state"], runs_alone["runs"]["total"]) == ("nothing_to_do", 18)


@parametrize(("named", "kind"), [(True, "source_missing"), (False, "no_runs")], quick=[(True, "source_missing")])
def test_a_source_folder_of_runs_that_is_missing_is_said(project: Project, named: bool, kind: str) -> None:
    flat, _ = find_sweeps(project)
    (project.folder / "wandb").rename(project.folder / "elsewhere")
    if named:
        project.write_config({**project.read_config(), "source": {"wandb": "wandb"}})
    result = sync(project, flat)
    assert (result["exit_code"], [problem["kind"] for problem in result["problems"]]) == (1, [kind])


@pytest.mark.slow
def test_a_journal_of_a_newer_version_is_left_alone(project: Project) -> None:
    flat, _ = find_sweeps(project)
    sync(project, flat)
    journal = project.folder / ".hsm/sync/desktop" / f"{flat}.json"
    journal.write_text(json.dumps({**json.loads(journal.read_text()), "schema": 99}))
    before = journal.read_bytes()
    refused = sync(project, flat)
    assert (refused["exit_code"], refused["error"]["kind"]) == (2, "newer_schema")
    assert journal.read_bytes() == before


def test_several_targets_are_served_each_with_its_own_outcome(project: Project) -> None:
    flat, _ = find_sweeps(project)
    config = project.read_config()
    alive = config["sync_targets"]["desktop"]
    root = project.target_root.parent
    backup = {**alive, "paths": {"sweeps": str(root / "b/sweeps"), "wandb": str(root / "b/wandb")}}
    dead = {**alive, "port": 1}
    project.write_config(
        {
            "default_target": ["desktop", "backup", "dead"],
            "sync_targets": {"desktop": alive, "backup": backup, "dead": dead},
        }
    )
    document = read_document(project.hsm("sync", "to", flat, "--json"))
    (sweep,) = document["sweeps"]
    outcome = {target["name"]: (target["state"], target["exit_code"]) for target in sweep["targets"]}
    assert outcome == {"desktop": ("done", 0), "backup": ("done", 0), "dead": ("unreachable", 10)}
    assert document["exit_code"] == 1
    assert sweep["targets"][2]["error"]["kind"] == "connection_refused"
    assert list_runs(project.target_wandb) == list_runs(root / "b/wandb")


def test_an_alias_of_the_users_ssh_configuration_is_enough(make_project: MakeProject) -> None:
    project = make_project(real=True, style="alias")
    flat, _ = find_sweeps(project)
    assert sync(project, flat)["state"] == "done"


def test_a_symlinked_root_is_followed_and_anything_below_is_not(project: Project, tmp_path: Path) -> None:
    flat, _ = find_sweeps(project)
    elsewhere = tmp_path / "big disk"
    elsewhere.mkdir()
    project.target_root.mkdir(parents=True)
    project.target_wandb.symlink_to(elsewhere)
    outside = tmp_path / "outside"
    outside.mkdir()
    run = sorted(list_runs(project.folder / "wandb"))[0]
    (elsewhere / run).symlink_to(outside)
    result = sync(project, flat)
    assert (result["state"], result["exit_code"]) == ("partial", 1)
    assert list(outside.iterdir()) == []
    assert len(list_runs(elsewhere)) == 18
    assert [problem["kind"] for problem in result["problems"]] == ["type_conflict"]


def test_a_plain_run_prints_a_summary_and_quiet_prints_nothing(project: Project) -> None:
    flat, _ = find_sweeps(project)
    loud = project.hsm("sync", "to", flat)
    assert loud.returncode == 0
    assert "18 runs" in loud.stdout
    assert "desktop" in loud.stderr
    quiet = project.hsm("sync", "to", flat, "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_a_missing_rsync_is_told_by_the_end_that_lacks_it(
    make_project: MakeProject, start_sshd: Any, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in Path("/usr/bin").iterdir():
        if name.name != "rsync":
            (tools / name.name).symlink_to(name)
    server = start_sshd(environment={"PATH": str(tools)})
    project = make_project(server, real=True)
    project.set_target(engine="rsync")
    flat, _ = find_sweeps(project)
    there = sync(project, flat)
    assert (there["state"], there["error"]["kind"]) == ("failed", "rsync_missing")
    here = read_document(project.hsm("sync", "to", flat, "--json", env={"PATH": str(tools)}))
    assert here["sweeps"][0]["targets"][0]["error"]["kind"] == "rsync_missing_here"
    assert not project.target_root.exists()


@parametrize(
    ("args", "kind", "words"),
    [
        (["sync", "to", "nope"], "unknown_sweep", "hsm sync"),
        (["sync", "to", "a/b"], None, "a/b"),
        (["sync", "to", ".."], None, ".."),
        (["sync", "to", FLAT, "--sweep-only", "--wandb-only"], "usage", "--sweep-only"),
        (["sync", "to", FLAT, "--target", "nowhere"], None, "Unknown sync target 'nowhere'"),
        (["sync", "to", FLAT, "--allow", "everything"], "usage", "everything"),
        (["sync", "to", FLAT, "--bogus"], "usage", "--bogus"),
    ],
    quick=[
        (["sync", "to", "nope"], "unknown_sweep", "hsm sync"),
        (["sync", "to", FLAT, "--bogus"], "usage", "--bogus"),
    ],
)
def test_bad_input_is_an_error_with_code_2_and_touches_nothing(
    project: Project, args: list[str], kind: str | None, words: str
) -> None:
    """A login that was begun early, for a target that is meant, is all that may have happened."""
    plain = project.hsm(*args)
    assert plain.returncode == 2
    assert words in plain.stderr
    document = read_document(project.hsm(*args, "--json"))
    assert (document["exit_code"], document["sweeps"], document["schema"]) == (2, [], 1)
    assert kind is None or document["error"]["kind"] == kind
    assert set(project.sshd.read_commands()) <= {"exec /bin/sh"}
    assert project.sshd.count_logins() <= 1
    assert not project.target_root.exists()


def test_no_configuration_names_the_next_command(tmp_path: Path, hsm: RunHsm) -> None:
    completed = hsm("sync", "to", "x", cwd=tmp_path)
    assert completed.returncode == 2
    assert "No sync configuration found" in completed.stderr
    assert "hsm sync init" in completed.stderr


def test_init_writes_a_configuration_that_loads_and_never_overwrites(tmp_path: Path, hsm: RunHsm) -> None:
    folder = tmp_path / "My Project"
    folder.mkdir()
    assert hsm("sync", "init", cwd=folder).returncode == 0
    listed = json.loads(hsm("sync", "list", "--json", cwd=folder).stdout)
    assert "My Project" in listed["sync_targets"]["hpc"]["paths"]["wandb"]
    path = folder / ".hsm/sync_config.yaml"
    path.write_text("mine")
    assert hsm("sync", "init", cwd=folder).returncode == 2
    assert path.read_text() == "mine"
    assert hsm("sync", "init", "--force", "--project-name", "Other", cwd=folder).returncode == 0
    assert "Other" in path.read_text()
    assert (folder / ".hsm/.gitignore").read_text().splitlines()[-3:] == ["cache/", "sync/", "project.json"]
    assert hsm("sync", "list", cwd=folder).returncode == 0


@pytest.mark.slow
def test_login_and_logout_open_and_close_the_shared_login(project: Project) -> None:
    assert project.hsm("sync", "login", "desktop").returncode == 0
    flat, _ = find_sweeps(project)
    sync(project, flat, "--dry-run")
    assert project.sshd.count_logins() == 1
    assert "Logged out" in project.hsm("sync", "logout").stdout
    assert "no open login" in project.hsm("sync", "logout", "desktop").stdout
    sync(project, flat, "--dry-run")
    assert project.sshd.count_logins() == 2


@parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], quick=[signal.SIGINT])
def test_a_signal_ends_the_workers_gives_the_lock_back_and_keeps_the_login(
    project: Project, number: signal.Signals
) -> None:
    flat, _ = find_sweeps(project)
    slow = project.folder / "slow-rsync"
    slow.write_text('#!/bin/sh\n[ "$1" = --version ] || sleep 20\nexec rsync "$@"\n')
    slow.chmod(0o755)
    project.set_target(rsync_path=str(slow))
    argv = [sys.executable, "-m", "hsm", "sync", "to", flat]
    wake = "import os, signal, sys; signal.signal(int(sys.argv[1]), 0); os.execv(sys.argv[2], sys.argv[2:])"
    argv = [sys.executable, "-c", wake, str(int(number)), *argv]  # under nohup a hang-up would stay ignored
    with subprocess.Popen(argv, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as hsm:
        assert hsm.stderr is not None
        for line in hsm.stderr:
            if "transfer started" in line:
                break
        hsm.send_signal(number)
        stdout, _ = hsm.communicate(timeout=30)
    assert hsm.returncode == 130
    assert "interrupted" in stdout
    folder = project.target_sweeps / "outputs" / flat / ".hsm-sync"
    deadline = time.monotonic() + 10  # the program there says that it has released, and then tidies up
    while (names := [path.name.split("-")[0] for path in folder.iterdir()]) != ["receipt"]:
        assert time.monotonic() < deadline, names
        time.sleep(0.02)
    project.set_target(rsync_path="rsync")
    assert sync(project, flat)["exit_code"] == 0
    assert project.sshd.count_logins() == 1
