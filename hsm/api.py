"""HSM for Python programs: what `hsm sync to` and `hsm sync from` do, with the same options, reports and errors.

    from hsm import load_config, sync_to

    report = sync_to(load_config(), "latest", target="desktop")

Nothing is printed and nobody is asked: a target that wants a password or a second factor needs a login that is open
already (`hsm sync login`). Stable: `load_config`, `sync_to`, `sync_from`, the document of a report, the kinds of
errors (docs/API.md).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from hsm.config import load
from hsm.config.load import LoadedConfig, select_targets
from hsm.config.overrides import parse_assignments
from hsm.config.resolve import resolve_targets
from hsm.config.schema import TargetSettings
from hsm.config.trust import apply_trust, check_trust
from hsm.errors import UsageError
from hsm.hosts.sync_target import choose_address, find_target
from hsm.plan.choice import choose_roots, make_choice
from hsm.plan.safety import parse_checks
from hsm.process.runner import Runner
from hsm.progress import Reporter, SilentReporter
from hsm.sync.bring.pull import pull
from hsm.sync.bring.push import push
from hsm.sync.reports import SyncReport
from hsm.sync.request import SyncRequest

if TYPE_CHECKING:
    from typing_extensions import Unpack

Words = str | Sequence[str]
"""One word, or several."""


class CallOptions(TypedDict, total=False):
    """The options that `sync_to` and `sync_from` share, each named and meant as on the command line (docs/SYNC.md).

    Attributes:
        target: Configured targets; by default `default_target`.
        dry_run: Plan only.
        sweep_only: Only the sweep's folder.
        wandb_only: Only the runs.
        runs: Only runs in these states.
        include: Only files of runs that a gitignore pattern names.
        exclude: No files of runs that a gitignore pattern names.
        since: Only runs in which something changed within this age, as `2d`.
        newest: Only so many of the runs that are left.
        all_versions: Superseded versions too.
        overwrite: Conflicts too.
        set: Other settings for this call, as `options.parallel_transfers=8`.
        allow: Safety checks that are waived.
        break_lock: Take locks whoever holds them.
        trust: Use the configuration's `ssh` settings although others may write the file.
        reporter: Is told what happens meanwhile, from several threads (`hsm.progress`).
    """

    target: Words
    dry_run: bool
    sweep_only: bool
    wandb_only: bool
    runs: Words
    include: Words
    exclude: Words
    since: str | None
    newest: int | None
    all_versions: bool
    overwrite: bool
    set: Words
    allow: Words
    break_lock: bool
    trust: bool
    reporter: Reporter


def load_config(folder: str | Path = ".") -> LoadedConfig:
    """Load the configuration of the project that a folder lies in, environment variables included.

    Raises:
        ConfigError: There is none, or it is wrong; the message lists every mistake.
    """
    return load.load_project_config(Path(folder), find_node=find_target)


def sync_to(
    config: LoadedConfig,
    sweeps: Words,
    *,
    to_sweeps: str | None = None,
    to_wandb: str | None = None,
    no_after_sync: bool = False,
    **options: Unpack[CallOptions],
) -> SyncReport:
    """Bring sweeps of a project to targets, as `hsm sync to`.

    What goes wrong at one target stands in the report; `report.exit_code` is what the program would end with. Ctrl-C
    ends the work, and the report says what had arrived.

    Args:
        config: From `load_config`.
        sweeps: Ids, unambiguous prefixes of ids, or `latest`.
        to_sweeps: Where sweep folders land for this call.
        to_wandb: Where run folders land for this call.
        no_after_sync: Do nothing of what the targets' `after_sync` says.
        options: See `CallOptions`.

    Raises:
        HsmError: The call cannot be meant so, or the configuration cannot; nothing was started.
    """
    folders = {"--to-sweeps": (("paths", "sweeps"), to_sweeps), "--to-wandb": (("paths", "wandb"), to_wandb)}
    texts = {option: (key, text) for option, (key, text) in folders.items() if text is not None}
    loaded, request = _make_request(config, sweeps, options, texts)
    request = replace(request, does_after_sync=not no_after_sync)
    return push(loaded, request, runner=Runner(), reporter=options.get("reporter") or SilentReporter())


def sync_from(config: LoadedConfig, sweeps: Words, **options: Unpack[CallOptions]) -> SyncReport:
    """Bring sweeps that lie at targets into a project, as `hsm sync from`; else like `sync_to`.

    Args:
        config: From `load_config`.
        sweeps: Ids at the targets, unambiguous prefixes of ids, or `latest`.
        options: See `CallOptions`.

    Raises:
        HsmError: The call cannot be meant so, the configuration cannot, or no target has the sweep.
    """
    loaded, request = _make_request(config, sweeps, options, {})
    return pull(loaded, request, runner=Runner(), reporter=options.get("reporter") or SilentReporter())


def _make_request(
    config: LoadedConfig, sweeps: Words, options: CallOptions, texts: Mapping[str, tuple[tuple[str, ...], str]]
) -> tuple[LoadedConfig, SyncRequest]:
    """What a call means.

    Raises:
        HsmError: It cannot be meant so.
    """
    unknown = options.keys() - CallOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected options: {', '.join(sorted(unknown))}")
    words = _list_words(sweeps)
    if not words:
        raise UsageError("No sweep was named.", hint="Name one, or `latest`.", kind="usage")
    choice = make_choice(
        runs=_list_words(options.get("runs", ())),
        include=_list_words(options.get("include", ())),
        exclude=_list_words(options.get("exclude", ())),
        since=options.get("since"),
        newest=options.get("newest"),
        now_ns=time.time_ns(),
    )
    sweep_only, wandb_only = options.get("sweep_only", False), options.get("wandb_only", False)
    roots = choose_roots(sweep_only=sweep_only, wandb_only=wandb_only)
    allowed = parse_checks(_list_words(options.get("allow", ())))
    loaded, targets = _load_targets(config, options, texts)
    request = SyncRequest(
        sweeps=words,
        targets=targets,
        is_dry_run=options.get("dry_run", False),
        roots=roots,
        choice=choice,
        all_versions=options.get("all_versions", False),
        overwrite=options.get("overwrite", False),
        allowed=allowed,
        breaks_lock=options.get("break_lock", False),
        lists_files=True,  # a report is asked for its plan after the call
    )
    return loaded, request


def _load_targets(
    config: LoadedConfig, options: CallOptions, texts: Mapping[str, tuple[tuple[str, ...], str]]
) -> tuple[LoadedConfig, dict[str, TargetSettings]]:
    """The configuration as far as it is trusted, and the targets that are meant, with what overrides them."""
    loaded, left = apply_trust(config, is_trusted=options.get("trust", False))
    for warning in left:
        warnings.warn(warning, stacklevel=4)
    overrides = parse_assignments(_list_words(options.get("set", ())), texts=texts)
    targets = select_targets(loaded.config, _list_words(options.get("target", ())))
    if overrides:
        loaded = replace(loaded, layers=replace(loaded.layers, command_line=overrides))
        targets = resolve_targets(loaded.layers, targets)
    check_trust(loaded, targets)
    return loaded, {name: choose_address(settings, loaded.project) for name, settings in targets.items()}


def _list_words(words: Words) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)
