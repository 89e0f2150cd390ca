"""Tables of `hsm sync list --sweeps`: the sweeps of this project or of targets."""

from __future__ import annotations

from collections.abc import Iterable

from hsm.cli.render.printer import Printer, TextColumn
from hsm.cli.render.sync.preview import describe_states
from hsm.cli.render.words import format_count
from hsm.sync.status.overview import HERE, PlaceOverview, SweepOverview, format_time
from hsm.units import format_bytes

_COLUMNS = (
    TextColumn("sweep"),
    TextColumn("runs", is_number=True),
    TextColumn("size", is_number=True),
    TextColumn("newest change (UTC)"),
    TextColumn("states"),
)


def show_places(places: Iterable[PlaceOverview]) -> None:
    """Print the sweeps of each place, oldest first."""
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
        if place.sweeps:
            printer.print_table(_COLUMNS, [_make_row(sweep) for sweep in place.sweeps], indent=2)
        for problem in place.problems:
            printer.print(f"note: {problem.message}", indent=2, hang=2)


def _make_row(sweep: SweepOverview) -> tuple[str, str, str, str, str]:
    newest = format_time(sweep.newest_ns).replace("T", " ").removesuffix("+00:00")
    n_runs = sum(sweep.states.values())
    return (sweep.id, f"{n_runs:,}", format_bytes(sweep.n_bytes), newest, describe_states(sweep.states))
