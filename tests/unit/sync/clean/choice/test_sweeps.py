"""Sweeps that the words of a clean mean: each alone, and loose runs never all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.discover.words.lookup import ALL_SWEEPS
from hsm.errors import UsageError
from hsm.plan.choice import RunChoice
from hsm.records.cleaned import CleanedUnit, Cleaning, make_aside_name, make_cleaning_path, save_cleaning
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import LOOSE
from hsm.sync.clean.choice.sweeps import find_clean_sources
from hsm.sync.clean.values import CleanOptions
from hsm.sync.source import ProjectSource
from tests.e2e.synthetic import write_run
from tests.unit.sync.clean.conftest import SWEEP, CleanBench

LOOSE_RUN = "run-20251020_212836-loose1"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CleanBench:
    """Return a project with a folder sweep and a loose run, which is the working folder."""
    bench = CleanBench(tmp_path)
    write_run(bench.project / "wandb", "loose1", sweep="")
    bench.push()
    bench.push(sweep="loose")
    (bench.project / "wandb/latest-run").symlink_to(LOOSE_RUN)
    monkeypatch.chdir(bench.project)
    return bench


def find(bench: CleanBench, *words: str, older: int = 0, names: tuple[str, ...] = ()) -> tuple[ProjectSource, ...]:
    options, choice = CleanOptions(older_than_ns=older), RunChoice(names=frozenset(names))
    return find_clean_sources(bench.load(), LocalEndpoint(), words, options, choice)


def test_each_sweep_has_a_source_of_its_own(bench: CleanBench) -> None:
    found = find(bench, SWEEP, "loose", older=1)
    assert [[sweep.id for sweep in source.sweeps] for source in found] == [[SWEEP], [LOOSE]]
    assert [len(source.said) for source in found] == [1, 0]
    assert [source.sweeps[0].id for source in find(bench, "sweep*")] == [SWEEP]


@pytest.mark.parametrize(
    "words",
    [["loose"], [LOOSE], ["wandb"], ["./wandb/"], [SWEEP, "loose"], ["loose1", "./wandb"], ["loose1", "loose"]],
    ids=" ".join,
)
def test_loose_runs_are_not_all_meant_by_a_word(bench: CleanBench, words: list[str]) -> None:
    write_run(bench.project / "wandb", "loose2", sweep="")
    if words == ["wandb"]:
        words = [f"{bench.project}/wandb"]
    with pytest.raises(UsageError) as caught:
        find(bench, *words)
    assert caught.value.kind == "loose_unbounded"
    assert all(source.sweeps for source in find(bench, *words, older=1))
    assert all(source.sweeps for source in find(bench, *words, names=("loose1",)))


@pytest.mark.parametrize(
    "word", ["loose1", LOOSE_RUN, "run:loose1", f"wandb/{LOOSE_RUN}", f"./wandb/{LOOSE_RUN}/", "wandb/latest-run"]
)
def test_a_loose_run_that_is_named_is_meant_alone(bench: CleanBench, word: str) -> None:
    (source,) = find(bench, word)
    assert (source.sweeps[0].id, source.only) == (LOOSE, {LOOSE: frozenset({LOOSE_RUN})})


@pytest.mark.parametrize("word", ["2025", "loose", "20251020_212836"])
def test_the_beginning_of_a_name_names_no_run(bench: CleanBench, word: str) -> None:
    """Here it is a group's too."""
    write_run(bench.project / "train/wandb", "other", sweep="2025")
    write_run(bench.project / "train/wandb", "else", sweep="20251020_212836")
    with pytest.raises(UsageError) as caught:
        find(bench, word, "./wandb")
    assert caught.value.kind == "loose_unbounded"


def test_what_was_never_brought_anywhere_stops_the_others_too(bench: CleanBench) -> None:
    write_run(bench.project / "wandb", "dev1", sweep="dev")
    with pytest.raises(UsageError) as caught:
        find(bench, SWEEP, "dev")
    assert caught.value.kind == "never_synced"


@pytest.mark.parametrize(("older", "ids"), [(0, [SWEEP]), (1, [SWEEP, LOOSE])], ids=["no age", "an age"])
def test_all_leaves_what_was_never_brought_and_loose_runs_without_an_age(
    bench: CleanBench, older: int, ids: list[str]
) -> None:
    write_run(bench.project / "wandb", "dev1", sweep="dev")
    found = find(bench, ALL_SWEEPS, older=older)
    assert [source.sweeps[0].id for source in found] == ids
    said = found[0].said
    assert any("1 of 3 sweeps stay" in line for line in said)
    assert any("`--older-than 30d`" in line for line in said) is (not older)


def test_all_of_nothing_that_was_brought_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find(CleanBench(tmp_path), ALL_SWEEPS)
    assert caught.value.kind == "never_synced"


@pytest.fixture
def left(bench: CleanBench) -> CleanBench:
    """Leave of the loose run what a clean leaves that is killed."""
    folder = bench.project / "wandb"
    unit = CleanedUnit(LOOSE_RUN, str(folder), LOOSE_RUN, make_aside_name())
    cleaning = Cleaning(LOOSE, "2026-01-01T00:00:00+00:00", "here", is_quick=False, places={}, units=(unit,))
    save_cleaning(make_cleaning_path(bench.project, cleaning), cleaning)
    (folder / LOOSE_RUN).rename(unit.aside_path)
    return bench


@pytest.mark.parametrize("word", ["loose1", LOOSE_RUN, "run:loose1", f"wandb/{LOOSE_RUN}"])
@pytest.mark.parametrize("others", [[], [SWEEP]], ids=["alone", "with another word"])
def test_what_an_interrupted_clean_left_of_a_run_is_found_by_the_same_word(
    left: CleanBench, word: str, others: list[str]
) -> None:
    found = find(left, word, *others)
    assert {source.sweeps[0].id for source in found} == {LOOSE, *others}
    assert found[0].only == {LOOSE: frozenset({LOOSE_RUN})}


def test_a_sweep_that_is_meant_as_a_whole_is_so_with_what_was_left_of_a_run(left: CleanBench) -> None:
    write_run(left.project / "wandb", "loose2", sweep="")
    (source,) = find(left, "loose1", "loose", older=1)
    assert source.only == {}


@pytest.mark.parametrize("word", ["nothing1", "wandb/run-x", "run:loose", "oose1"])
def test_a_word_that_names_nothing_is_refused(left: CleanBench, word: str) -> None:
    with pytest.raises(UsageError):
        find(left, word)
