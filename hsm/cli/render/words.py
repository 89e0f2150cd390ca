"""Names, numbers and times as text that a terminal can be trusted with. Pure."""

from __future__ import annotations

from hsm.sweep_folder import LOOSE
from hsm.units import format_size

_KNOWN = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\x1b": r"\x1b"}


def escape_text(text: str) -> str:
    r"""Return `text` with everything that is no visible character shown as an escape.

    Control characters, line breaks, bidirectional and zero-width controls and unassigned characters become
    `\n`, `\x1b`, `\u202e` and the like; a byte of a name that is no UTF-8 becomes `\xff`. A second call changes
    nothing.
    """
    return text if text.isprintable() else "".join(map(_escape_character, text))


def escape_lines(text: str) -> list[str]:
    """Return the lines of a text that is meant to have several, each as `escape_text` makes it."""
    return [escape_text(line.expandtabs(4).rstrip("\r")) for line in text.strip("\n").split("\n")]


def _escape_character(character: str) -> str:
    # str.isprintable knows bidirectional and zero-width controls (category Cf) and unassigned characters (Cn).
    code = ord(character)
    if character.isprintable():
        return character
    if character in _KNOWN:
        return _KNOWN[character]
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: a byte of a name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def name_sweep(sweep: str) -> str:
    """Name a sweep as it is typed: the runs that are in no sweep have an id of their own."""
    return "loose" if sweep == LOOSE else sweep


def format_count(n: int, noun: str, plural: str = "") -> str:
    """Return `1 file` or `1,200 files`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def format_part(done: float, total: float) -> str:
    """Return how much of a size is done, as `0.4 of 2.1 MB`."""
    size, unit = format_size(done, total)
    return f"{size} of {format_size(total, total)[0]} {unit}"


def format_seconds(seconds: float) -> str:
    """Return a duration, as `0.4 s`, `12 s`, `3 min 05 s` or `2 h 04 min`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_clock(seconds: float) -> str:
    """Return a duration that keeps its width while it counts down, as `0:12` or `1:04:05`."""
    whole = round(seconds)
    minutes = f"{whole % 3600 // 60}:{whole % 60:02d}"
    return minutes if whole < 3600 else f"{whole // 3600}:{minutes:0>5}"


def list_some(words: list[str], most: int, noun: str) -> str:
    """Return the first of the words, and how many more there are: `a, b and 3 more folders`."""
    shown = ", ".join(words[:most])
    more = len(words) - most
    return shown if more <= 0 else f"{shown} and {format_count(more, f'more {noun}')}"
