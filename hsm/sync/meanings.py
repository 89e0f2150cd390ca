"""Meanings of the words of a command line, here and at a target, also of sweeps of which only a journal is left."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from hsm.config.loaded import LoadedConfig
from hsm.discover.kinds.hydra import make_hydra_sweep
from hsm.discover.sweeps import Sweep
from hsm.discover.words.lookup import ALL_SWEEPS, Lookup, Meaning
from hsm.discover.words.meanings import find_meanings, list_all_meanings
from hsm.discover.words.spelling import LOOSE_WORD
from hsm.endpoint import Endpoint
from hsm.errors import UnknownSweepError, UsageError
from hsm.model import SweepKind
from hsm.project_folder import ProjectFolder
from hsm.sweep_folder import LOOSE, make_sweep_id
from hsm.sync.places import ProjectPlaces, find_places


def find_meant(
    loaded: LoadedConfig, endpoint: Endpoint, words: Sequence[str], *, fresh: bool = False
) -> tuple[ProjectPlaces, tuple[Meaning, ...]]:
    """Find what words mean here, and the places of the project.

    Args:
        loaded: The configuration.
        endpoint: This machine.
        words: As of `hsm.sync.source.find_source`.
        fresh: Search for wandb folders anew, whatever is remembered.

    Raises:
        UsageError: A word means none, or several.
    """
    places = find_places(loaded, endpoint, fresh=fresh)
    if places.is_remembered:
        # Of a folder that has come since the last search nothing is known. Whoever asks for folder sweeps by name does
        # not wait for a search; whoever asks for names, or for all, is not to be told "nothing to do" for ten minutes.
        with contextlib.suppress(UsageError):
            found = find_meanings_of(_make_lookup(places), words)
            if ALL_SWEEPS not in words and all(meaning.sweep.kind is SweepKind.FOLDER for meaning in found):
                return places, found
        places = find_places(loaded, endpoint, fresh=True)
    return places, find_known_meanings(_make_lookup(places), loaded.project, words)


def find_known_meanings(
    lookup: Lookup, project: Path, words: Sequence[str], *, target: str = ""
) -> tuple[Meaning, ...]:
    """Find what words mean; a sweep that was synced before counts even if nothing of it is here any more.

    The plan then refuses it as vanished, which says more than an unknown name.

    Args:
        lookup: Of the source.
        project: Holds the journals.
        words: As of `hsm.sync.source.find_source`.
        target: The one whose journals count; by default all.

    Raises:
        UsageError: A word means none, or several.
    """
    found: list[Meaning] = []
    for word in words:
        try:
            found += find_meanings_of(lookup, [word])
        except UnknownSweepError:
            folder = ProjectFolder(project)
            targets = (target,) if target else folder.list_targets()
            # A journal bears the id of its sweep. Not `Path.is_file`, which raises where the folder is another user's.
            ids = (LOOSE if word == LOOSE_WORD else word, make_sweep_id(word))
            known = [each for each in ids if any(os.path.isfile(folder.journal(name, each)) for name in targets)]  # noqa: PTH113
            if not known:
                raise
            found.append(Meaning(_find_cleaned_sweep(lookup, project, known[0]) or make_gone_sweep(known[0])))
    return tuple(found)


def find_meanings_of(lookup: Lookup, words: Iterable[str]) -> tuple[Meaning, ...]:
    """Find what words of a command line mean.

    Raises:
        UsageError: A word means none, or several.
    """
    found = (list_all_meanings(lookup) if word == ALL_SWEEPS else find_meanings(lookup, word) for word in words)
    return tuple(meaning for meanings in found for meaning in meanings)


def _find_cleaned_sweep(lookup: Lookup, project: Path, sweep: str) -> Sweep | None:
    """Find the Hydra sweep whose folder a clean removed: its record alone says where it lay."""
    from hsm.records.cleaned import load_cleanings  # noqa: PLC0415 - few need it

    places = {cleaning.place for cleaning in load_cleanings(project, sweep, skips_denied=True) if cleaning.place}
    return make_hydra_sweep(lookup.layout, places.pop()) if len(places) == 1 else None


def make_gone_sweep(sweep: str) -> Sweep:
    """Make the sweep of which there is only a journal: what is left of it bears its name, or is in no sweep."""
    return Sweep(sweep, kind=SweepKind.LOOSE if sweep == LOOSE else SweepKind.WANDB)


def join_meanings(meanings: Iterable[Meaning]) -> dict[str, frozenset[str]]:
    """Join the runs that alone are meant, by sweep; a sweep that is also meant as a whole is not in it."""
    only: dict[str, frozenset[str]] = {}
    whole = {meaning.sweep.id for meaning in meanings if not meaning.runs}
    for meaning in meanings:
        if meaning.sweep.id not in whole:
            only[meaning.sweep.id] = only.get(meaning.sweep.id, frozenset()) | meaning.runs
    return only


def join_folders(meanings: Iterable[Meaning]) -> frozenset[str]:
    """Join the folders of the runs that are meant by their path."""
    return frozenset(folder for meaning in meanings for folder in meaning.folders)


def _make_lookup(places: ProjectPlaces) -> Lookup:
    return places.make_lookup(working_folder=os.getcwd())  # noqa: PTH109 - as the bytes are
