"""HSM for Python programs: what `hsm sync to` and `hsm sync from` do, with the same options, reports and errors.

    from hsm import load_config, sync_to

    report = sync_to(load_config(), "latest", target="desktop")

Nothing is printed and nobody is asked: a target that wants a password or a second factor needs a login that is open
already (`hsm sync login`). Stable: `load_config`, `sync_to`, `sync_from`, the document of a report, the kinds of
errors (docs/API.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.call_options import PullOptions, PushOptions, Words, iter_forms
from hsm.config import load
from hsm.config.layers import Layer
from hsm.config.loaded import LoadedConfig
from hsm.errors import UsageError
from hsm.hosts.sync_target import find_target
from hsm.process.runner import Runner
from hsm.progress import Reporter, SilentReporter
from hsm.sync.bring.pull import pull
from hsm.sync.bring.push import push
from hsm.sync.call import (
    choose_addresses,
    choose_targets,
    list_asked,
    list_words,
    make_request,
    parse_overrides,
    parse_scope,
)
from hsm.sync.reports import SyncReport
from hsm.sync.request import SyncRequest

if TYPE_CHECKING:
    from typing_extensions import Unpack


def load_config(folder: str | Path = ".") -> LoadedConfig:
    """Load the configuration of the project that a folder lies in, environment variables included.

    Raises:
        ConfigError: There is none, or it is wrong; the message lists every mistake.
    """
    return load.load_project_config(Path(folder), find_node=find_target)


def sync_to(
    config: LoadedConfig, sweeps: Words = (), *, reporter: Reporter | None = None, **options: Unpack[PushOptions]
) -> SyncReport:
    """Copy sweeps of a project to targets, as `hsm sync to`.

    What goes wrong at one target stands in the report; `report.exit_code` is what the program would end with. Ctrl-C
    ends the work, and the report says what had arrived.

    Args:
        config: From `load_config`.
        sweeps: Words as on the command line, such as ids and `latest`; none with `all`, or with `run` alone.
        reporter: Told what happens meanwhile, from several threads (`hsm.progress`).
        options: Those of the command, with `_` for `-`; see `hsm.call_options.PushOptions` and docs/SYNC.md.

    Raises:
        HsmError: The call cannot be meant so, or the configuration cannot; nothing was started.
        TypeError: There is no such option.
    """
    _check_names(options, PushOptions)
    overrides = parse_overrides(
        options.get("set"), to_sweeps=options.get("to_sweeps"), to_wandb=options.get("to_wandb")
    )
    loaded, request = _make_request(config, sweeps, options, overrides)
    request = replace(request, does_after_sync=not options.get("no_after_sync", False))
    return push(loaded, request, runner=Runner(), reporter=reporter or SilentReporter())


def sync_from(
    config: LoadedConfig, sweeps: Words = (), *, reporter: Reporter | None = None, **options: Unpack[PullOptions]
) -> SyncReport:
    """Copy sweeps that lie at targets into a project, as `hsm sync from`; else like `sync_to`.

    Args:
        config: From `load_config`.
        sweeps: Words as of `sync_to`, for what lies at the targets.
        reporter: Told what happens meanwhile, from several threads (`hsm.progress`).
        options: Those of the command, with `_` for `-`; see `hsm.call_options.PullOptions` and docs/SYNC.md.

    Raises:
        HsmError: The call cannot be meant so, the configuration cannot, or no target has the sweep.
        TypeError: There is no such option.
    """
    _check_names(options, PullOptions)
    loaded, request = _make_request(config, sweeps, options, parse_overrides(options.get("set")))
    return pull(loaded, request, runner=Runner(), reporter=reporter or SilentReporter())


def _check_names(options: Mapping[str, object], known: type) -> None:
    unknown = options.keys() - {name for name, _, _ in iter_forms(known)}
    if unknown:
        raise TypeError(f"unexpected options: {', '.join(sorted(unknown))}")


def _make_request(
    config: LoadedConfig, sweeps: Words, options: PushOptions | PullOptions, overrides: Layer
) -> tuple[LoadedConfig, SyncRequest]:
    words = list_asked(list_words(sweeps), options)
    if not words:
        raise UsageError("No sweep was named.", hint="Name one, or `latest`.", kind="usage")
    scope = parse_scope(options)
    loaded, targets = choose_targets(
        config,
        options.get("target"),
        is_trusted=options.get("trust", False),
        overrides=overrides,
        warn=lambda text: warnings.warn(text, stacklevel=5),  # where `sync_to` is called
    )
    # A report is asked for its plan after the call, so files are always listed.
    return loaded, make_request(words, choose_addresses(loaded, targets), scope, options, lists_files=True)
