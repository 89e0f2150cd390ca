"""Sweeps of a command that works with and without a configuration: where they ran, and where they arrived."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.cli.sync.options.project import find_received_project, load_current_config
from hsm.errors import NoConfigError

if TYPE_CHECKING:
    from hsm.sync.source import ProjectSource


def find_command_source(words: Sequence[str]) -> tuple[ProjectSource, bool]:
    """Find the sweeps that words mean; also tell whether the project has a configuration."""
    from hsm.remote.local import LocalEndpoint
    from hsm.sync.meanings import find_meanings_of
    from hsm.sync.places import find_received_places
    from hsm.sync.source import find_source, make_source

    endpoint = LocalEndpoint()
    try:
        return find_source(load_current_config(), endpoint, words), True
    except NoConfigError:
        here = Path.cwd()
        project = find_received_project(here) or (here if (here / "wandb").is_dir() else None)
        if project is None:
            raise
    places = find_received_places(project, endpoint)
    meanings = find_meanings_of(places.make_lookup(working_folder=os.getcwd()), words)  # noqa: PTH109 - as bytes are
    return make_source(project, places, meanings), False


def list_project_words(words: Sequence[str], project: str) -> tuple[str, ...]:
    """List words for those of the sweeps that have runs of a project of wandb's.

    Args:
        words: Of sweeps; none means all.
        project: Its name.

    Raises:
        UsageError: None of them has such a run.
    """
    from hsm.discover.sweeps import LATEST
    from hsm.discover.words.lookup import ALL_SWEEPS
    from hsm.discover.words.meanings import GROUP_PREFIX
    from hsm.discover.words.spelling import LOOSE_WORD
    from hsm.model import Root
    from hsm.plan.choice import RunChoice
    from hsm.sync.source import check_choice, read_inventories

    source, is_configured = find_command_source(words or [ALL_SWEEPS])
    inventories = read_inventories(
        source, depths=[1], roots=[Root.WANDB], with_versions=False, saves_cache=is_configured
    ).values()
    check_choice(RunChoice(project=project), inventories)
    found = [each.sweep for each in inventories if any(run.project == project for run in each.runs)]
    return tuple(f"{GROUP_PREFIX}{sweep}" if sweep in (LATEST, LOOSE_WORD) else sweep for sweep in found)
