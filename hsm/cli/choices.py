"""What several commands of `hsm sync` make of their options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hsm.model import Root
    from hsm.plan.choice import Choice


def parse_choice(
    runs: Sequence[str] | None,
    include: Sequence[str] | None,
    exclude: Sequence[str] | None,
    *,
    since: str | None,
    newest: int | None,
) -> Choice:
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


def choose_roots(*, sweep_only: bool, wandb_only: bool) -> tuple[Root, ...]:
    """Which of the two folders `--sweep-only` and `--wandb-only` leave.

    Raises:
        UsageError: Neither.
    """
    from hsm.model import Root

    if sweep_only and wandb_only:
        raise UsageError(
            "--sweep-only and --wandb-only leave nothing to bring.",
            hint="Give one of them, or neither to bring both.",
            kind="usage",
        )
    return (Root.SWEEPS,) if sweep_only else (Root.WANDB,) if wandb_only else tuple(Root)


def check_allowed(names: Sequence[str]) -> frozenset[str]:
    """The safety checks that `--allow` waives.

    Raises:
        UsageError: There is no such check.
    """
    from hsm.plan.safety import CHECKS

    for name in names:
        if name not in CHECKS:
            known = "; ".join(f"{check}: {meaning}" for check, meaning in CHECKS.items())
            raise UsageError(f"There is no safety check {name!r}.", hint=f"There are: {known}.", kind="usage")
    return frozenset(names)
