"""Meaning of one word of a command line, step by step (docs/SYNC.md, "Choose sweeps").

The first three steps are of folders and read no log: what they find, no name in a log can change.
"""

from __future__ import annotations

import shlex

from hsm.discover.sweeps import LATEST, Sweep, check_sweep_name
from hsm.discover.words.lookup import ALL_SWEEPS, RUN_PREFIX, Lookup, Meaning
from hsm.discover.words.spelling import LOOSE_WORD
from hsm.errors import UnknownSweepError, UsageError
from hsm.model import SweepKind
from hsm.sweep_folder import LOOSE

GROUP_PREFIX = "group:"
_PATTERN_SIGNS = frozenset("*?[")


def find_meanings(lookup: Lookup, word: str) -> tuple[Meaning, ...]:
    """Find the sweeps that a word means, oldest first.

    Args:
        lookup: Of the project.
        word: As typed.

    Raises:
        UsageError: It means none, several things at one step, or a place that is none of this project's.
    """
    is_whole = any(sweep.id == word for sweep in lookup.folders)
    # Of a group with such a name there may be a folder that holds its receipts.
    if is_whole and (word not in (LATEST, LOOSE_WORD) or lookup.leave_receipt_folders([word])):
        return (lookup.make_folder_meaning(word),)
    is_spelt = word.startswith((GROUP_PREFIX, RUN_PREFIX))
    if "/" in word and not is_spelt:
        from hsm.discover.words.paths import find_by_path  # noqa: PLC0415 - few words are paths

        return (find_by_path(lookup, word),)
    if not is_spelt:
        check_sweep_name(word)
    found = _find_folder(lookup, word) or (_find_spelt(lookup, word) if is_spelt else _find_other(lookup, word))
    if found is not None:
        return (found,)
    matches: tuple[Meaning, ...] = ()
    if not _PATTERN_SIGNS.isdisjoint(word):
        matches = lookup.list_all(word)
        if any(match.sweep.kind is SweepKind.LOOSE for match in matches):
            _check_loose_place(lookup)
    if not matches:
        raise lookup.make_unknown_error(word)
    return matches


def list_all_meanings(lookup: Lookup) -> tuple[Meaning, ...]:
    """List every sweep, oldest first, the loose runs last.

    Raises:
        UsageError: There is none, or the loose runs have no place.
    """
    found = lookup.list_all()
    if not found:
        raise lookup.make_unknown_error(ALL_SWEEPS)
    _check_loose_place(lookup)
    return found


def _find_folder(lookup: Lookup, word: str) -> Meaning | None:
    """Find the newest folder sweep, or the only one that begins so; not by folders that hold receipts alone."""
    ids = list(dict.fromkeys(sweep.id for sweep in lookup.folders))
    if word == LATEST:
        newest = next((name for name in reversed(ids) if lookup.leave_receipt_folders([name])), None)
        return lookup.make_folder_meaning(newest) if newest is not None else None
    matches = lookup.leave_receipt_folders([name for name in ids if name.startswith(word)])
    if len(matches) > 1:
        from hsm.discover.words.unknown import make_ambiguous_error  # noqa: PLC0415 - for mistakes alone

        raise make_ambiguous_error(word, matches)
    return lookup.make_folder_meaning(matches[0]) if matches else None


def _find_other(lookup: Lookup, word: str) -> Meaning | None:
    """Find a sweep of another kind, or a run."""
    others = [*lookup.list_receipt_folders(), *lookup.catalogue.sweeps]
    others = [sweep for sweep in others if sweep.kind is not SweepKind.LOOSE]
    if word == LATEST and others:
        return lookup.make_meaning(others[-1])
    if word in (LOOSE_WORD, LOOSE) or (word == LATEST and lookup.catalogue.sweeps):
        return _find_loose(lookup)
    whole = [sweep for sweep in others if word in (sweep.id, sweep.name)]
    begins = [sweep for sweep in others if sweep.id.startswith(word) or sweep.name.startswith(word)]
    for found in (whole, begins):
        if len({sweep.id for sweep in found}) > 1:
            from hsm.discover.words.unknown import make_ambiguous_error  # noqa: PLC0415 - for mistakes alone

            raise make_ambiguous_error(word, list(map(_spell, found)))
        if found:
            return lookup.make_meaning(found[0])
    return lookup.find_run(word)


def _spell(sweep: Sweep) -> str:
    """Spell a sweep so that no other word is taken for it."""
    is_plain = sweep.kind is not SweepKind.WANDB or (sweep.id == sweep.name and sweep.id not in (LATEST, LOOSE_WORD))
    return sweep.id if is_plain else f"{GROUP_PREFIX}{sweep.name}"


def _find_loose(lookup: Lookup) -> Meaning:
    _check_loose_place(lookup)
    loose = [sweep for sweep in lookup.catalogue.sweeps if sweep.kind is SweepKind.LOOSE]
    runs = lookup.catalogue.runs
    if not loose and (not runs or any(run.facts.is_foreign for run in runs)):
        raise lookup.make_unknown_error(LOOSE_WORD)
    if not loose:
        raise UnknownSweepError(
            "There are no loose runs",
            hint="Loose are runs that are in no sweep. `hsm sync list --sweeps` shows what there is.",
        )
    return lookup.make_meaning(loose[0])


def _find_spelt(lookup: Lookup, word: str) -> Meaning:
    if word.startswith(GROUP_PREFIX):
        return _find_group(lookup, word.removeprefix(GROUP_PREFIX))
    return _find_run(lookup, word.removeprefix(RUN_PREFIX))


def _find_group(lookup: Lookup, name: str) -> Meaning:
    sweep: Sweep | None = lookup.find_named(name)
    if sweep is None:
        raise lookup.make_unknown_error(name)
    return lookup.make_meaning(sweep) if sweep.kind is SweepKind.WANDB else Meaning(sweep)


def _find_run(lookup: Lookup, word: str) -> Meaning:
    found = lookup.find_run(word)
    if found is None:
        raise UsageError(
            f"There is no run {word!r}",
            hint="Give its id or the name of its folder; `hsm sync list --sweeps` shows the sweeps.",
            kind="unknown_run",
        )
    if found.sweep.kind is SweepKind.LOOSE:
        _check_loose_place(lookup)
    return found


def _check_loose_place(lookup: Lookup) -> None:
    """Refuse to take the folder of the loose runs' receipts from results that somebody keeps there."""
    if folder := lookup.catalogue.blocked:
        raise UsageError(
            f"{folder} has the id of the runs that are in no sweep.",
            hint=f"Rename it: `mv {shlex.quote(folder)} {shlex.quote(folder.replace(f'/{LOOSE}', '/loose-1'))}`.",
            kind="bad_sweep_name",
        )
