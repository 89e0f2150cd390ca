"""`hsm sync from`: copies sweeps from targets into this project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsm.call_options import ReceiveOptions
from hsm.cli.sync.options.declarations import FarSweeps
from hsm.cli.sync.options.signature import take_options
from hsm.cli.sync.options.sweep_choice import list_offers_there
from hsm.cli.sync.transfer import CopyCommand, copy_sweeps

if TYPE_CHECKING:
    from collections.abc import Sequence


@take_options(ReceiveOptions, sweeps=FarSweeps)
def receive_from(sweeps: Sequence[str] | None, options: ReceiveOptions) -> None:
    """Bring sweeps from targets into this project: their folders and the wandb runs that belong to them.

    The other way round than `hsm sync to`, for clusters that cannot reach this machine: the target's `paths` are
    read, the project's own folders receive. Run it as often as you like: only what is new or changed comes, nothing
    is ever deleted here. A sweep that ran on two clusters is brought from both into one folder; a file that differs
    and came from another place is a conflict, and is kept.

    For example `hsm sync from latest -t hpc --dry-run`; `hsm sync list --sweeps -t hpc` shows what is there. With
    --continuous it goes on until every expected run has ended and is complete here. Without SWEEP, a list to choose
    from, in a terminal.

    --runs, --include, --exclude, --since and --newest choose for this call alone: what they leave is pending still, and
    such a run is not complete.

    Exit codes: 0 all done, 1 some items failed, are conflicts or unsettled, 2 usage or configuration, 10 target
    unreachable or login refused, 11 locked, 12 refused by a safety check, 130 interrupted.
    """
    from hsm.sync.bring.pull import pull
    from hsm.sync.call import parse_overrides

    copy_sweeps(
        sweeps,
        options,
        CopyCommand("sync from", "pull", list_offers_there, pull),
        overrides=parse_overrides(options.get("set")),
    )
