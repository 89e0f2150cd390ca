"""Commands as people read and paste them. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# What a shell leaves alone between double quotes, also one that a person types into (`!`).
_PLAIN = re.compile(r"[^$`\"\\!\x00-\x1f\x7f]*'[^$`\"\\!\x00-\x1f\x7f]*")


def format_command(words: Sequence[str]) -> str:
    """Write a command for a shell; values of Hydra's, which have single quotes, get double ones around them."""
    return " ".join(f'"{word}"' if _PLAIN.fullmatch(word) else shlex.quote(word) for word in words)
