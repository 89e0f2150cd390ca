"""The table of sweeps in the terminal: which rows it has, and what stands below it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hsm.cli.render.sync.sweeps import choose_newest, show_places
from hsm.model import Problem, RunState, SweepKind
from hsm.sync.status.overview import HERE, PlaceOverview, SweepOverview

LOOSE = SweepOverview("@loose", {RunState.FINISHED: 1_204, RunState.UNKNOWN: 496}, kind=SweepKind.LOOSE)
EXP = SweepOverview("exp1", {RunState.FINISHED: 2})
GROUPS = tuple(
    SweepOverview(f"g{number:02}", {RunState.FINISHED: 1}, kind=SweepKind.WANDB, began=f"202511{number:02}000000")
    for number in range(1, 51)
)


def show(capsys: pytest.CaptureFixture[str], place: PlaceOverview, *, shows_all: bool = False) -> list[str]:
    show_places([place], shows_all=shows_all)
    return capsys.readouterr().out.splitlines()


def test_each_row_says_its_kind_and_loose_runs_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    place = PlaceOverview(HERE, (EXP, GROUPS[0], LOOSE), loose=("wandb", "train/wandb"))
    title, header, *rows, below = show(capsys, place)
    assert title == "3 sweeps in this project"
    assert header.split()[:3] == ["sweep", "kind", "runs"]
    assert [row.split()[:3] for row in rows] == [
        ["exp1", "folder", "2"],
        ["g01", "wandb", "1"],
        ["loose", "loose", "1,700"],
    ]
    assert below == (
        "1,700 runs in wandb/, train/wandb/ belong to no sweep: `hsm sync to loose --newest 20` brings the newest."
    )


LOOSE_WORDS = {
    "here": (HERE, 1, "1 run in wandb/ belongs to no sweep: `hsm sync to loose` brings it."),
    "few": (HERE, 20, "20 runs in wandb/ belong to no sweep: `hsm sync to loose` brings them."),
    "there": (
        "nas",
        21,
        "21 runs in wandb/ belong to no sweep: `hsm sync from loose -t nas --newest 20` brings the newest.",
    ),
}


@pytest.mark.parametrize(("name", "n_runs", "words"), LOOSE_WORDS.values(), ids=LOOSE_WORDS)
def test_the_command_that_brings_loose_runs(
    capsys: pytest.CaptureFixture[str], name: str, n_runs: int, words: str
) -> None:
    loose = replace(LOOSE, states={RunState.FINISHED: n_runs})
    assert show(capsys, PlaceOverview(name, (loose,), loose=("wandb",)))[-1] == words


def test_of_many_the_newest_40_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    place = PlaceOverview(HERE, (EXP, *GROUPS, LOOSE), loose=("wandb",))
    lines = show(capsys, place)
    assert lines[0] == "52 sweeps in this project"
    assert [line.split()[0] for line in lines[2:42]] == [*(sweep.id for sweep in GROUPS[11:]), "loose"]
    assert lines[42] == "  ... and 12 older: `hsm sync list --sweeps --all`"
    assert len(show(capsys, place, shows_all=True)) == len(lines) + 11
    assert "`hsm sync list --sweeps -t nas --all`" in show(capsys, replace(place, name="nas"))[42]


def test_the_time_in_a_folders_name_counts_as_that_of_a_run() -> None:
    old, new = replace(EXP, began="20240101000000"), replace(EXP, id="exp2", began="20260101000000")
    shown = choose_newest((old, new, *GROUPS))
    assert new in shown
    assert old not in shown
    assert shown[0] is new, "folders come first"


def test_what_the_search_left_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    note = Problem("data", "search_cut", "Not searched to the end: data.", "Name the folders.", is_failure=False)
    assert show(capsys, PlaceOverview(HERE, (), problems=(note,)))[-1] == (
        "  note: Not searched to the end: data. Name the folders."
    )
