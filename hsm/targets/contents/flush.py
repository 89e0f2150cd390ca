"""The error of a flush, whichever way it takes. Pure."""

from __future__ import annotations

from hsm.errors import TargetError


def make_flush_error(name: str, reason: str) -> TargetError:
    """The error that says why a target's copies do not count."""
    return TargetError(
        f"{name} cannot be asked to write its files to the disk, so what lies there does not count.",
        hint="Name another target with --target.",
        kind="cannot_flush",
        detail=reason,
    )
