"""Sweeps that the words of a clean mean: a source for each, since each is looked at, asked about and removed alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hsm.config.loaded import LoadedConfig
from hsm.discover.membership import Candidate
from hsm.discover.words.lookup import ALL_SWEEPS, RUN_PREFIX
from hsm.discover.words.spelling import LOOSE_WORD
from hsm.endpoint import Endpoint
from hsm.errors import UsageError
from hsm.plan.choice import RunChoice
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned_runs import iter_all_cleanings
from hsm.sweep_folder import LOOSE
from hsm.sync.clean.choice.targets import choose_counting_targets
from hsm.sync.clean.values import CleanOptions
from hsm.sync.source import ProjectSource, find_source


def find_clean_sources(
    loaded: LoadedConfig,
    endpoint: Endpoint,
    words: Sequence[str],
    options: CleanOptions,
    choice: RunChoice,
    targets: Sequence[str] = (),
) -> tuple[ProjectSource, ...]:
    """Find the sweeps that words mean, each as the source of a clean of its own.

    Args:
        loaded: The configuration.
        endpoint: This machine.
        words: As typed.
        options: Conditions that the user sets.
        choice: Of runs, by options.
        targets: The names of those whose copies count; by default all that a sweep was brought to.

    Raises:
        UsageError: A word means none, or several; all loose runs are meant; or a sweep was never brought anywhere.
    """
    try:
        source = find_source(loaded, endpoint, words)
    except UsageError:
        left = _find_left(loaded, words)
        if not left:
            raise
        source = _find_rest(loaded, endpoint, words, left)
    if ALL_SWEEPS in words:
        source = _leave_unasked(loaded, source, targets, takes_loose=bool(options.older_than_ns))
    if any(sweep.id == LOOSE for sweep in source.sweeps) and not (options.older_than_ns or choice.names):
        _check_loose(source.only.get(LOOSE, frozenset()), words)
    for sweep in source.sweeps:  # before anything is removed of the first one
        choose_counting_targets(loaded, sweep.id, targets)
    return tuple(
        replace(source, sweeps=(sweep,), said=source.said if number == 0 else ())
        for number, sweep in enumerate(source.sweeps)
    )


def _leave_unasked(
    loaded: LoadedConfig, source: ProjectSource, targets: Sequence[str], *, takes_loose: bool
) -> ProjectSource:
    """Leave what `--all` does not mean: sweeps that were brought nowhere, and loose runs without an age.

    What stays is said, so that nobody takes it for cleaned. Where nothing is left, the caller's checks say why.
    """
    folder, names = ProjectFolder(loaded.project), targets or tuple(loaded.config.sync_targets)
    brought = {sweep.id for sweep in source.sweeps if any(os.path.isfile(folder.journal(n, sweep.id)) for n in names)}  # noqa: PTH113
    kept = tuple(sweep for sweep in source.sweeps if sweep.id in brought and (takes_loose or sweep.id != LOOSE))
    if not kept:
        return source
    never = [sweep.id for sweep in source.sweeps if sweep.id not in brought]
    said = [f"{len(never)} of {len(source.sweeps)} sweeps stay: not brought to any target from here"] if never else []
    if LOOSE in brought and not takes_loose:
        said.append("the loose runs stay: they go with `--older-than 30d`, or one by one with `--run ID`")
    return replace(source, sweeps=kept, said=(*source.said, *said))


def _find_left(loaded: LoadedConfig, words: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Find the runs of which an interrupted clean left something, by the words that name them; with their sweeps."""
    left = {
        unit.name: cleaning.sweep
        for cleaning in iter_all_cleanings(loaded.project)
        for unit in cleaning.units
        if unit.name and os.path.lexists(unit.aside_path)
    }
    return {word: (name, sweep) for word in words for name, sweep in left.items() if _is_named(name, word)}


def _find_rest(
    loaded: LoadedConfig, endpoint: Endpoint, words: Sequence[str], left: Mapping[str, tuple[str, str]]
) -> ProjectSource:
    """Find what words mean of which some name what an interrupted clean left, so that they name no run any more."""
    others = [word for word in words if word not in left]
    asked = find_source(loaded, endpoint, others) if others else None
    whole = {sweep.id for sweep in asked.sweeps} - asked.only.keys() if asked is not None else set()
    only = dict(asked.only) if asked is not None else {}
    for name, sweep in left.values():
        if sweep not in whole:
            only[sweep] = only.get(sweep, frozenset()) | {name}
    source = find_source(loaded, endpoint, [*others, *dict.fromkeys(sweep for _, sweep in left.values())])
    return replace(source, only=only)


def _check_loose(runs: Iterable[str], words: Sequence[str]) -> None:
    """Refuse loose runs of which not each is named: they have no end, so that today's would go with last year's.

    A wandb folder means its loose runs too, and names none of them.
    """
    if not runs or not all(any(_is_named(run, word) for word in words) for run in runs):
        raise UsageError(
            "Loose runs are removed by their age or one by one.",
            # `loose` may be the beginning of a folder's name.
            hint=f"Try `hsm sync clean {LOOSE_WORD if LOOSE_WORD in words else LOOSE} --older-than 30d`, "
            "or `--run ID` for single runs.",
            kind="loose_unbounded",
        )


def _is_named(run: str, word: str) -> bool:
    if "/" in word:
        return os.path.basename(os.path.realpath(word)) == run  # noqa: PTH119 - as the bytes are
    word, run_id = word.removeprefix(RUN_PREFIX), Candidate(run, "").run_id
    return word in (run, run_id) or run_id.startswith(f"{word}-")  # wandb may add to the folder's name behind the id
