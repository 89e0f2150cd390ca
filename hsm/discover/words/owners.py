"""Owner of a single run: the sweep that it is brought as a part of, where it may be in several. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hsm.discover.membership import iter_sweep_names
from hsm.discover.sweeps import Sweep, pick_sweep
from hsm.discover.words.catalogue import Catalogue, KnownRun
from hsm.model import SweepKind
from hsm.sweep_folder import LOOSE, iter_sweep_ids


def find_sweep_of(run: KnownRun, catalogue: Catalogue, folders: Sequence[Sweep]) -> Sweep:
    """Find it: by W&B's sweep, the configuration, the group, an argument, its place, a receipt; else it is loose."""
    known = {sweep.id for sweep in folders}
    for name in _iter_names(run):
        if sweep := catalogue.by_name.get(name):
            return sweep
        for found in iter_sweep_ids(name):
            if found in known:
                return pick_sweep(folders, found)
    if run.inside:
        return pick_sweep(folders, run.inside)
    for sweep_id, listed in catalogue.listed.items():
        if run.candidate.name in listed.runs and sweep_id in known:
            return pick_sweep(folders, sweep_id)
    return Sweep(LOOSE, kind=SweepKind.LOOSE)


def _iter_names(run: KnownRun) -> Iterator[str]:
    facts = run.facts
    if facts.sweep_id:
        yield facts.sweep_id
    told = frozenset(iter_sweep_names(facts))
    yield from sorted(run.names - told)  # of agents' files
    yield from filter(None, (facts.config_sweep_id, facts.group))
    yield from sorted(told)
