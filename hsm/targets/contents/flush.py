"""The order and the error of a flush, whichever way it takes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hsm.errors import TargetError


def list_with_folders(paths: Iterable[str]) -> list[str]:
    """Files, then the folders that hold them, each once. Pure."""
    files = list(paths)
    return [*files, *sorted({path.rpartition("/")[0] or "/" for path in files})]


def make_flush_error(name: str, reason: str) -> TargetError:
    """The error that says why a target's copies do not count."""
    return TargetError(
        f"{name} cannot be asked to write its files to the disk, so what lies there does not count.",
        hint="Name another target with --target.",
        kind="cannot_flush",
        detail=reason,
    )
