"""Collisions of names at a destination whose file system takes several spellings for one name. Pure.

APFS, HFS+, NTFS, exFAT, CIFS, and ext4 with `casefold` take `A` and `a` for one name; Apple's also `é` as one character
(NFC) and as two (NFD). Two files of the source would then arrive under one name, and the second would replace the first
with every proof in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hsm.model import Problem
from hsm.plan.disk.file_system import FileSystem

NAME_COLLISION = "name_collision"


@dataclass(frozen=True, slots=True)
class Collision:
    """The reason why a file cannot arrive beside another.

    Attributes:
        part: Of its path: the file, or the folder above it, whose name is taken.
        other: What has the name, in its spelling.
        is_there: It lies at the destination, and the source has nothing of that spelling.
    """

    part: str
    other: str
    is_there: bool = False


def find_collisions(paths: Iterable[str], there: Iterable[str], file_system: FileSystem) -> dict[str, Collision]:
    """Find the files whose names the destination takes for those of others. None of them is sent.

    Neither of two spellings goes first: which one arrived would depend on the day. What lies there in another spelling
    is never replaced.

    Args:
        paths: Of files, relative to one root, in any order.
        there: The paths of files and folders that the destination shows.
        file_system: Of the root.

    Returns:
        By path; other paths are not in it.
    """
    if not file_system.folds:
        return {}
    files = list(paths)
    here = {part for path in files for part in _iter_parts(path)}
    spellings: dict[str, set[str]] = {}
    for part in here:
        spellings.setdefault(file_system.fold(part), set()).add(part)
    shown: dict[str, set[str]] = {}
    for part in there:
        shown.setdefault(file_system.fold(part), set()).add(part)
    judged: dict[str, Collision | None] = {}
    for part in here:
        folded = file_system.fold(part)
        others = sorted(spellings[folded] - {part})
        strangers = sorted(shown.get(folded, set()) - set(map(file_system.spell, spellings[folded])))
        judged[part] = (
            Collision(part, others[0])
            if others
            else Collision(part, strangers[0], is_there=True)
            if strangers
            else None
        )
    found = ((path, next(filter(None, map(judged.get, _iter_parts(path))), None)) for path in files)
    return {path: collision for path, collision in found if collision is not None}


def make_collision_problems(collisions: Mapping[str, Collision]) -> list[Problem]:
    """Name every file or folder that is not sent because of another's name, each once, sorted.

    Args:
        collisions: From `find_collisions`.
    """
    found = {collision.part: collision for collision in collisions.values()}
    return [_make_problem(collision) for _, collision in sorted(found.items())]


def _make_problem(collision: Collision) -> Problem:
    if collision.is_there:
        message = f"At the destination this is the same name as {collision.other}, which is there and stays."
        hint = "It is not sent. Rename one of the two."
    else:
        message = f"At the destination this would be the same name as {collision.other}."
        hint = "Neither is sent. Rename one of the two at the source."
    return Problem(collision.part, NAME_COLLISION, message, hint)


def _iter_parts(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest to the root first, and the path."""
    place = path.find("/")
    while place >= 0:
        yield path[:place]
        place = path.find("/", place + 1)
    yield path
