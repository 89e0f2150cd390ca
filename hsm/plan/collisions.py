"""Collisions of names at a destination whose file system ignores case and Unicode form. Pure.

APFS and HFS+, as macOS sets them up, take `A` and `a` for one name, and `é` as one character (NFC) and as two
(NFD). Two files of the source would then arrive under one name, and the second would replace the first with every proof
in order. HSM takes a little more for one name than they do (`ß` and `ss`): a file too many that is named costs less
than one that is lost.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Mapping
from itertools import groupby

from hsm.model import Problem

NAME_COLLISION = "name_collision"
_HINT = "It is left. Rename one of the two at the source."
_FOLDING_SYSTEMS = frozenset({"Darwin"})


def folds_names(system: str) -> bool:
    """Tell whether names that differ only in case or Unicode form are taken for one on a machine.

    Args:
        system: As `uname -s` says. Where it is not known, names are taken as they are.
    """
    return system in _FOLDING_SYSTEMS


def fold_name(path: str) -> str:
    """Return what all spellings of a path have in common (Unicode's canonical caseless matching, D145)."""
    if path.isascii():
        return path.lower()
    return _normalize(_normalize(path).casefold())


def _normalize(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def find_collisions(paths: Iterable[str], there: Container[str] = ()) -> dict[str, str]:
    """Find the paths that cannot arrive beside others, because the destination takes their names for one.

    Of several spellings of a name, the one that the destination has already is sent, else the first in sort order, and
    a folder before a file: the choice must not depend on the day. The others are skipped, a folder with all that lies
    below it.

    Args:
        paths: Of files, relative to one root, in any order.
        there: The paths of files and folders that the destination shows.

    Returns:
        Path -> the file or folder that it collides with, which has as many components as the part of the path
        that is spelled in another way; other paths are not in it.
    """
    files = sorted(paths)
    left: dict[str, str] = {}
    taken: dict[str, str] = {}
    for _, level in groupby(sorted(_find_folders(files), key=_sort_by_depth), key=_get_depth):
        taken.update(_choose(level, there, left, {}))
    _choose(files, there, left, taken)
    return {path: left[path] for path in files if path in left}


def make_collision_problems(collisions: Mapping[str, str]) -> list[Problem]:
    """Name every file or folder that is skipped because another takes its name, each once, sorted.

    Args:
        collisions: From `find_collisions`.
    """
    pairs = {("/".join(path.split("/")[: other.count("/") + 1]), other) for path, other in collisions.items()}
    return [
        Problem(path, NAME_COLLISION, f"At the destination this would be the same name as {other}.", _HINT)
        for path, other in sorted(pairs)
    ]


def _choose(
    names: Iterable[str], there: Container[str], left: dict[str, str], taken: Mapping[str, str]
) -> dict[str, str]:
    """Choose one spelling of each name; the others, and names below what was left out already, go into `left`.

    Args:
        names: Sorted; the folders above them are decided.
        there: The spellings that come first.
        left: Name -> what goes in its place.
        taken: Folded name -> the folder that has it.
    """
    chosen: dict[str, str] = {}
    standing: list[tuple[str, str]] = []
    for name in names:
        above = left.get(name.rpartition("/")[0])
        if above is not None:
            left[name] = above
            continue
        folded = fold_name(name)
        standing.append((folded, name))
        first = chosen.setdefault(folded, name)
        if first is not name and name in there and first not in there:
            chosen[folded] = name
    for folded, name in standing:
        winner = taken.get(folded) or chosen[folded]
        if winner != name:
            left[name] = winner
    return chosen


def _find_folders(paths: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _get_depth(path: str) -> int:
    return path.count("/")


def _sort_by_depth(path: str) -> tuple[int, str]:
    return path.count("/"), path
