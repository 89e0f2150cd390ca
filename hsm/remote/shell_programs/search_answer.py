"""The answer of the search for wandb folders behind a shell, read. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from hsm.endpoint import CutReason, CutSearch, FolderSearch, FoundFolders

_LINE = re.compile(r"([bWJPERTF])'(.*)'")
_CODES = re.compile(r"""'\\''|'"\$nl"'""")
_REASONS = {"E": CutReason.ENTRIES, "F": CutReason.FOLDERS, "T": CutReason.TIME, "R": CutReason.UNREADABLE}


def parse_search(content: bytes, search: FolderSearch, *, home: str) -> FoundFolders:
    """Read the answer of the program.

    Args:
        content: What it printed.
        search: The request.
        home: The home folder there, which a base that does not exist is told by.

    Raises:
        ValueError: It is no such answer; a machine that is not trusted may send anything.
    """
    asked = f"{home}{search.base[1:]}" if search.base.startswith("~/") else search.base
    found: dict[str, list[str]] = {letter: [] for letter in "bWJP"}
    cut: list[CutSearch] = []
    for letter, path in _iter_lines(os.fsdecode(content), search.bounds.depth):
        if letter in found:
            found[letter].append(path)
        else:
            cut.append(CutSearch(path, _REASONS[letter]))
    base = found["b"][0] if found["b"] else asked
    wandb, jobs, multiruns = (tuple(sorted(found[letter])) for letter in "WJP")
    return FoundFolders(base, wandb, multiruns, jobs, tuple(sorted(cut)))


def _iter_lines(text: str, depth: int) -> Iterator[tuple[str, str]]:
    for line in text.split("\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"a line of the search that is none: {line[:80]!r}")
        letter, path = match[1], _CODES.sub(_decode, match[2])
        if letter != "b":
            path = _make_relative(path, depth)
        elif not path.startswith("/"):
            raise ValueError("a search below no folder")
        yield letter, path


def _decode(match: re.Match[str]) -> str:
    return "'" if match[0] == "'\\''" else "\n"


def _make_relative(path: str, depth: int) -> str:
    here, *parts = path.split("/")
    if here != "." or len(parts) > depth or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError(f"a path of the search that leads elsewhere: {path[:80]!r}")
    return "/".join(parts)
