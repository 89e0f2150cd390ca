"""Options of one exchange, from a target's settings and a request. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from hsm.config.settings import SyncOptions, TargetSettings
from hsm.errors import UsageError
from hsm.model import Root, SweepInventory
from hsm.plan.planner import PlanOptions, select
from hsm.plan.symlinks.folder_links import FolderLinks
from hsm.sync.request import SyncRequest
from hsm.transfer.outcome import Patience


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """The options of one exchange.

    Attributes:
        plan: What the plan is asked.
        max_depth: Levels of the sweep folder that count; None for all.
        n_workers: Workers wanted.
        roots: Which of the two folders are brought.
        switched_off: Those that the target's options switch off.
        folder_links: Which symlinked folders are followed.
        allowed: Names of safety checks that are waived.
        is_dry_run: Stop before anything is changed.
        patience: How long to wait for what may still turn out well.
    """

    plan: PlanOptions = field(default_factory=PlanOptions)
    max_depth: int | None = 1
    n_workers: int = 4
    roots: tuple[Root, ...] = tuple(Root)
    switched_off: frozenset[Root] = frozenset()
    folder_links: FolderLinks = "skip"
    allowed: frozenset[str] = frozenset()
    secrets: Literal["warn", "refuse", "ignore"] = "warn"
    is_dry_run: bool = False
    patience: Patience = field(default_factory=Patience)


def make_options(
    name: str, settings: TargetSettings, request: SyncRequest, *, only: frozenset[str] = frozenset()
) -> ExchangeOptions:
    """Make the options of an exchange from a target's settings and a command line.

    Args:
        name: The target's.
        settings: For the sweep.
        request: What is wanted.
        only: The names of the sweep's runs that alone are meant; empty for all.

    Raises:
        UsageError: Nothing is left to be brought.
    """
    options = settings.options
    # Single runs are meant: nothing of the sweep's own folder.
    asked = set(request.roots) & {Root.WANDB} if only or request.choice.names else set(request.roots)
    roots = tuple(root for root in Root if root in asked and _is_wanted(root, options))
    if not roots:
        raise UsageError(
            f"Nothing is left to be brought to {name}: its options switch off what the command asks for.",
            hint="See `sync_sweep_metadata` and `sync_wandb_runs` in `hsm sync list`.",
            kind="nothing_selected",
        )
    latest_only = options.latest_only
    if settings.uploads and latest_only is True:  # wandb loses what is missing of a run without a word
        latest_only = "uploaded"
    plan = PlanOptions(
        latest_only=False if request.all_versions else latest_only,
        exclude=options.exclude,
        secret_patterns=options.secret_patterns,
        is_checked=options.check_remote_first,
        overwrite=request.overwrite,
        choice=replace(request.choice, names=only) if only else request.choice,
    )
    return ExchangeOptions(
        plan=plan,
        max_depth=options.max_depth,
        n_workers=options.parallel_transfers,
        roots=roots,
        switched_off=frozenset(root for root in Root if not _is_wanted(root, options)),
        folder_links=options.folder_links,
        allowed=request.allowed,
        secrets=settings.secrets,
        is_dry_run=request.is_dry_run,
    )


def select_wanted(inventory: SweepInventory, options: ExchangeOptions) -> SweepInventory:
    """Select what an exchange copies of what the source has."""
    return select(
        inventory,
        options.roots,
        folder_links=options.folder_links,
        switched_off=options.switched_off,
        may_lack_runs="source-empty" in options.allowed,
    )


def _is_wanted(root: Root, options: SyncOptions) -> bool:
    return options.sync_sweep_metadata if root is Root.SWEEPS else options.sync_wandb_runs
