"""Matching of names against gitignore patterns. Pure; quick where nothing matches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_WILD = re.compile(r"[*?]+")


class Patterns:
    """A list of gitignore patterns.

    Each pattern's longest literal part is looked for first; pathspec is asked only about the names that hold one.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(filter(None, patterns))
        self._literals = {find_literal(pattern) for pattern in self._patterns if not pattern.startswith("!")}

    def find_matches(self, names: Iterable[str]) -> dict[str, str]:
        """Find the names that match.

        Args:
            names: Paths relative to the folder that the patterns are written for.

        Returns:
            Name -> the pattern that decided, in the order of `names`; others are not in it.
        """
        if not self._literals:
            return {}
        # Hardly any name matches. Asking pathspec, which takes 35 ms to import, about each of 150,000 takes seconds.
        names = list(names)
        together = "\0".join(names)  # one search in all names; NUL, so that no literal matches across two
        literals = [literal for literal in self._literals if literal in together]
        suspects = [name for name in names if any(literal in name for literal in literals)]
        return self._ask(suspects) if suspects else {}

    def _ask(self, names: Iterable[str]) -> dict[str, str]:
        from pathspec import GitIgnoreSpec  # noqa: PLC0415 - most sweeps have nothing that matches

        spec = GitIgnoreSpec.from_lines(self._patterns)
        matches: dict[str, str] = {}
        for name in names:
            result = spec.check_file(name.replace("\n", "\ufffd"))  # a line break would end pathspec's `.+`
            if result.include and result.index is not None:
                matches[name] = self._patterns[result.index]
        return matches


def find_literal(pattern: str) -> str:
    """Return the longest text that every name holds which a gitignore pattern matches; empty for none."""
    if "[" in pattern or "\\" in pattern:  # sets and escapes: the pattern's text is not the name's
        return ""
    return max((part.strip("/") for part in _WILD.split(pattern.strip())), key=len)
