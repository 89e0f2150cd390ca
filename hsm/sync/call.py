"""Call of `hsm sync to` or `hsm sync from`: the meaning of its options, for the command line and for Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hsm.call_options import ChoiceOptions, PullOptions, PushOptions, Words
from hsm.config.layers import Layer
from hsm.config.loaded import LoadedConfig, select_targets
from hsm.config.named_files import iter_missing_files
from hsm.config.settings import TargetSettings
from hsm.config.trust import apply_trust, check_trust
from hsm.discover.words.lookup import ALL_SWEEPS, RUN_PREFIX
from hsm.errors import UsageError
from hsm.model import Root
from hsm.plan.choice import RunChoice, choose_roots, make_choice
from hsm.plan.safety import parse_checks
from hsm.sync.request import SyncRequest


@dataclass(frozen=True, slots=True)
class CallScope:
    """Scope of a call, as far as its options tell without a configuration.

    Attributes:
        roots: Of the two folders.
        choice: Of runs, and of files in them.
        allowed: Safety checks that are waived.
    """

    roots: tuple[Root, ...]
    choice: RunChoice
    allowed: frozenset[str]


def parse_scope(options: PushOptions | PullOptions) -> CallScope:
    """Read the scope of a call.

    Raises:
        UsageError: An option has no such value, or two do not go together.
    """
    roots = choose_roots(sweep_only=options.get("sweep_only", False), wandb_only=options.get("wandb_only", False))
    return CallScope(roots, parse_choice(options), parse_checks(list_words(options.get("allow"))))


def parse_choice(options: ChoiceOptions) -> RunChoice:
    """Read the choice of runs, and of files in them.

    Raises:
        UsageError: An option has no such value.
    """
    return make_choice(
        runs=list_words(options.get("runs")),
        include=list_words(options.get("include")),
        exclude=list_words(options.get("exclude")),
        since=options.get("since"),
        newest=options.get("newest"),
        names=list_words(options.get("run")),
        project=options.get("project") or "",
        now_ns=time.time_ns(),
    )


def list_asked(sweeps: Sequence[str] | None, options: ChoiceOptions) -> tuple[str, ...]:
    """List the words of a call: those that were typed, else every sweep, or the sweeps of the runs that are named.

    Raises:
        UsageError: `--all` was given with the name of a sweep.
    """
    if options.get("all"):
        if sweeps:
            raise UsageError(
                "--all means every sweep.", hint="Give it without names, or the names alone.", kind="usage"
            )
        if not options.get("run"):  # else the sweeps that those runs are in
            return (ALL_SWEEPS,)
    return tuple(sweeps or (f"{RUN_PREFIX}{run}" for run in list_words(options.get("run"))))


def parse_overrides(assignments: Words | None, *, to_sweeps: str | None = None, to_wandb: str | None = None) -> Layer:
    """Read the settings that a call has in place of its targets' own.

    Args:
        assignments: Each `KEY=VALUE`.
        to_sweeps: Where sweep folders land.
        to_wandb: Where run folders land.

    Raises:
        ConfigError: A key is unknown, or a value cannot be read (kind `bad_override`).
    """
    folders = {"--to-sweeps": (("paths", "sweeps"), to_sweeps), "--to-wandb": (("paths", "wandb"), to_wandb)}
    texts = {option: (key, text) for option, (key, text) in folders.items() if text is not None}
    words = list_words(assignments)
    if not words and not texts:
        return {}
    from hsm.config.overrides import parse_assignments  # noqa: PLC0415 - with the schema

    return parse_assignments(words, texts=texts)


def choose_targets(
    config: LoadedConfig,
    names: Words | None,
    *,
    is_trusted: bool,
    overrides: Layer | None = None,
    warn: Callable[[str], object],
) -> tuple[LoadedConfig, dict[str, TargetSettings]]:
    """Choose the targets of a call, with the settings that count for it.

    Args:
        config: As loaded.
        names: Of targets; none means the default.
        is_trusted: All of the file counts, although others may have written it.
        overrides: What the call sets.
        warn: Called with a sentence for what of the file does not count, and for a key that is missing.

    Returns:
        The configuration as far as it counts, and the targets. A target that names a machine of the hosts file has
        the machine's first address (`choose_addresses`).

    Raises:
        UsageError: A target is unknown, or none is meant.
        ConfigError: Settings are not right together, or an `ssh.config` is not trusted.
    """
    loaded, warnings = apply_trust(config, is_trusted=is_trusted)
    for warning in warnings:
        warn(warning)
    targets = select_targets(loaded.config, list_words(names))
    if overrides:
        from hsm.config.resolve import resolve_targets  # noqa: PLC0415 - with the schema

        layers = replace(loaded.layers, command_line=overrides)
        loaded = replace(loaded, read_layers=lambda: layers)
        targets = resolve_targets(layers, targets)
    check_trust(loaded, targets)
    for warning in iter_missing_files(targets):
        warn(warning)
    return loaded, targets


def choose_addresses(loaded: LoadedConfig, targets: Mapping[str, TargetSettings]) -> dict[str, TargetSettings]:
    """Put the address that answers into targets that name a machine of the hosts file.

    Raises:
        ConfigError: As `hsm.hosts.sync_target.choose_address`.
    """
    if all(settings.node is None for settings in targets.values()):
        return dict(targets)
    from hsm.hosts.sync_target import choose_address  # noqa: PLC0415 - it asks machines, which takes long to import

    return {name: choose_address(settings, loaded.project) for name, settings in targets.items()}


def make_request(
    sweeps: Sequence[str],
    targets: Mapping[str, TargetSettings],
    scope: CallScope,
    options: PushOptions | PullOptions,
    *,
    may_ask: bool = False,
    does_after_sync: bool = True,
    lists_files: bool = False,
) -> SyncRequest:
    """Make the request that a call means; see `SyncRequest` for what is not an option."""
    return SyncRequest(
        sweeps=tuple(sweeps),
        targets=targets,
        is_dry_run=options.get("dry_run", False),
        roots=scope.roots,
        choice=scope.choice,
        all_versions=options.get("all_versions", False),
        overwrite=options.get("overwrite", False),
        allowed=scope.allowed,
        may_ask=may_ask,
        breaks_lock=options.get("break_lock", False),
        does_after_sync=does_after_sync,
        lists_files=lists_files,
    )


def list_words(words: Words | None) -> tuple[str, ...]:
    """Return the words of an option that takes one or several; none where it was not given."""
    return (words,) if isinstance(words, str) else tuple(words or ())
