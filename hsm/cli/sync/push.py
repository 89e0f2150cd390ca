"""`hsm sync to`: copies sweeps to targets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hsm.call_options import SendOptions
from hsm.cli.sync.options.declarations import SweepsOrAsk
from hsm.cli.sync.options.signature import take_options
from hsm.cli.sync.options.sweep_choice import list_offers_here
from hsm.cli.sync.transfer import CopyCommand, copy_sweeps

if TYPE_CHECKING:
    from collections.abc import Sequence


@take_options(SendOptions, sweeps=SweepsOrAsk)
def send_to(sweeps: Sequence[str] | None, options: SendOptions) -> None:
    """Bring sweeps to targets: their folders and the wandb runs that belong to them.

    Run it as often as you like, also while the sweep still runs: only what is new or changed is sent, nothing is
    ever deleted at a target, and what is newer there is kept. `hsm sync run` is the same command.

    For example `hsm sync to latest --dry-run`, or `hsm sync to sweep_20251020_212836 -t desktop -t backup`. With
    --continuous it goes on until every expected run has ended and is complete there. Without SWEEP, a list to choose
    from, in a terminal.

    --runs, --include, --exclude, --since and --newest choose for this call alone: what they leave is pending still, and
    such a run is not complete.

    Exit codes: 0 all done, 1 some items failed or are unsettled, 2 usage or configuration, 10 target unreachable
    or login refused, 11 locked, 12 refused by a safety check, 130 interrupted.
    """
    from hsm.sync.bring.push import push
    from hsm.sync.call import parse_overrides

    copy_sweeps(
        sweeps,
        options,
        CopyCommand("sync to", "push", list_offers_here, partial(push, meanwhile=_import_rest)),
        overrides=parse_overrides(
            options.get("set"), to_sweeps=options.get("to_sweeps"), to_wandb=options.get("to_wandb")
        ),
        does_after_sync=not options.get("no_after_sync", False),
    )


def _import_rest() -> None:
    """Import, while the target is waited for, what is needed once it has answered; what is needed first comes first."""
    from importlib import import_module

    for name in (
        "hsm.transfer.rsync.engine",
        "hsm.transfer.rounds",
        "hsm.discover.secrets",
        "hsm.cli.render.sync.report",
    ):
        import_module(name)
