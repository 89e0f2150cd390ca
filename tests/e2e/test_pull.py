"""`hsm sync from`, end to end: real wandb runs at the far side, a real sshd, a real rsync."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.records.lock import make_holder, make_lock_content
from tests.conftest import FLAT_SWEEP, NESTED_SWEEP
from tests.e2e.aftermath import SWEEP
from tests.e2e.pull_project import Desktop, make_desktop
from tests.e2e.synthetic import write_file, write_project, write_sweep_folder
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def desktop(tmp_path: Path, sshd: PrivateSshd, hsm: RunHsm) -> Desktop:
    """Return an empty project here, and an empty one at the far side."""
    return make_desktop(tmp_path, sshd, hsm)


@pytest.fixture
def real(desktop: Desktop, copy_project: Callable[[Path], Path]) -> Desktop:
    """Return an empty project here; the far one holds the real runs."""
    copy_project(desktop.far)
    return desktop


def assert_same(there: Path, here: Path) -> None:
    assert here.read_bytes() == there.read_bytes(), here
    assert here.stat().st_mtime_ns == there.stat().st_mtime_ns, here


def test_exactly_the_runs_of_the_sweep_come_byte_for_byte(real: Desktop) -> None:
    result = real.pull(FLAT_SWEEP, "--all-versions")
    assert (result["state"], result["runs"]["total"], result["runs"]["complete"]) == ("done", 18, 15)
    there = {path.name for path in (real.far / "wandb").glob("offline-run-*")}
    assert {path.name for path in real.wandb.iterdir()} == there
    arrived = [path for path in real.wandb.rglob("*") if path.is_file()]
    assert result["files"]["sent"] == result["files"]["planned"] > len(arrived)
    for path in arrived:
        assert_same(real.far / "wandb" / path.relative_to(real.wandb), path)
    for path in (real.far / "sweeps/outputs" / FLAT_SWEEP).iterdir():
        if path.is_file():
            assert_same(path, real.sweeps / "outputs" / FLAT_SWEEP / path.name)
    assert not (real.sweeps / "outputs" / NESTED_SWEEP).exists()
    assert not list(real.here.rglob(".hsm-tmp"))
    assert not list(real.here.rglob(".hsm-partial"))


def spoil_logs(wandb: Path) -> None:
    """Write something else into every log, with its size and its time: who reads one again sees no run in it."""
    for log in wandb.rglob("*.wandb"):
        state = log.stat()
        log.write_bytes(b"x" * state.st_size)
        os.utime(log, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_the_second_pull_sends_nothing_and_reads_no_log(real: Desktop) -> None:
    real.pull(FLAT_SWEEP)
    spoil_logs(real.far / "wandb")
    real.sshd.clear_log()
    again = real.pull(FLAT_SWEEP)
    assert (again["state"], again["files"]["planned"], again["runs"]["unchanged"]) == ("nothing_to_do", 0, 18)
    assert not [command for command in real.sshd.read_commands() if "rsync --server" in command]
    (real.here / ".hsm/cache/runs-hpc.json").unlink()
    assert real.pull(FLAT_SWEEP)["state"] != "nothing_to_do"


@parametrize("words", [["latest"], ["sweep_20251021"], [NESTED_SWEEP, "latest"]], quick=[["latest"]])
def test_words_mean_the_sweeps_there(real: Desktop, words: list[str]) -> None:
    assert real.pull(*words, "--dry-run")["runs"]["total"] == 15


def test_a_sweep_that_is_not_there_is_unknown(real: Desktop) -> None:
    write_sweep_folder(real.here, "sweep_of_here")
    document = real.read("sync", "from", "sweep_of_here")
    assert (document["exit_code"], document["error"]["kind"]) == (2, "unknown_sweep")
    assert "at hpc" in document["error"]["message"]
    assert "hsm sync from" in document["error"]["hint"]


@pytest.mark.slow
def test_a_sweep_that_one_of_two_targets_lacks_comes_from_the_other(real: Desktop, tmp_path: Path) -> None:
    real.add_target("lab", tmp_path / "lab")
    document = real.read("sync", "from", FLAT_SWEEP, "-t", "lab", "-t", "hpc")
    (sweep,) = document["sweeps"]
    ends = {
        target["name"]: (target["state"], target["error"] and target["error"]["kind"]) for target in sweep["targets"]
    }
    assert ends == {"lab": ("failed", "unknown_sweep"), "hpc": ("done", None)}
    assert document["exit_code"] == 1


def test_a_dry_run_plans_the_same_and_touches_nothing(real: Desktop) -> None:
    planned = real.pull(FLAT_SWEEP, "--dry-run")
    assert {path.name for path in real.here.rglob("*")} == {".hsm", "sync_config.yaml"}
    assert not [path for path in real.far.rglob("*") if ".hsm" in path.name]
    sent = real.pull(FLAT_SWEEP, "-v")
    names = {(item["root"], item["path"]) for item in planned["plan"] if item["action"] == "send"}
    assert {(item["root"], item["path"]) for item in sent["plan"] if item["outcome"] == "sent"} == names
    assert (planned["state"], planned["files"]["planned"]) == ("planned", len(names))


@parametrize(
    ("option", "present"), [("--sweep-only", "sweeps"), ("--wandb-only", "wandb")], quick=[("--wandb-only", "wandb")]
)
def test_one_of_the_two_folders_alone(real: Desktop, option: str, present: str) -> None:
    assert real.pull(FLAT_SWEEP, option)["state"] == "done"
    arrived = {path.relative_to(real.here).parts[0] for path in real.here.rglob("*") if path.is_file()}
    results = [path for path in (real.sweeps / "outputs").rglob("*") if path.is_file() and ".hsm-" not in str(path)]
    assert present in arrived
    assert bool(results) is (present == "sweeps")
    assert real.wandb.exists() is (present == "wandb")


@pytest.mark.slow
def test_superseded_media_stay_there_unless_asked_for(real: Desktop) -> None:
    latest = real.pull(FLAT_SWEEP)
    assert latest["files"]["superseded"] > 0
    assert real.pull(FLAT_SWEEP, "--all-versions")["files"]["sent"] == latest["files"]["superseded"]


@pytest.mark.slow
def test_a_target_whose_folders_are_missing_is_an_error(real: Desktop) -> None:
    (real.far / "wandb").rename(real.far / "away")
    result = real.pull(FLAT_SWEEP)
    assert (result["state"], result["exit_code"], result["error"]["kind"]) == ("failed", 1, "source_missing")
    assert str(real.far / "wandb") in result["error"]["message"]
    assert not real.sweeps.exists()
    assert real.pull(FLAT_SWEEP, "--sweep-only")["state"] == "done"


@pytest.mark.slow
def test_a_sweep_that_vanished_there_is_missed(real: Desktop) -> None:
    real.pull(FLAT_SWEEP)
    before = sorted(real.wandb.rglob("*"))
    (real.far / "sweeps/outputs" / FLAT_SWEEP).rename(real.far / "away")
    for run in (real.far / "wandb").glob("offline-run-*"):
        shutil.rmtree(run)
    refused = real.pull(FLAT_SWEEP)
    assert (refused["state"], refused["exit_code"], refused["error"]["kind"]) == ("refused", 12, "source-empty")
    assert sorted(real.wandb.rglob("*")) == before
    assert real.pull(FLAT_SWEEP, "--allow", "source-empty")["exit_code"] == 0


def test_the_options_and_the_folders_of_the_configuration_count(real: Desktop) -> None:
    real.targets["hpc"]["options"] = {"max_depth": None, "exclude": ["*.csv"], "sync_wandb_runs": False}
    config = real.write_config(source={"sweeps": "results", "wandb": "elsewhere/wandb"})
    result = real.pull(FLAT_SWEEP)
    folder = real.here / "results/outputs" / FLAT_SWEEP
    assert result["state"] == "done"
    assert {path.name for path in folder.iterdir()} == {
        ".hsm-sync",
        "logs",
        "parameter_combinations.json",
        "sweep_config.yaml",
    }
    assert len(list((folder / "logs").iterdir())) == 18
    assert not (real.here / "elsewhere").exists()
    assert config.exists()


@pytest.mark.slow
def test_paths_below_the_home_folder_there_work(real: Desktop) -> None:
    home = Path(real.sshd.home)
    (home / "project").symlink_to(real.far)
    real.targets["hpc"]["paths"] = {"sweeps": "~/project/sweeps", "wandb": "~/project/wandb"}
    real.write_config()
    result = real.pull(FLAT_SWEEP)
    assert (result["state"], result["runs"]["total"]) == ("done", 18)
    assert real.pull(FLAT_SWEEP)["state"] == "nothing_to_do"


def test_journal_and_receipt_are_written_here(real: Desktop) -> None:
    (real.far / ".hsm").mkdir()
    (real.far / ".hsm/project.json").write_text('{"schema": 1, "source_id": "00112233445566ff"}')
    real.pull(FLAT_SWEEP, "--all-versions")
    journal = json.loads((real.here / f".hsm/sync/hpc/{FLAT_SWEEP}.json").read_bytes())
    receipt_path = real.sweeps / f"outputs/{FLAT_SWEEP}/.hsm-sync/receipt-00112233445566ff.json"
    receipt = json.loads(receipt_path.read_bytes())
    assert (journal["route"]["direction"], len(journal["runs"])) == ("pull", 19)
    assert receipt["source"] == {"id": "00112233445566ff", "host": real.sshd.host, "path": str(real.far)}
    assert sum(run["is_complete"] for run in receipt["runs"].values()) == 15
    assert {path.name for path in receipt_path.parent.iterdir()} == {receipt_path.name}


@pytest.mark.slow
def test_a_lock_that_is_held_here_stops_a_pull(real: Desktop) -> None:
    real.pull(FLAT_SWEEP)
    folder = real.sweeps / "outputs" / FLAT_SWEEP / ".hsm-sync"
    holder = make_holder("0" * 16, "2026-01-01T00:00:00+00:00")
    (folder / "lock").write_bytes(make_lock_content(holder))
    write_file(real.far / "sweeps/outputs" / FLAT_SWEEP / "new.txt", b"new")
    held = real.pull(FLAT_SWEEP)
    assert (held["state"], held["exit_code"]) == ("locked", 11)
    assert "to this project" in held["error"]["message"]
    assert real.pull(FLAT_SWEEP, "--break-lock")["files"]["sent"] == 1


@pytest.mark.slow
def test_a_pull_that_is_killed_goes_on_from_there(desktop: Desktop) -> None:
    """Also where what it was bringing has grown since: what it left here is known as this target's."""
    write_project(desktop.far, n_runs=2)
    slow = desktop.here.parent / "slow-rsync"
    slow.write_text('#!/bin/sh\ncase $1 in --version) ;; *) sleep 30 ;; esac\nexec rsync "$@"\n')
    slow.chmod(0o755)
    log = desktop.far / "wandb/run-20251020_212836-r0000/run-r0000.wandb"
    mine = desktop.wandb / log.parent.name / log.name
    desktop.targets["hpc"]["rsync_path"] = str(slow)
    desktop.write_config()
    argv = [sys.executable, "-m", "hsm", "sync", "from", SWEEP, "--json"]
    with subprocess.Popen(argv, cwd=desktop.here, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        wait_for((desktop.here / f".hsm/sync/hpc/pulled/{SWEEP}.json").exists)
        os.killpg(process.pid, signal.SIGKILL)
    write_file(mine, log.read_bytes()[:-5])  # what another kill would have left: an earlier state, under its name
    del desktop.targets["hpc"]["rsync_path"]
    desktop.write_config()
    result = desktop.pull(SWEEP)
    assert (result["state"], result["files"]["conflict"]) == ("done", 0)
    assert mine.read_bytes() == log.read_bytes()


def wait_for(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_ctrl_c_ends_a_pull_with_130_and_the_next_call_goes_on(desktop: Desktop) -> None:
    write_project(desktop.far, n_runs=2)
    slow = desktop.here.parent / "slow-rsync"
    slow.write_text('#!/bin/sh\ncase $1 in --version) ;; *) sleep 30 ;; esac\nexec rsync "$@"\n')
    slow.chmod(0o755)
    desktop.targets["hpc"]["rsync_path"] = str(slow)
    desktop.write_config()
    argv = [sys.executable, "-m", "hsm", "sync", "from", SWEEP, "--json"]
    with subprocess.Popen(argv, cwd=desktop.here, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for((desktop.here / f".hsm/sync/hpc/pulled/{SWEEP}.json").exists)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    document = json.loads(output)
    assert (process.returncode, document["sweeps"][0]["targets"][0]["state"]) == (130, "interrupted")
    assert not list((desktop.sweeps / "outputs" / SWEEP / ".hsm-sync").glob("lock*"))
    del desktop.targets["hpc"]["rsync_path"]
    desktop.write_config()
    assert desktop.pull(SWEEP)["state"] == "done"


@pytest.mark.slow
def test_the_words_of_the_report_fit_a_pull(real: Desktop) -> None:
    preview = real.hsm("sync", "from", FLAT_SWEEP, "--dry-run")
    assert "The same command without --dry-run brings it." in preview.stdout
    first = real.hsm("sync", "from", FLAT_SWEEP)
    assert (first.returncode, f"{FLAT_SWEEP} from hpc" in first.stdout) == (0, True)
    again = real.hsm("sync", "from", FLAT_SWEEP)
    assert "nothing to do: 18 runs are here already" in again.stdout
    quiet = real.hsm("sync", "from", FLAT_SWEEP, "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.slow
def test_a_folder_of_this_machine_can_be_the_source(real: Desktop) -> None:
    real.targets["hpc"] = {"paths": real.targets["hpc"]["paths"]}
    real.write_config()
    result = real.pull(FLAT_SWEEP)
    assert (result["state"], result["runs"]["total"]) == ("done", 18)
    assert real.pull(FLAT_SWEEP)["state"] == "nothing_to_do"
    assert real.sshd.count_logins() == 0


@pytest.mark.slow
def test_the_sweeps_there_are_listed_by_state_size_and_newest_change(real: Desktop) -> None:
    document = real.read("sync", "list", "--sweeps", "--target", "hpc")
    (place,) = document["places"]
    flat, nested = place["sweeps"]
    states = {"finished": 15, "failed": 0, "running": 0, "unknown": 3}
    assert (place["name"], flat["sweep"], flat["runs"]) == ("hpc", FLAT_SWEEP, {"total": 18, **states})
    assert (nested["sweep"], nested["runs"]["total"], nested["runs"]["finished"]) == (NESTED_SWEEP, 15, 15)
    runs = [path for path in (real.far / "wandb" / NESTED_SWEEP).rglob("*") if path.is_file() and not path.is_symlink()]
    folder = [path for path in (real.far / "sweeps/outputs" / NESTED_SWEEP).rglob("*") if path.is_file()]
    assert (nested["files"], nested["bytes"]) == (
        len(runs) + len(folder),
        sum(path.stat().st_size for path in [*runs, *folder]),
    )
    plain = real.hsm("sync", "list", "--sweeps", "-t", "hpc")
    assert plain.returncode == 0
    assert FLAT_SWEEP in plain.stdout
    assert "15 finished, 3 unknown" in plain.stdout
    assert real.read("sync", "list", "--sweeps")["places"][0]["sweeps"] == []
    real.pull(FLAT_SWEEP)
    (here,) = real.read("sync", "list", "--sweeps")["places"][0]["sweeps"]
    assert (here["sweep"], here["runs"]) == (FLAT_SWEEP, {"total": 18, **states})
    spoil_logs(real.far / "wandb")
    assert real.read("sync", "list", "--sweeps", "--target", "hpc") == document


@pytest.mark.slow
def test_a_place_that_cannot_be_listed_is_named_beside_the_others(real: Desktop, tmp_path: Path) -> None:
    lab = real.add_target("lab", tmp_path / "lab")
    shutil.rmtree(lab)
    document = real.read("sync", "list", "--sweeps", "-t", "lab", "-t", "hpc")
    kinds = [place["error"] and place["error"]["kind"] for place in document["places"]]
    assert (document["exit_code"], kinds) == (1, ["source_missing", None])
    assert len(document["places"][1]["sweeps"]) == 2


@pytest.mark.slow
def test_a_log_that_grows_all_the_while_is_never_a_conflict(desktop: Desktop) -> None:
    write_project(desktop.far, n_runs=2)
    log = desktop.far / "wandb/run-20251020_212836-r0000/run-r0000.wandb"
    is_over = threading.Event()

    def grow() -> None:
        while not is_over.wait(0.01):
            with log.open("ab") as stream:
                stream.write(b"x" * 100)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        end = desktop.pull(SWEEP)
    finally:
        is_over.set()
        writer.join()
    assert (end["files"]["conflict"], end["files"]["unsettled"], end["exit_code"]) == (0, 1, 1)
    last = desktop.pull(SWEEP)
    assert (last["state"], last["files"]["sent"]) == ("done", 1)
    assert (desktop.wandb / log.parent.name / log.name).read_bytes() == log.read_bytes()
