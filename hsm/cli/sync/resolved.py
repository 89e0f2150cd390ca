"""`hsm sync list --resolved`: every value that targets have for a sweep, and where it comes from."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from hsm.cli.json_document import print_document
from hsm.cli.sync.options.project import load_current_config
from hsm.errors import UnknownSweepError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hsm.config.layers import Layer
    from hsm.config.loaded import LoadedConfig
    from hsm.config.resolve import Resolved
    from hsm.config.settings import SyncConfig
    from hsm.discover.words.lookup import Meaning
    from hsm.plan.choice import RunChoice
    from hsm.sync.places import ProjectPlaces

_NOT_SHOWN = "(not shown)"


def show_resolved(
    words: Sequence[str], names: Sequence[str], overrides: Layer, choice: RunChoice, *, as_json: bool
) -> None:
    """Print what targets have for a sweep.

    Args:
        words: The sweep, as typed, or words of runs that are in one; a sweep that is not here counts by its name.
        names: Targets; none means all.
        overrides: What the command line sets.
        choice: Of runs, which the sweep must have.
        as_json: Print a document.

    Raises:
        ConfigError: The settings are not right together.
        UsageError: The word cannot be a sweep, or a target is unknown.
    """
    from hsm.config.loaded import select_targets
    from hsm.config.resolve import resolve_target

    loaded = load_current_config()
    sweep = _find_sweep(loaded, words, choice, is_quiet=as_json)
    layers = replace(loaded.layers, command_line=overrides)
    targets = select_targets(loaded.config, names or tuple(loaded.config.sync_targets))
    resolved = [resolve_target(layers, name, sweep) for name in targets]
    if as_json:
        print_document("sync list", _make_content(loaded, sweep, resolved))
        return
    from hsm.cli.render.sync.targets import show_resolved_targets

    show_resolved_targets(loaded, sweep, resolved)


def make_settings_document(config: SyncConfig) -> dict[str, object]:
    """Make JSON values of the configuration, without what may be a secret; of `sweeps` only what was set."""
    from hsm.config.resolve import is_secret

    document = asdict(config)
    del document["source_keys"]
    for settings in document["sync_targets"].values():
        options = settings["ssh"]["options"]
        settings["ssh"]["options"] = {
            name: _NOT_SHOWN if is_secret(("ssh", "options", name)) else value for name, value in options.items()
        }
    return document


def _find_sweep(loaded: LoadedConfig, words: Sequence[str], choice: RunChoice, *, is_quiet: bool) -> str:
    """Find the one sweep that words mean; one that is not here counts by its name."""
    from hsm.cli.render import show_note
    from hsm.discover.sweeps import LATEST
    from hsm.remote.local import LocalEndpoint
    from hsm.sync.meanings import find_meant

    word = words[0]
    try:
        places, meanings = find_meant(loaded, LocalEndpoint(), words)
    except UnknownSweepError:
        if word == LATEST or not choice.is_everything:
            raise
        return word
    sweeps = dict.fromkeys(meaning.sweep.id for meaning in meanings)
    if len(sweeps) > 1:
        raise UsageError(
            f"{' '.join(words)!r} means {len(sweeps)} sweeps, each of which may have settings of its own.",
            hint=f"Name one of them: `hsm sync list --resolved {shlex.quote(list(sweeps)[-1])}`.",
            kind="ambiguous_sweep",
        )
    _check_choice(loaded, places, meanings, choice)
    for meaning in meanings if not is_quiet else ():
        if meaning.said:
            show_note(meaning.said)
    return next(iter(sweeps))


def _check_choice(loaded: LoadedConfig, places: ProjectPlaces, meanings: Sequence[Meaning], choice: RunChoice) -> None:
    """Refuse a sweep that has no such run."""
    from hsm.model import Root
    from hsm.sync.source import check_choice, make_source, read_inventories

    if choice.is_everything:
        return
    source = make_source(loaded.project, places, meanings)
    found = read_inventories(source, depths=[1], roots=[Root.WANDB], with_versions=False, saves_cache=False)
    check_choice(choice, found.values())


def _make_content(loaded: LoadedConfig, sweep: str, resolved: Sequence[Resolved]) -> dict[str, object]:
    from hsm.config.resolve import iter_shown

    return {
        "config": str(loaded.path),
        "project": str(loaded.project),
        "sweep": sweep,
        "targets": [
            {
                "name": target.target,
                "settings": [
                    {
                        "key": shown.key,
                        "value": shown.value,
                        "origin": shown.origin.kind.value,
                        "place": shown.origin.place,
                    }
                    for shown in iter_shown(target)
                ],
            }
            for target in resolved
        ],
    }
