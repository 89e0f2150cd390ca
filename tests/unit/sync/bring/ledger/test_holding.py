"""What killed syncs have left at a destination, and the file systems below its folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hsm.model import Entry, EntryKind, Root, SourceFile
from hsm.project_folder import ProjectFolder
from hsm.records.replacing import load_replacing, save_replacing
from hsm.remote.guard import get_replaced_folder
from hsm.sync.reports import State
from hsm.transfer.base import get_temporary_folder
from hsm.transfer.destination.mounts import Mounts, find_mounts
from tests.unit.sync.bring.exchange.test_exchange import ALL, CONFIG, LOG, SWEEP, Bench, T

NONCE = "0123456789abcdef"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    assert bench.exchange().state is State.DONE
    return bench


def leave_replaced(bench: Bench, content: str, mtime_ns: int, *, sees: tuple[int, int] | None) -> Path:
    """Leave what a sync leaves that is killed after it has replaced the log there."""
    folder = get_temporary_folder(str(bench.there / "wandb"), SWEEP)
    place = Path(get_replaced_folder(folder, NONCE)) / LOG
    place.parent.mkdir(parents=True)
    place.write_text(content)
    os.utime(place, ns=(mtime_ns, mtime_ns))
    if sees is not None:
        status = bench.place(bench.there, LOG).stat()
        file = SourceFile(Root.WANDB, LOG, "", status.st_size, status.st_mtime_ns, 0)
        seen = {file.key: Entry(LOG, EntryKind.FILE, *sees, 0)}
        save_replacing(get_record(bench), NONCE, [file], seen)
    bench.write(LOG, b"longer than before", mtime_ns=T + 10**10)  # so that there is something to send
    return place


def get_record(bench: Bench) -> Path:
    return ProjectFolder(bench.project).journal("desktop", SWEEP).with_suffix(f".{NONCE}.replacing")


def test_what_a_killed_sync_had_seen_and_replaced_goes(bench: Bench) -> None:
    place = leave_replaced(bench, "old", T - 10**10, sees=(3, T - 10**10))
    assert bench.exchange().state is State.DONE
    assert not place.exists()
    assert bench.list_there() == ALL
    assert not get_record(bench).exists()


def test_a_record_of_which_nothing_is_left_there_goes(bench: Bench) -> None:
    save_replacing(get_record(bench), NONCE, [], {})
    bench.write(LOG, b"longer than before", mtime_ns=T + 10**10)
    assert bench.exchange().state is State.DONE
    assert [path.name for path in get_record(bench).parent.glob("*.replacing")] == []


def test_what_somebody_wrote_before_it_was_replaced_comes_back_and_is_a_conflict(bench: Bench) -> None:
    place = leave_replaced(bench, "somebody else's", T + 10**12, sees=(3, T - 10**10))
    report = bench.exchange()
    assert report.state is not State.DONE
    assert bench.place(bench.there, LOG).read_text() == "somebody else's"
    assert not place.exists()
    assert {problem.kind for problem in report.problems} == {"conflict"}


def test_what_somebody_wrote_with_an_older_time_comes_back_and_is_a_conflict(bench: Bench) -> None:
    leave_replaced(bench, "somebody else's", T - 10**12, sees=(3, T - 10**10))
    report = bench.exchange()
    assert bench.place(bench.there, LOG).read_text() == "somebody else's"
    assert {problem.kind for problem in report.problems} == {"conflict"}
    assert report.exit_code.value == 1


def test_what_came_under_a_name_that_the_killed_sync_found_free_comes_back(bench: Bench) -> None:
    place = leave_replaced(bench, "somebody else's", T - 10**12, sees=None)
    save_replacing(get_record(bench), NONCE, [], {})
    bench.write(LOG, mtime_ns=T)  # as the killed sync has sent it
    bench.write(CONFIG, b"longer than before", mtime_ns=T + 10**10)
    report = bench.exchange()
    assert (bench.place(bench.there, LOG).read_text(), place.exists()) == ("somebody else's", False)
    assert {problem.kind for problem in report.problems} == {"conflict"}


def test_what_another_project_had_replaced_is_kept_and_told(bench: Bench) -> None:
    place = leave_replaced(bench, "old", T - 10**10, sees=None)
    for _ in range(2):
        report = bench.exchange()
        assert (place.read_text(), report.exit_code.value) == ("old", 0)
        bench.write(LOG, b"longer and longer than before", mtime_ns=T + 2 * 10**10)
    assert "replaced_kept" in {problem.kind for problem in report.problems}


def test_what_has_lost_its_name_gets_it_back_whoever_was_killed(bench: Bench) -> None:
    place = leave_replaced(bench, "content", T, sees=None)
    bench.place(bench.there, LOG).unlink()
    bench.write(LOG, mtime_ns=T)
    bench.write(CONFIG, b"longer than before", mtime_ns=T + 10**10)
    bench.exchange()
    assert not place.exists()
    assert bench.place(bench.there, LOG).read_text() == "content"


@pytest.mark.parametrize("content", ["", "{", '{"schema": 1, "nonce": "a", "files": [[1, 2]]}', '{"schema": 1}'])
def test_a_record_that_cannot_be_used_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "record").write_text(content)
    assert load_replacing(tmp_path / "record").nonce == ""


def test_a_file_lands_on_the_deepest_mount_point_above_it() -> None:
    mounts = find_mounts(
        ["/d/s/outputs", "/d/s/outputs/a/b", "/d/s2", "/d"], {Root.SWEEPS: "/d/s/", Root.WANDB: "/d/w"}
    )
    paths = {"outputs/a/b/f": "outputs/a/b", "outputs/a/bc": "outputs", "outputs2/f": "", "outputs": ""}
    files = [SourceFile(Root.SWEEPS, path, "", 0, 0, 0) for path in paths]
    assert {file.path: mounts.find(file) for file in files} == paths
    assert mounts.choose(files[1:]) == Mounts({Root.SWEEPS: ("outputs",), Root.WANDB: ()})
    assert Mounts().choose(files) == Mounts()
