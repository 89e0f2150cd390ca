"""Errors for words that mean nothing, or several things at one step."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.untold_runs import make_foreign_problem
from hsm.discover.words.spelling import find_wandb_below, spell_loose
from hsm.errors import AmbiguousSweepError, UnknownSweepError, UntoldSweepError
from hsm.model import SweepKind

if TYPE_CHECKING:
    from hsm.discover.words.catalogue import Catalogue, KnownRun

_ALL = "--all"
_MOST_NAMES = 5


def make_ambiguous_error(word: str, words: Sequence[str]) -> AmbiguousSweepError:
    """Make the error of a word that is the beginning of several sweeps, or means several things at one step.

    Args:
        word: As typed.
        words: What to type for each of the meanings.
    """
    commands = ", or ".join(f"`hsm sync to {shlex.quote(each)}`" for each in words[:_MOST_NAMES])
    is_beginning = all(each.startswith(word) for each in words)
    what = f"is the beginning of {len(words)} sweeps" if is_beginning else f"may be {len(words)} things"
    advice = "Give more of the name" if is_beginning else "Say which"
    hint = f"{advice}." if len(words) > _MOST_NAMES else f"{advice}: {commands}."
    message = f"{word!r} {what}: {_join_names(words)}"
    return AmbiguousSweepError(message, hint=hint, word=word, choices=words)


def make_unknown_error(
    word: str, folders: Sequence[Sweep], catalogue: Catalogue, layout: Layout, *, working_folder: str = ""
) -> UnknownSweepError:
    """Make the error of a word that means nothing, with the nearest names, or runs whose log might say it."""
    names = list(dict.fromkeys([*(sweep.id for sweep in folders), *_list_words(folders, catalogue)]))
    untold = _find_untold(catalogue)
    if not untold:
        said = "There is no sweep and no run" if word == _ALL else f"Unknown sweep {word!r}"
        below = find_wandb_below(layout, working_folder, word)
        hint = f"Runs lie in {below}: `hsm sync to {shlex.quote(below)}`." if below else _make_hint(names, word, layout)
        choices = [below] if below else _find_nearest(names, word)
        return UnknownSweepError(said, hint=hint, word=word, choices=choices)
    problem = make_foreign_problem(untold[0].candidate.name, untold[0].facts)
    more = f" So it is with {len(untold) - 1} more." if len(untold) > 1 else ""
    message = f"No sweep {word!r} is found, but not all logs can be read. {problem.path}: {problem.message}{more}"
    nearest = f" {_make_hint(names, word, layout)}" if names else ""
    return UntoldSweepError(message, hint=f"{problem.hint}{nearest}")


def _find_untold(catalogue: Catalogue) -> list[KnownRun]:
    """Find the runs in whose log's place lies something else, and that nothing else gives to a sweep."""
    listed = frozenset(name for found in catalogue.listed.values() for name in found.runs)
    return [
        run
        for run in catalogue.runs
        if run.facts.is_foreign and not run.names and not run.inside and run.candidate.name not in listed
    ]


def _list_words(folders: Sequence[Sweep], catalogue: Catalogue) -> list[str]:
    loose = spell_loose(sweep.id for sweep in folders)
    return [loose if sweep.kind is SweepKind.LOOSE else sweep.id for sweep in catalogue.sweeps]


def _make_hint(names: Sequence[str], word: str, layout: Layout) -> str:
    if not names:
        further = (*layout.shared, *layout.inner)
        searched = f" No run lies in {_join_names(further)} either." if further else ""
        return f"There are no sweeps here: no folder in sweeps/outputs or outputs, and none in wandb.{searched}"
    ends = _find_ends(names, word)
    if len(ends) == 1:
        return f"{ends[0]} ends so. Run `hsm sync to {shlex.quote(ends[0])}`."
    nearest = _find_nearest(names, word)
    if not nearest:
        example = shlex.quote(names[-1])
        return f"No name is like it. `hsm sync list --sweeps` shows what there is, for example `hsm sync to {example}`."
    what = "The nearest names" if len(nearest) > 1 else "The nearest name"
    return f"{what}: {_join_names(nearest)}. Run `hsm sync to {shlex.quote(nearest[0])}`."


def _find_ends(names: Sequence[str], word: str) -> list[str]:
    return [name for name in names if word and name.endswith(word)]


def _find_nearest(names: Sequence[str], word: str) -> list[str]:
    """Find the names that a word may have been typed for: the only one that ends so, else those that are like it."""
    ends = _find_ends(names, word)
    if len(ends) == 1:
        return ends
    import difflib  # noqa: PLC0415 - for mistakes alone

    return difflib.get_close_matches(word, names, n=3, cutoff=0.6)


def _join_names(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
