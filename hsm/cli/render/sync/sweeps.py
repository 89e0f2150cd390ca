"""Tables of `hsm sync list --sweeps`: the sweeps of this project or of targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hsm.cli.render.printer import Printer, TextColumn
from hsm.cli.render.sync.preview import describe_states
from hsm.cli.render.words import format_count, list_some
from hsm.discover.words.spelling import spell_loose
from hsm.model import SweepKind
from hsm.sync.status.overview import HERE, PlaceOverview, SweepOverview, format_time
from hsm.units import format_bytes

_COLUMNS = (
    TextColumn("sweep"),
    TextColumn("kind"),
    TextColumn("runs", is_number=True),
    TextColumn("size", is_number=True),
    TextColumn("newest change (UTC)"),
    TextColumn("states"),
)
_MOST_ROWS = 40
_MOST_FOLDERS = 5
_NEWEST_RUNS = 20
"""As many loose runs as the command brings that is offered; all, where there are not more."""


def show_places(places: Iterable[PlaceOverview], *, shows_all: bool = False) -> None:
    """Print the sweeps of each place: the folders, oldest first, then those of other kinds, oldest first.

    Args:
        places: This project or targets.
        shows_all: Also those that are not among the newest.
    """
    printer = Printer()
    for number, place in enumerate(places):
        if number:
            printer.print()
        where = "in this project" if place.name == HERE else f"at {place.name}"
        if place.error is not None:
            printer.print_name((f"Sweeps {where}", "bold"))
            printer.print_error(place.error, verbosity=0, indent=2)
            continue
        printer.print_name((f"{format_count(len(place.sweeps), 'sweep')} {where}", "bold"))
        shown = place.sweeps if shows_all else choose_newest(place.sweeps)
        if shown:
            loose = _spell_loose(place)
            printer.print_table(_COLUMNS, [_make_row(sweep, loose=loose) for sweep in shown], indent=2)
        if n_more := len(place.sweeps) - len(shown):
            printer.print(f"... and {n_more:,} older: `{_make_command(place.name, 'list --sweeps')} --all`", indent=2)
        if told := _describe_loose(place):
            printer.print(told, hang=2)
        for problem in place.problems:
            printer.print(f"note: {problem.message} {problem.hint}".rstrip(), indent=2, hang=2)


def choose_newest(sweeps: Sequence[SweepOverview]) -> Sequence[SweepOverview]:
    """Choose the newest, as many as a terminal has room for, in the same order. Pure.

    Their age is the time in their id, else of their newest run; the loose runs are always among them.
    """
    ages = {(sweep.kind is SweepKind.LOOSE, sweep.began, number): sweep for number, sweep in enumerate(sweeps)}
    newest = sorted(ages)[-_MOST_ROWS:]
    return [ages[age] for age in sorted(newest, key=lambda age: age[-1])]


def _describe_loose(place: PlaceOverview) -> str:
    """Return how many runs are in no sweep, where they lie, and what brings the newest; empty where there are none."""
    n_runs = sum(sum(sweep.states.values()) for sweep in place.sweeps if sweep.kind is SweepKind.LOOSE)
    if not n_runs:
        return ""
    folders = list_some([f"{folder}/" for folder in place.loose], _MOST_FOLDERS, "folder")
    command = _make_command(place.name, f"{'to' if place.name == HERE else 'from'} {_spell_loose(place)}")
    if n_runs > _NEWEST_RUNS:
        brings = f"`{command} --newest {_NEWEST_RUNS}` brings the newest"
    else:
        brings = f"`{command}` brings {'it' if n_runs == 1 else 'them'}"
    verb = "belongs" if n_runs == 1 else "belong"
    return f"{format_count(n_runs, 'run')} in {folders} {verb} to no sweep: {brings}."


def _spell_loose(place: PlaceOverview) -> str:
    return spell_loose(sweep.id for sweep in place.sweeps if sweep.kind is SweepKind.FOLDER)


def _make_command(place: str, words: str) -> str:
    return f"hsm sync {words}" if place == HERE else f"hsm sync {words} -t {place}"


def _make_row(sweep: SweepOverview, *, loose: str) -> tuple[str, str, str, str, str, str]:
    newest = format_time(sweep.newest_ns).replace("T", " ").removesuffix("+00:00")
    n_runs = sum(sweep.states.values())
    return (
        loose if sweep.kind is SweepKind.LOOSE else sweep.id,
        sweep.kind.value,
        f"{n_runs:,}",
        format_bytes(sweep.n_bytes),
        newest,
        describe_states(sweep.states),
    )
