"""List of sweeps to choose from, on stderr: a question, not the command's own output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hsm.cli.render.printer import Printer, TextColumn
from hsm.cli.render.sync.preview import describe_states
from hsm.cli.render.words import format_count, name_sweep
from hsm.model import SweepKind
from hsm.sync.status.overview import SweepOverview, format_time
from hsm.sync.status.report import TargetStatus
from hsm.sync.status.standing import SyncState
from hsm.units import format_bytes

_COLUMNS = (
    TextColumn("", is_number=True),
    TextColumn("sweep"),
    TextColumn("kind"),
    TextColumn("runs"),
    TextColumn("size", is_number=True),
    TextColumn("newest change (UTC)"),
    TextColumn("pending"),
)
_MOST = 30


class Offer(NamedTuple):
    """Sweep that can be chosen.

    Attributes:
        sweep: In numbers.
        words: How it stands, a part for each target.
    """

    sweep: SweepOverview
    words: tuple[str, ...]


def show_offers(offers: Sequence[Offer]) -> None:
    """Print the list, the first ones of a long one."""
    printer = Printer(is_error=True)
    rows = [_make_row(number, offer) for number, offer in enumerate(offers[:_MOST], 1)]
    columns = list(range(len(_COLUMNS)))
    if all(offer.sweep.kind is SweepKind.FOLDER for offer in offers):
        columns = [column for column in columns if _COLUMNS[column].header != "kind"]
    shown = [tuple(row[column] for column in columns) for row in rows]
    printer.print_table([_COLUMNS[column] for column in columns], shown, label="pending: ")
    if len(offers) > _MOST:
        printer.print(f"... and {len(offers) - _MOST:,} older; numbers up to {len(offers)} count, names as arguments")


def describe_standing(target: TargetStatus) -> str:
    """Return what is pending of a sweep at a target, as `desktop: 3 runs, at most 1.2 MB`."""
    tally = target.tally
    if target.is_complete:
        return f"{target.name}: nothing, complete"
    n_open = sum(standing in (SyncState.PENDING, SyncState.UNSETTLED) for standing in tally.runs.values())
    parts = [format_count(n_open, "run")] if n_open else []
    if tally.sweep_folder in (SyncState.PENDING, SyncState.UNSETTLED):
        parts.append("the sweep's folder")
    size = [f"at most {format_bytes(tally.pending_bytes)}"] if tally.pending_bytes else []
    if not parts:
        n_sent = sum(standing is SyncState.SENT for standing in tally.runs.values())
        return f"{target.name}: {f'nothing, {n_sent:,} not ended' if n_sent else 'unknown'}"
    return f"{target.name}: {', '.join([*parts, *size])}"


def describe_arrived(name: str, target: TargetStatus | None) -> str:
    """Return what has arrived of a sweep from a target, as `hpc: 5 of 7 runs complete here`."""
    if target is None or not target.updated_ns:
        return f"{name}: nothing came yet"
    runs = target.tally.runs
    n_complete = sum(standing is SyncState.COMPLETE for standing in runs.values())
    return f"{name}: {n_complete:,} of {format_count(len(runs), 'run')} complete here"


def describe_unsent(name: str, sweep: SweepOverview) -> str:
    """Return what is pending of a sweep of which nothing was brought to a target yet: all of it."""
    return f"{name}: {format_count(sum(sweep.states.values()), 'run')}, at most {format_bytes(sweep.n_bytes)}"


def _make_row(number: int, offer: Offer) -> tuple[str, ...]:
    sweep = offer.sweep
    newest = format_time(sweep.newest_ns).replace("T", " ").removesuffix("+00:00")
    states = describe_states(sweep.states)
    words = "; ".join(offer.words)
    name = name_sweep(sweep.id)
    return (f"{number}", name, sweep.kind.value, states or "0", format_bytes(sweep.n_bytes), newest, words)
