"""Owner of a single run: the sweep that it is brought as a part of, where it may be in several. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hsm.discover.membership import iter_sweep_names
from hsm.discover.sweeps import Sweep, pick_sweep
from hsm.model import SweepKind
from hsm.sweep_folder import LOOSE, iter_sweep_ids

if TYPE_CHECKING:
    from hsm.discover.words.catalogue import Catalogue, KnownRun


def find_sweep_of(run: KnownRun, catalogue: Catalogue, folders: Sequence[Sweep]) -> Sweep:
    """Find it: by W&B's sweep, the configuration, the group, an argument, its place, a receipt; else it is loose."""
    known = {sweep.id for sweep in folders}
    for name in _iter_names(run):
        if sweep := catalogue.by_name.get(name):
            return sweep
        for found in (name, *iter_sweep_ids(name)):
            if found in known:
                return pick_sweep(folders, found)
    hydra = {sweep.id: sweep for sweep in catalogue.sweeps if sweep.kind is SweepKind.HYDRA}
    found = next(filter({*known, *hydra}.__contains__, _iter_places(run, catalogue)), LOOSE)
    if found == LOOSE:
        return Sweep(LOOSE, kind=SweepKind.LOOSE)
    return hydra.get(found) or pick_sweep(folders, found)


def _iter_places(run: KnownRun, catalogue: Catalogue) -> Iterator[str]:
    """Yield the ids of the sweeps that something else than a name gives it to."""
    yield from (*sorted(run.hydra), run.inside)
    yield from (sweep for sweep, listed in catalogue.listed.items() if run.candidate.name in listed.runs)


def _iter_names(run: KnownRun) -> Iterator[str]:
    facts = run.facts
    if facts.sweep_id:
        yield facts.sweep_id
    told = frozenset(iter_sweep_names(facts))
    yield from sorted(run.names - told)  # of agents' files
    yield from filter(None, (facts.config_sweep_id, facts.group))
    yield from sorted(told)
