"""`hsm sync status`: where sweeps stand, on the machine that sends and on the one that receives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import FLAT_SWEEP, NESTED_SWEEP, RunHsm

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeProject, Project

COUNTS = ("total", "complete", "sent", "pending", "unsettled")


def read_status(project: Project, *args: str, exit_code: int, **options: Any) -> list[dict[str, Any]]:
    """The sweeps of the document."""
    return parse_status(project.hsm("sync", "status", "--json", *args, **options), exit_code=exit_code)


def parse_status(answer: Any, *, exit_code: int) -> list[dict[str, Any]]:
    document = json.loads(answer.stdout)
    assert (answer.returncode, document["exit_code"], document["error"]) == (exit_code, exit_code, None), answer.stdout
    sweeps: list[dict[str, Any]] = document["sweeps"]
    return sweeps


def count(row: dict[str, Any]) -> tuple[int, ...]:
    return tuple(row["runs"][name] for name in COUNTS)


def sync(project: Project, *args: str, exit_code: int = 0) -> None:
    answer = project.hsm("sync", "to", *args, "-q")
    assert answer.returncode == exit_code, answer.stdout + answer.stderr


def test_a_sweep_is_pending_then_complete_then_pending_again(project: Project) -> None:
    (sweep,) = read_status(project, NESTED_SWEEP, exit_code=1)
    (row,) = sweep["targets"]
    assert (count(row), row["sweep_folder"], row["updated_ns"]) == ((15, 0, 0, 15, 0), "pending", 0)

    sync(project, NESTED_SWEEP)
    (sweep,) = read_status(project, NESTED_SWEEP, exit_code=0)
    (row,) = sweep["targets"]
    assert (count(row), row["sweep_folder"], row["bytes"]["pending"]) == ((15, 15, 0, 0, 0), "complete", 0)
    assert row["bytes"]["proven"] == sum(
        path.stat().st_size
        for root in (project.target_sweeps, project.target_wandb)
        for path in root.rglob("*")
        if path.is_file() and ".hsm-" not in str(path.relative_to(root))
    )
    assert row["updated_ns"] > 10**18
    assert (row["complete"], row["whole"], row["last_error"]) == (True, False, "")

    log = next((project.folder / "wandb" / NESTED_SWEEP).rglob("*.wandb"))
    log.write_bytes(log.read_bytes() + b"more")
    (sweep,) = read_status(project, NESTED_SWEEP, exit_code=1)
    assert count(sweep["targets"][0]) == (15, 14, 0, 1, 0)


@pytest.mark.slow
def test_runs_that_died_are_sent_and_not_complete(project: Project) -> None:
    sync(project, FLAT_SWEEP)
    (sweep,) = read_status(project, FLAT_SWEEP, exit_code=1)
    assert count(sweep["targets"][0]) == (18, 15, 3, 0, 0)
    shown = project.hsm("sync", "status", FLAT_SWEEP, "-v")
    killed = [
        name
        for name, record in json.loads((project.folder / f".hsm/sync/desktop/{FLAT_SWEEP}.json").read_text())[
            "runs"
        ].items()
        if name and not record["is_complete"]
    ]
    assert (shown.returncode, len(killed)) == (1, 3)
    assert all(name in shown.stdout for name in killed)


@pytest.mark.slow
def test_all_versions_are_whole_where_nothing_else_is_left(project: Project) -> None:
    project.set_options(max_depth=None)
    sync(project, NESTED_SWEEP, "--all-versions")
    (sweep,) = read_status(project, NESTED_SWEEP, exit_code=0)
    assert sweep["targets"][0]["whole"] is True


@pytest.mark.slow
def test_a_conflict_leaves_its_run_unsettled(project: Project) -> None:
    sync(project, NESTED_SWEEP)
    there = next(project.target_wandb.glob("offline-run-*/files/requirements.txt"))
    there.write_text("other")
    sync(project, NESTED_SWEEP, exit_code=1)
    (sweep,) = read_status(project, NESTED_SWEEP, exit_code=1)
    assert count(sweep["targets"][0]) == (15, 14, 0, 0, 1)


@pytest.mark.slow
def test_it_asks_nobody_and_needs_no_network(project: Project) -> None:
    sync(project, NESTED_SWEEP)
    project.hsm("sync", "logout")
    project.sshd.stop()
    (sweep,) = read_status(project, NESTED_SWEEP, exit_code=0, env={"PATH": ""})
    assert sweep["targets"][0]["asked"] is None
    asked = project.hsm("sync", "status", NESTED_SWEEP, "--check", "--json", "-q")
    (sweep,) = parse_status(asked, exit_code=1)
    assert sweep["targets"][0]["asked"]["error"]["kind"] == "connection_refused"


@pytest.mark.slow
def test_the_last_error_is_shown_until_it_goes_well(project: Project) -> None:
    sync(project, NESTED_SWEEP)
    shutil.rmtree(project.folder / "wandb" / NESTED_SWEEP)
    sync(project, NESTED_SWEEP, "--wandb-only", exit_code=12)
    shown = project.hsm("sync", "status", NESTED_SWEEP)
    assert "last error: The source has nothing" in shown.stdout


def test_check_finds_what_was_lost_there(project: Project) -> None:
    sync(project, NESTED_SWEEP)
    (sweep,) = read_status(project, NESTED_SWEEP, "--check", exit_code=0)
    assert sweep["targets"][0]["asked"]["runs_complete"] == 15
    lost = next(project.target_wandb.glob("offline-run-*/files/requirements.txt"))
    n_bytes = lost.stat().st_size
    lost.unlink()
    read_status(project, NESTED_SWEEP, exit_code=0)
    (sweep,) = read_status(project, NESTED_SWEEP, "--check", exit_code=1)
    asked = sweep["targets"][0]["asked"]
    assert (asked["files"], asked["bytes"], asked["runs_complete"]) == (1, n_bytes, 14)
    assert not lost.exists()


@pytest.mark.slow
def test_all_sweeps_and_targets_are_shown(project: Project) -> None:
    sync(project, NESTED_SWEEP)
    sweeps = read_status(project, exit_code=1)
    assert [(sweep["sweep"], sweep["complete"]) for sweep in sweeps] == [(FLAT_SWEEP, False), (NESTED_SWEEP, True)]
    shown = project.hsm("sync", "status")
    assert (shown.returncode, "1 of 2 sweeps complete" in shown.stdout) == (1, True)
    assert shown.stderr == ""
    quiet = project.hsm("sync", "status", NESTED_SWEEP, "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    unknown = project.hsm("sync", "status", "-t", "nowhere")
    assert unknown.returncode == 2


def test_the_receiving_machine_tells_by_its_receipts(project: Project, hsm: RunHsm) -> None:
    sync(project, FLAT_SWEEP, NESTED_SWEEP)
    here = project.target_root
    flat, nested = parse_status(hsm("sync", "status", "--json", cwd=here), exit_code=1)
    assert (flat["complete"], nested["complete"]) == (False, True)
    (received,) = nested["received"]
    assert count(received) == (15, 15, 0, 0, 0)
    assert (received["exact"], received["missing"], received["source"]["path"]) == (16, [], str(project.folder))
    assert hsm("sync", "status", NESTED_SWEEP, "-q", cwd=here / "wandb").returncode == 0

    run = next(name for name in os.listdir(here / "wandb") if name in _list_proven(here, NESTED_SWEEP))
    shutil.rmtree(here / "wandb" / run)
    (nested,) = parse_status(hsm("sync", "status", NESTED_SWEEP, "--json", cwd=here), exit_code=1)
    assert nested["received"][0]["missing"] == [run]
    shown = hsm("sync", "status", NESTED_SWEEP, cwd=here)
    assert f"less lies here than was proven: {run}" in shown.stdout


def _list_proven(here: Path, sweep: str) -> set[str]:
    (receipt,) = (here / f"sweeps/outputs/{sweep}/.hsm-sync").glob("receipt-*.json")
    return set(json.loads(receipt.read_text())["runs"])


@pytest.mark.slow
def test_a_receipt_s_words_reach_the_terminal_escaped(project: Project, hsm: RunHsm) -> None:
    sync(project, NESTED_SWEEP)
    folder = project.target_root / f"sweeps/outputs/{NESTED_SWEEP}/.hsm-sync"
    (receipt,) = folder.glob("receipt-*.json")
    document = json.loads(receipt.read_text())
    document["source"]["host"] = "evil\x1b[2J\u202e"
    document["written_at"] = "9" * 50
    receipt.write_text(json.dumps(document))
    shown = hsm("sync", "status", NESTED_SWEEP, cwd=project.target_root)
    assert shown.returncode == 0
    assert r"evil\x1b[2J\u202e" in shown.stdout
    receipt.write_text("{" * 100_000)
    shown = hsm("sync", "status", NESTED_SWEEP, cwd=project.target_root)
    assert (shown.returncode, "damaged receipt" in shown.stdout) == (1, True)


def test_without_a_project_there_is_nothing_to_tell(hsm: RunHsm, tmp_path: Path) -> None:
    answer = hsm("sync", "status", "--json", cwd=tmp_path)
    assert (answer.returncode, json.loads(answer.stdout)["error"]["kind"]) == (2, "no_config")


def test_a_project_without_sweeps_is_not_complete(make_project: MakeProject) -> None:
    answer = make_project().hsm("sync", "status")
    assert (answer.returncode, answer.stdout.strip()) == (1, "There is no sweep here, and none was synced from here.")


def test_nothing_is_imported_that_is_not_needed(project: Project) -> None:
    program = (
        "import sys\n"
        "from hsm.cli.main import app\n"
        "try:\n"
        "    app(['sync', 'status', '--json'])\n"
        "finally:\n"
        "    heavy = {'paramiko', 'fabric', 'httpx', 'rich', 'filelock', 'hsm.remote.openssh.client'}\n"
        "    heavy.add('hsm.transfer.rsync.engine')\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    sync(project, NESTED_SWEEP)
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=project.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert (answer.returncode, answer.stderr.strip()) == (1, "[]")
