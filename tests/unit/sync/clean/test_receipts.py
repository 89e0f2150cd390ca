"""Runs that a pull finds by the sweep's receipt alone: they go while it lists them, and stay with the reason else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.errors import LockedError
from hsm.model import Root
from hsm.progress import SilentReporter
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Route
from hsm.records.lock import hold_local_lock
from hsm.records.origins import Origins, load_origins, save_origins
from hsm.sync.bring.pull import pull
from hsm.sync.request import SyncRequest
from tests.e2e.synthetic import write_file, write_run
from tests.unit.sync.clean.conftest import RUNS, SWEEP, CleanBench, list_going, say

OTHER_ID = "0" * 16
ROUTE = Route("pull", "", None, None, "/s", "/w")


@pytest.fixture
def bench(tmp_path: Path) -> CleanBench:
    """Return a project of whose runs one is the sweep's by its place alone, at one target."""
    bench = CleanBench(tmp_path)
    write_run(bench.project / "wandb" / SWEEP, "place", sweep="")
    bench.push()
    return bench


PLACE = "run-20251020_212836-place"


def find_receipt(bench: CleanBench) -> Path:
    (path,) = (bench.folder / "nas/sweeps/outputs" / SWEEP / ".hsm-sync").glob("receipt-*.json")
    return path


def bring_back(bench: CleanBench) -> None:
    loaded = bench.load()
    request = SyncRequest((SWEEP,), dict(loaded.config.sync_targets))
    report = pull(loaded, request, runner=bench.runner, reporter=SilentReporter())
    assert int(report.exit_code) == 0, report


def test_a_run_that_the_receipt_lists_goes_and_comes_back(bench: CleanBench) -> None:
    before = sorted(path.rpartition("/")[2] for path in bench.read_results())
    with bench.open(is_dry_run=True) as clean:
        assert list_going(clean.make_report()) == {*RUNS, PLACE, ""}
    assert list_going(bench.clean()) == {*RUNS, PLACE, ""}
    assert bench.read_results() == {}
    bring_back(bench)
    here = [path for path in bench.read_results() if "/.hsm-sync/" not in path]
    assert sorted(path.rpartition("/")[2] for path in here) == before


def edit(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    def act(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return act


def drop_run(document: dict[str, object]) -> None:
    runs = document["runs"]
    assert isinstance(runs, dict)
    del runs[PLACE]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "is gone": Path.unlink,
    "is cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "does not list it": edit(drop_run),
    "speaks of another sweep": edit(lambda document: document.update(sweep="sweep_2")),
    "is another project's": lambda path: path.rename(path.with_name(f"receipt-{OTHER_ID}.json")),
    "is a symlink": lambda path: path.symlink_to(path.rename(path.with_name("elsewhere")).name),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("is_quick", [False, True], ids=["", "quick"])
def test_without_a_sound_receipt_that_lists_it_a_run_stays(bench: CleanBench, name: str, is_quick: bool) -> None:
    DAMAGES[name](find_receipt(bench))
    with bench.open(is_quick=is_quick, is_dry_run=True) as clean:
        assert list_going(clean.make_report()) == {*RUNS}
    with bench.open(is_quick=is_quick) as clean:
        report = clean.remove()
    assert list_going(report) == {*RUNS}
    assert "`hsm sync from` would not find it; sync it again" in say(report, PLACE)
    assert (bench.project / "wandb" / SWEEP / PLACE).is_dir()
    assert int(report.exit_code) == 1


def test_a_sync_writes_the_receipt_again(bench: CleanBench) -> None:
    find_receipt(bench).unlink()
    assert list_going(bench.clean()) == {*RUNS}
    bench.push()
    assert list_going(bench.clean()) == {PLACE, ""}


def test_a_receipt_that_was_only_written_to_memory_lists_nothing(
    bench: CleanBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the copy is whole, and nobody's."""
    from hsm.targets.contents import folder

    flush_here = folder.flush_here

    def flush(paths: list[str], check: Callable[[], None]) -> dict[str, str]:
        failures = flush_here(paths, check)
        return failures | {path: "Input/output error" for path in paths if "/receipt-" in path}

    monkeypatch.setattr(folder, "flush_here", flush)
    report = bench.clean()
    assert list_going(report) == {*RUNS}
    assert "would not find it" in say(report, PLACE)


def test_a_receipt_that_the_disk_has_otherwise_lists_nothing(
    bench: CleanBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsm.targets.contents import folder

    read = folder.read_checksum

    def read_checksum(path: str, *, follows: bool, check: Callable[[], None]) -> str:
        return "0" * 64 if "/receipt-" in path else read(path, follows=follows, check=check)

    monkeypatch.setattr(folder, "read_checksum", read_checksum)
    assert list_going(bench.clean()) == {*RUNS}


def test_a_receipt_keeps_a_run_that_was_removed_here_when_the_journal_is_lost(bench: CleanBench) -> None:
    assert PLACE in list_going(bench.clean())
    write_run(bench.project / "wandb", "new", sweep=SWEEP)
    write_file(bench.project / "sweeps/outputs" / SWEEP / "new.yaml", b"x\n")
    (bench.project / f".hsm/sync/nas/{SWEEP}.json").unlink()
    bench.push()
    bench.push()
    bring_back(bench)
    assert (bench.project / "wandb" / PLACE).is_dir()


def test_a_folder_of_receipts_alone_stays_where_the_sweep_has_no_folder(tmp_path: Path) -> None:
    bench = CleanBench(tmp_path)
    group = write_run(bench.project / "wandb", "g", sweep="dev")
    bench.push(sweep="dev")
    received = bench.project / "sweeps/outputs/dev/.hsm-sync/receipt-0123456789abcdef.json"
    there = find_receipt_of(bench, "dev")
    document = json.loads(there.read_text())
    document["source"]["id"] = "0123456789abcdef"
    received.parent.mkdir(parents=True)
    received.write_text(json.dumps(document))
    with bench.open(sweep="dev") as clean:
        report = clean.remove()
    assert [verdict.unit.name for verdict in report.verdicts] == [group.name]
    assert list_going(report) == {group.name}
    assert received.is_file()


def find_receipt_of(bench: CleanBench, sweep: str) -> Path:
    (path,) = (bench.folder / "nas/sweeps/outputs" / sweep / ".hsm-sync").glob("receipt-*.json")
    return path


def test_a_sync_of_another_sweep_as_which_a_run_came_stops_the_clean(bench: CleanBench) -> None:
    """Its record of pulls is about to be changed, and its sync would write the old one back."""
    key = (Root.WANDB, f"{PLACE}/files/config.yaml")
    folder = ProjectFolder(bench.project)
    save_origins(folder.origins("nas", "dev"), Origins(ROUTE, {key: (5, 7)}))
    before = bench.read_results()
    lock = folder.lock("nas", "dev")
    with hold_local_lock(lock, sweep="dev", target="nas", breaks=False), pytest.raises(LockedError):
        bench.clean()
    assert bench.read_results() == before
    assert PLACE in list_going(bench.clean())
    assert load_origins(folder.origins("nas", "dev")) == Origins(ROUTE)


def test_what_an_interrupted_clean_left_goes_only_while_the_receipt_lists_it(bench: CleanBench) -> None:
    """Half of its log may say nothing any more."""
    bench.clean()
    (unit,) = (unit for record in bench.read_records() for unit in record["units"] if unit["name"] == PLACE)
    rest = Path(unit["folder"], unit["aside"], "files/config.yaml")
    rest.parent.mkdir(parents=True)
    shutil.copy2(bench.folder / "nas/wandb" / PLACE / "files/config.yaml", rest)
    receipt = find_receipt(bench)
    content = receipt.read_bytes()
    edit(drop_run)(receipt)
    report = bench.clean()
    assert (list_going(report), rest.is_file()) == (set(), True)
    assert "would not find it" in say(report, PLACE)
    receipt.write_bytes(content)
    assert list_going(bench.clean()) == {PLACE}
    assert not rest.exists()
