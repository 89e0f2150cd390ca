"""Ids of sweeps that HSM runs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from hsm.errors import UsageError

# It is a folder, a word of command lines, a part of a job's name, and a group of W&B's.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
# Words that mean something else where a sweep is named.
_TAKEN = frozenset({"latest", "loose", "wandb", "outputs"})


def make_sweep_name(now: datetime) -> str:
    """Make the id of a sweep that is begun at a time, which is taken in UTC."""
    return f"sweep_{now:%Y%m%d_%H%M%S}"


def check_new_name(name: str) -> str:
    """Return the name of a sweep if it can be an id.

    Raises:
        UsageError: It cannot (kind `bad_sweep_name`).
    """
    if not _NAME.fullmatch(name) or ".." in name:
        what = "it is up to 100 letters, digits and _ . -, beginning with a letter, a digit or _"
    elif name.lower() in _TAKEN:
        what = "this word means something else"
    else:
        return name
    raise UsageError(
        f"{name!a} cannot be the name of a sweep: {what}",
        hint="Give another one with --name, or none: HSM makes one of the time.",
        kind="bad_sweep_name",
    )


def iter_names(name: str) -> Iterator[str]:
    """Yield a name, and those that a sweep gets where it is taken: with `_2`, `_3` and so on."""
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1
