"""Between which places the journal of a target speaks. Apart from what connects to it, which costs imports."""

from __future__ import annotations

from hsm.config.schema import TargetSettings
from hsm.records.journal import Route


def make_route(settings: TargetSettings, *, direction: str) -> Route:
    """Between which places a journal of this target speaks: `push` or `pull`."""
    return Route(
        direction=direction,
        host=settings.host if settings.node is None else f"node:{settings.node}",  # by whichever address
        user=settings.user,
        port=settings.port,
        sweeps=settings.paths.sweeps,
        wandb=settings.paths.wandb,
    )
