"""Choice of sweeps from a list in the terminal, where a command line names none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hsm.errors import UnknownSweepError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hsm.cli.render.sync.offers import Offer
    from hsm.config.loaded import LoadedConfig
    from hsm.config.settings import TargetSettings

_MOST_NUMBERS = 1000  # bounds the digits of a number, so that a slip on the keyboard is no long computation


def choose_sweeps(
    words: Sequence[str] | None, list_offers: Callable[[], Sequence[Offer]], *, command: str, as_json: bool
) -> tuple[str, ...]:
    """Return the sweeps that a command line names; if it names none, let somebody choose from a list in the terminal.

    Args:
        words: As typed.
        list_offers: Makes the list, newest first; called only if somebody can see it.
        command: For the next command to type, as `sync to`.
        as_json: The answer goes to a program.

    Returns:
        Empty where somebody saw the list and chose nothing.

    Raises:
        UsageError: None is named and there is nobody to ask, or nothing to choose from.
    """
    from hsm.process.terminal import has_terminal

    if words:
        return tuple(words)
    where = " -t NAME" if command == "sync from" else ""
    look = f"`hsm sync list --sweeps{where}`"
    if as_json or not has_terminal():
        raise UsageError(
            "No sweep was named.", hint=f"Try `hsm {command} latest`; {look} shows what there is.", kind="usage"
        )
    offers = list_offers()
    if not offers:
        raise UnknownSweepError("There are no sweeps to choose from.", hint=f"See {look}.")
    return _ask(offers)


def take_newest(*, is_quiet: bool) -> str:
    """Return the word of the newest sweep, for a command that only looks and to which none was named; it says so."""
    from hsm.discover.sweeps import LATEST

    if not is_quiet:
        from hsm.cli.render import show_note

        show_note("No sweep was named: this is the newest.")
    return LATEST


def list_offers_here(loaded: LoadedConfig, targets: Mapping[str, TargetSettings]) -> list[Offer]:
    """List the sweeps of this project, each with what is pending at targets, from the journals.

    The folders come first, newest first, then those of other kinds, newest first, then the loose runs.
    """
    from hsm.cli.render.sync.offers import Offer, describe_standing, describe_unsent
    from hsm.sync.status.overview import list_sweeps_here
    from hsm.sync.status.status import read_sweep_status

    known = {sweep.sweep: sweep for sweep in read_sweep_status(loaded, (), tuple(targets)).sweeps}
    offers = [
        Offer(sweep, tuple(describe_standing(target) for target in known[sweep.id].targets))
        if sweep.id in known
        else Offer(sweep, tuple(describe_unsent(name, sweep) for name in targets))
        for sweep in list_sweeps_here(loaded).sweeps
    ]
    offers.reverse()
    return sorted(offers, key=_rank)


def list_offers_there(loaded: LoadedConfig, targets: Mapping[str, TargetSettings]) -> list[Offer]:
    """List the sweeps that lie at targets, each with what has arrived of it, from the journals here; as those here.

    Raises:
        HsmError: A target cannot be asked.
    """
    from hsm.cli.render.sync.offers import Offer, describe_arrived
    from hsm.discover.sweeps import parse_timestamp
    from hsm.process.runner import Runner
    from hsm.sync.status.overview import list_sweeps_at
    from hsm.sync.status.status import read_sweep_status

    places = list_sweeps_at(loaded, targets, runner=Runner(), may_ask=True)
    for place in places:
        if place.error is not None:
            raise place.error
    came = {
        (sweep.sweep, target.name): target
        for sweep in read_sweep_status(loaded, (), tuple(targets)).sweeps
        for target in sweep.targets
    }
    offers: dict[str, Offer] = {}
    for place in places:
        for sweep in place.sweeps:
            words = offers[sweep.id].words if sweep.id in offers else ()
            found = describe_arrived(place.name, came.get((sweep.id, place.name)))
            offers[sweep.id] = Offer(sweep, (*words, found))
    newest = sorted(
        offers.values(), key=lambda offer: (parse_timestamp(offer.sweep.id), offer.sweep.newest_ns), reverse=True
    )
    return sorted(newest, key=_rank)


def _rank(offer: Offer) -> int:
    """Rank an offer by kind: what Enter takes is a folder, as `latest` is."""
    from hsm.model import SweepKind

    return {SweepKind.FOLDER: 0, SweepKind.LOOSE: 2}.get(offer.sweep.kind, 1)


def parse_numbers(text: str, n: int) -> tuple[int, ...]:
    """Read the numbers that are chosen of a list.

    Args:
        text: Numbers from 1 on and ranges of them, as `2` or `1,3-5`; empty means the first.
        n: How long the list is.

    Returns:
        Indexes from 0 on, each once, in the order given.

    Raises:
        ValueError: It says something else; the message says what.
    """
    picked: dict[int, None] = {}
    for part in text.replace(",", " ").split() or ["1"]:
        picked.update(dict.fromkeys(_iter_range(part, n)))
    return tuple(picked)


def _iter_range(part: str, n: int) -> Iterator[int]:
    first, dash, last = part.partition("-")
    ends = (first, last) if dash else (first, first)
    if not all(end.isascii() and end.isdigit() and len(end) <= len(str(_MOST_NUMBERS * n)) for end in ends):
        raise ValueError(f"{part!r} is no number and no range such as 1-3")
    low, high = map(int, ends)
    if not 1 <= low <= high <= n:
        raise ValueError(f"{part!r} is not between 1 and {n}")
    return iter(range(low - 1, high))


def _ask(offers: Sequence[Offer]) -> tuple[str, ...]:
    from hsm.cli.render import show_note
    from hsm.cli.render.sync.offers import show_offers
    from hsm.process.signals import hear_signals

    show_offers(offers)
    while True:
        sys.stderr.write("Which? A number, several as 1,3-5, Enter for 1, q for none: ")
        sys.stderr.flush()
        with hear_signals():
            # Else 3 in 100 of the Ctrl-Cs that come right after the question would be heard with the next line alone.
            line = sys.stdin.readline()
        if not line or line.strip().lower() in ("q", "quit"):
            show_note("Nothing was chosen." if line else "\nNothing was chosen.")
            return ()
        try:
            chosen = [offers[index].sweep for index in parse_numbers(line, len(offers))]
            return tuple(sweep.word or sweep.id for sweep in chosen)
        except ValueError as error:
            show_note(f"{error}.")
