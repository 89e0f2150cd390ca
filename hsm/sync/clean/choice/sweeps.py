"""Sweeps that the words of a clean mean: a source for each, since each is looked at, asked about and removed alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hsm.config.load import LoadedConfig
from hsm.discover.words.lookup import LOOSE_WORD, RUN_PREFIX
from hsm.endpoint import Endpoint
from hsm.errors import UsageError
from hsm.plan.choice import RunChoice
from hsm.sweep_folder import LOOSE
from hsm.sync.clean.values import CleanOptions
from hsm.sync.source import ProjectSource, find_source


def find_clean_sources(
    loaded: LoadedConfig, endpoint: Endpoint, words: Sequence[str], options: CleanOptions, choice: RunChoice
) -> tuple[ProjectSource, ...]:
    """Find the sweeps that words mean, each as the source of a clean of its own.

    Args:
        loaded: The configuration.
        endpoint: This machine.
        words: As typed.
        options: Conditions that the user sets.
        choice: Of runs, by options.

    Raises:
        UsageError: A word means none, or several; or all loose runs are meant.
    """
    source = find_source(loaded, endpoint, words)
    if any(sweep.id == LOOSE for sweep in source.sweeps) and not (options.older_than_ns or choice.names):
        _check_loose(source.only.get(LOOSE, frozenset()), words)
    return tuple(
        replace(source, sweeps=(sweep,), said=source.said if number == 0 else ())
        for number, sweep in enumerate(source.sweeps)
    )


def _check_loose(runs: Iterable[str], words: Sequence[str]) -> None:
    """Refuse loose runs of which not each is named: they have no end, so that today's would go with last year's.

    A wandb folder means its loose runs too, and names none of them.
    """
    if not runs or not all(any(_is_named(run, word) for word in words) for run in runs):
        raise UsageError(
            "Loose runs are removed by their age or one by one.",
            hint=f"Try `hsm sync clean {LOOSE_WORD} --older-than 30d`, or `--run ID` for single runs.",
            kind="loose_unbounded",
        )


def _is_named(run: str, word: str) -> bool:
    if "/" in word:
        return os.path.basename(os.path.realpath(word)) == run  # noqa: PTH119 - as the bytes are
    word = word.removeprefix(RUN_PREFIX)
    # wandb may add to the name of the folder behind the id.
    return bool(word) and (word == run or f"-{word}" in run)
