"""Sweeps that are no folders, as far as the caches tell: for a shell that waits for an answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hsm.discover.index import RunIndex
from hsm.discover.membership import iter_sweep_names
from hsm.discover.sweeps import Sweep
from hsm.discover.words.spelling import LOOSE_WORD, spell_loose
from hsm.sweep_folder import assign_ids


def list_remembered_words(index: RunIndex, folders: Sequence[Sweep]) -> tuple[str, ...]:
    """List words that mean sweeps of the kinds that logs tell of, as they were when these were read.

    No log and no folder is looked at, so a sweep that came since is missing and one that is gone may be there.

    Args:
        index: The cache of logs.
        folders: The sweeps that are folders, which have their own words.
    """
    ids = {sweep.id for sweep in folders}
    places = tuple(f"{sweep.path}/" for sweep in folders if sweep.path)
    names: set[str] = set()
    has_loose = False
    for log, facts in index.iter_facts():
        own = frozenset(iter_sweep_names(facts))
        names |= own
        has_loose = has_loose or not (own or log.startswith(places))
    found = sorted(set(assign_ids(names, ids).values()) - ids)
    return (*found, *([spell_loose(ids)] if has_loose and LOOSE_WORD not in found else []))
