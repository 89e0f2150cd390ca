"""Durations and sizes as people type and read them. Pure."""

from __future__ import annotations

import re

from hsm.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d{1,6}) ?([smhdw])", re.ASCII)
_PLAIN = re.compile(r"\d{1,9}", re.ASCII)
_BYTE_UNITS = ("kB", "MB", "GB", "TB", "PB")
_MOST_BYTES = 10**24  # a damaged record may speak of more, which no division takes


def parse_age(text: str, *, option: str, kind: str = "usage") -> int:
    """Return the seconds that `90s`, `30m`, `12h`, `2d` or `1w` are; none at all is an age too.

    Args:
        text: As typed.
        option: Named in the error.
        kind: Of the error, for scripts.

    Raises:
        UsageError: It is none of these.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{option} {text!r} is no duration.",
            hint=f"A number and s, m, h, d or w, as in `{option} 2d`.",
            kind=kind,
        )
    return int(match[1]) * _SECONDS[match[2]]


def parse_duration(text: str, *, option: str) -> int:
    """Return the seconds that `90`, or an age longer than nothing, are.

    Raises:
        UsageError: It is neither.
    """
    plain = _PLAIN.fullmatch(text.strip())
    seconds = int(plain[0]) if plain else parse_age(text, option=option)
    if not seconds:
        raise UsageError(f"{option} must be longer than nothing.", hint=f"Try `{option} 60`.", kind="usage")
    return seconds


def format_bytes(n_bytes: float) -> str:
    """Return a size in decimal units, as `512 B` or `1.2 MB`."""
    size, unit = format_size(n_bytes, n_bytes)
    return f"{size} {unit}"


def format_size(n_bytes: float, largest: float) -> tuple[str, str]:
    """Return a number and its unit, in the unit that `largest` has on its own."""
    n_bytes, largest = min(n_bytes, _MOST_BYTES), min(largest, _MOST_BYTES)
    if round(largest) < 1000:
        return f"{round(n_bytes)}", "B"
    divisor = 1000
    for unit in _BYTE_UNITS[:-1]:
        if round(largest / divisor, 1) < 1000:
            return f"{n_bytes / divisor:.1f}", unit
        divisor *= 1000
    return f"{n_bytes / divisor:.1f}", _BYTE_UNITS[-1]
