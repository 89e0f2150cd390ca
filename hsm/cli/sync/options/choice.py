"""What several commands of `hsm sync` make of their options."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hsm.model import Root
    from hsm.plan.choice import RunChoice


def parse_choice(
    runs: Sequence[str] | None,
    include: Sequence[str] | None,
    exclude: Sequence[str] | None,
    *,
    since: str | None,
    newest: int | None,
) -> RunChoice:
    """What `--runs`, `--include`, `--exclude`, `--since` and `--newest` choose.

    Raises:
        UsageError: One of them cannot be meant.
    """
    import time

    from hsm.plan.choice import make_choice

    return make_choice(
        runs=runs or (),
        include=include or (),
        exclude=exclude or (),
        since=since,
        newest=newest,
        now_ns=time.time_ns(),
    )


def parse_roots(*, sweep_only: bool, wandb_only: bool) -> tuple[Root, ...]:
    """See `hsm.plan.choice.choose_roots`."""
    from hsm.plan import choice

    return choice.choose_roots(sweep_only=sweep_only, wandb_only=wandb_only)


def check_allowed(names: Sequence[str]) -> frozenset[str]:
    """See `hsm.plan.safety.parse_checks`."""
    from hsm.plan.safety import parse_checks

    return parse_checks(names)
