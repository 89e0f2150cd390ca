"""The units of a sweep: everything that lies here is in one of them, and leftovers get their names back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from hsm.discover.sweeps import Layout
from hsm.model import EntryKind, Root
from hsm.process.runner import CommandStoppedError
from hsm.records.cleaned import CleanedUnit, Cleaning, make_cleaning_path, save_cleaning
from hsm.remote.local import LocalEndpoint
from hsm.sync.clean.record import make_cleaned_unit
from hsm.sync.clean.units import (
    Units,
    add_checksums,
    find_leftovers,
    list_own_folders,
    make_units,
    read_everything,
)
from hsm.sync.clean.values import Unit, UnitVerdict
from hsm.sync.source import find_source
from tests.e2e.synthetic import write_file, write_run
from tests.unit.sync.clean.conftest import RUNS, SWEEP, CleanBench

ASIDE = ".hsm-clean-0123456789abcdef"


@pytest.fixture
def bench(tmp_path: Path) -> CleanBench:
    return CleanBench(tmp_path)


def look(bench: CleanBench, leftovers: Sequence[CleanedUnit] = (), *, wants_folder: bool = True) -> Units:
    source = find_source(bench.load(), LocalEndpoint(), [SWEEP])
    return make_units(read_everything(source)[0], source.sweeps[0], leftovers, wants_folder=wants_folder)


def find_unit(units: Units, name: str) -> Unit:
    (unit,) = (unit for unit in units.units if unit.name == name)
    return unit


def test_runs_come_first_and_the_sweeps_folder_last(bench: CleanBench) -> None:
    units = look(bench)
    assert [unit.name for unit in units.units] == [*RUNS, ""]
    assert [unit.root for unit in units.units] == [Root.WANDB, Root.WANDB, Root.SWEEPS]
    assert [unit.path for unit in units.units] == [*(str(bench.run(n)) for n in range(2)), str(get_folder(bench))]
    assert set(units.places) == {unit.path for unit in units.units}
    assert [unit.name for unit in look(bench, wants_folder=False).units] == [*RUNS]


def get_folder(bench: CleanBench) -> Path:
    return bench.project / "sweeps/outputs" / SWEEP


def test_entries_are_all_that_lies_there_and_files_what_is_sent(bench: CleanBench) -> None:
    run = bench.run()
    write_file(run / ".hidden", b"x")
    (run / "tmp/code").mkdir(parents=True)
    (run / "link").symlink_to("/nowhere")
    os.mkfifo(run / "pipe")
    unit = find_unit(look(bench), RUNS[0])
    log = "run-r0.wandb"
    assert set(unit.files) == {log, "files/config.yaml", "files/output.log", ".hidden"}
    assert set(unit.entries) - set(unit.files) == {"files", "tmp", "tmp/code", "link", "pipe"}
    assert unit.run is not None
    assert unit.run.has_exit_record
    assert unit.blocks == ()


def test_runs_in_the_sweeps_folder_are_no_part_of_it(bench: CleanBench) -> None:
    inside = write_run(get_folder(bench) / "tasks/1/wandb", "inside", sweep=SWEEP)
    folder = find_unit(look(bench), "")
    assert find_unit(look(bench), inside.name).path == str(inside)
    assert set(folder.entries) == {"sweep_config.yaml", "tasks", "tasks/1", "tasks/1/wandb"}
    assert set(folder.files) == {"sweep_config.yaml"}


def test_the_sweeps_folder_is_read_to_its_bottom(bench: CleanBench) -> None:
    write_file(get_folder(bench) / "a/b/c/d/deep.txt", b"x")
    folder = find_unit(look(bench), "")
    assert set(folder.files) == {"sweep_config.yaml", "a/b/c/d/deep.txt"}
    assert {"a/b/c", "a/b/c/d", "a/b/c/d/deep.txt"} <= set(folder.entries)


def test_a_run_that_is_gone_by_now_is_blocked(bench: CleanBench) -> None:
    source = find_source(bench.load(), LocalEndpoint(), [SWEEP])
    inventory, _ = read_everything(source)
    shutil.rmtree(bench.run())
    units = make_units(inventory, source.sweeps[0], (), wants_folder=True)
    assert find_unit(units, RUNS[0]).blocks
    assert not find_unit(units, RUNS[1]).blocks


def test_old_versions_of_media_are_known(bench: CleanBench) -> None:
    media = [f"media/images/x_{step}_{'0' * 19}{step}.png" for step in (1, 2)]
    run = write_run(bench.project / "wandb", "media", sweep=SWEEP, files=dict.fromkeys(media, b"p"))
    unit = find_unit(look(bench), run.name)
    assert unit.superseded == {f"files/{media[0]}"}


def test_a_lock_in_the_sweeps_folder_keeps_it(bench: CleanBench) -> None:
    write_file(get_folder(bench) / ".hsm-sync/lock", b"{}\n")
    (block,) = find_unit(look(bench), "").blocks
    assert ".hsm-sync/lock" in block


def test_a_run_whose_log_says_nothing_keeps_the_sweeps_folder(bench: CleanBench) -> None:
    path = bench.project / "wandb/run-20251020_212836-odd/run-odd.wandb"
    write_file(path, b"")
    os.utime(path)
    (block,) = find_unit(look(bench), "").blocks
    assert block.startswith("not all of the sweep can be told: ")


def test_a_run_that_is_a_symlink_is_blocked(bench: CleanBench) -> None:
    bench.run().rename(bench.project / "elsewhere")
    bench.run().symlink_to(bench.project / "elsewhere")
    for unit in look(bench).units:
        if unit.name == RUNS[0]:
            assert unit.blocks


def test_what_lies_behind_a_symlink_has_its_real_place(bench: CleanBench) -> None:
    real = bench.folder / "scratch"
    (bench.project / "wandb").rename(real)
    (bench.project / "wandb").symlink_to(real)
    sweeps = bench.folder / "archive"
    (bench.project / "sweeps").rename(sweeps)
    (bench.project / "sweeps").symlink_to(sweeps)
    units = look(bench)
    assert find_unit(units, RUNS[0]).path == str(real / RUNS[0])
    assert find_unit(units, "").path == str(sweeps / "outputs" / SWEEP)
    layout = Layout(*(str(bench.project / name) for name in ("", "sweeps", "wandb")))
    own = list_own_folders(layout, units)
    assert str(real) in own
    assert str(sweeps / "outputs") in own
    assert "/" not in own


def test_checksums_are_of_files_and_of_symlinks_that_are_sent(bench: CleanBench) -> None:
    run = bench.run()
    target = write_file(bench.project / "data.txt", b"data")
    (run / "files/data.txt").symlink_to(target)
    (run / "files/nowhere").symlink_to("nowhere")
    unit = add_checksums(find_unit(look(bench), RUNS[0]), lambda: None)
    assert set(unit.checksums) == {"run-r0.wandb", "files/config.yaml", "files/output.log", "files/data.txt"}
    assert unit.checksums["files/data.txt"].startswith("3a6eb0790f39ac87")
    assert unit.entries["files/data.txt"].kind is EntryKind.SYMLINK


def test_an_interrupt_ends_the_reading(bench: CleanBench) -> None:
    def stop() -> None:
        raise CommandStoppedError

    with pytest.raises(CommandStoppedError):
        add_checksums(find_unit(look(bench), RUNS[0]), stop)


# -- what an interrupted clean left ----------------------------------------------------------------------------------


@pytest.fixture
def recorded(bench: CleanBench) -> CleanedUnit:
    """Set a run aside, with its record on the disk."""
    units = look(bench)
    unit = add_checksums(find_unit(units, RUNS[0]), lambda: None)
    found = make_cleaned_unit(UnitVerdict(unit, goes=True, copies=("nas",)), units.places[unit.path])
    cleaning = Cleaning(SWEEP, "2026-01-01T00:00:00+00:00", "here", is_quick=False, places={}, units=(found,))
    save_cleaning(make_cleaning_path(bench.project, cleaning), cleaning)
    Path(found.path).rename(found.aside_path)
    return found


def test_what_was_only_set_aside_gets_its_name_back(bench: CleanBench, recorded: CleanedUnit) -> None:
    assert find_leftovers(bench.project, SWEEP, puts_back=False) == (recorded,)
    assert not bench.run().exists()
    assert find_leftovers(bench.project, SWEEP, puts_back=True) == ()
    assert [unit.name for unit in look(bench).units] == [*RUNS, ""]


def test_what_has_lost_a_file_is_no_run_again(bench: CleanBench, recorded: CleanedUnit) -> None:
    Path(recorded.aside_path, "files/config.yaml").unlink()
    assert find_leftovers(bench.project, SWEEP, puts_back=True) == (recorded,)
    unit = find_unit(look(bench, [recorded]), RUNS[0])
    assert (unit.path, unit.recorded, unit.run) == (recorded.aside_path, recorded, None)
    assert set(unit.entries) == {"files", "files/output.log", "run-r0.wandb"}
    assert unit.sizes_there == {path: file.size for path, file in recorded.files.items()}


def test_what_two_interrupted_cleans_recorded_is_one_leftover(bench: CleanBench, recorded: CleanedUnit) -> None:
    Path(recorded.aside_path, "files/config.yaml").unlink()
    again = Cleaning(SWEEP, "2026-01-01T00:00:01+00:00", "here", is_quick=False, places={}, units=(recorded,))
    save_cleaning(make_cleaning_path(bench.project, again), again)
    assert find_leftovers(bench.project, SWEEP, puts_back=True) == (recorded,)


def test_a_name_that_is_taken_is_not_given_back(bench: CleanBench, recorded: CleanedUnit) -> None:
    bench.run().mkdir()
    assert find_leftovers(bench.project, SWEEP, puts_back=True) == (recorded,)


@pytest.mark.parametrize("how", ["gone", "a symlink", "a file"])
def test_what_is_no_folder_is_no_leftover(bench: CleanBench, recorded: CleanedUnit, how: str) -> None:
    aside = Path(recorded.aside_path)
    aside.rename(bench.project / "moved")
    if how == "a symlink":
        aside.symlink_to(bench.project / "moved")
    elif how == "a file":
        aside.write_text("x")
    assert find_leftovers(bench.project, SWEEP, puts_back=True) == ()


def test_a_leftover_keeps_its_record(bench: CleanBench, recorded: CleanedUnit) -> None:
    units = look(bench, [recorded])
    unit = find_unit(units, RUNS[0])
    verdict = UnitVerdict(unit, goes=True, copies=("other",))
    assert make_cleaned_unit(verdict, units.places[unit.path]) is recorded
