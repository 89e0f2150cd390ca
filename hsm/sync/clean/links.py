"""Symlinks anywhere in the project that lead into what a clean would remove."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from hsm.discover.results import WANDB_LINKS
from hsm.discover.sweeps import WANDB_NAMES
from hsm.process.clock import read_clock
from hsm.sync.clean.removal import LookError
from hsm.sync.clean.values import ProjectLink
from hsm.sync.clean.watch import MOST_SECONDS

# Of a chain of symlinks: Linux follows no more.
_MOST_HOPS = 40


# Folders that mkfs makes for fsck, which nobody but root reads or writes.
_FOR_ROOT_ALONE = frozenset({"lost+found"})


_REST = 10
"""Searches while units go rest for so many times what one takes (0.13 s with 1,000 runs): a tenth of the time."""


class LinkWatch:
    """Searches for symlinks again and again while units are removed. Used by one thread.

    Args:
        search: Searches the project.
        known: What the search before the removal found; those that lie in what goes keep nothing.
        clock: Seconds, sleep included.
    """

    def __init__(
        self,
        search: Callable[[], Sequence[ProjectLink]],
        known: Iterable[ProjectLink],
        clock: Callable[[], float] = read_clock,
    ) -> None:
        self._search = search
        self._known = {(link.path, unit) for link in known for unit in link.units}
        self._clock = clock
        self._due_at = float("-inf")
        self._new: dict[str, ProjectLink] = {}

    def look(self, unit: str) -> None:
        """Look whether a symlink has come that leads into a unit; by the last search while that is new enough.

        Raises:
            LookError: One has.
        """
        begun_at = self._clock()
        if begun_at >= self._due_at:
            found = self._search()
            self._new = {each: link for link in found for each in link.units if (link.path, each) not in self._known}
            ended_at = self._clock()
            self._due_at = ended_at + min(_REST * (ended_at - begun_at), MOST_SECONDS)
        if link := self._new.get(unit):
            words = f", which cannot be read: {link.unread}" if link.unread else ""
            raise LookError(
                f"a symlink that came meanwhile {'may lead' if words else 'leads'} into it: {link.path}{words}"
            )


def find_links(folders: Iterable[str], units: Collection[str], check: Callable[[], None]) -> tuple[ProjectLink, ...]:
    """Search folders, to every depth, for symlinks that lead into units.

    wandb's own links beside its runs (`latest-run`, `debug.log`) do not count: they lead to the last run, whichever it
    is. What a symlink leads through counts like its end: with it, the way is gone. One that leads nowhere needs none.

    Args:
        folders: The project's; may lie in one another, or be symlinks.
        units: Their paths, each the real one.
        check: Called for each folder; may raise.
    """
    wanted = frozenset(units)
    found: list[ProjectLink] = []
    unread: dict[str, str] = {}
    for folder in _drop_nested(os.path.realpath(folder) for folder in folders) if wanted else ():
        for parent, name in _iter_links(folder, unread, check):
            into = wanted.intersection(_list_above(_trace(parent, name)))
            into = frozenset(unit for unit in into if not _is_free(parent, name, unit))
            if into:
                found.append(ProjectLink(f"{parent}/{name}", into))
    return (*found, *(ProjectLink(folder, wanted, words) for folder, words in unread.items()))


def _drop_nested(folders: Iterable[str]) -> list[str]:
    found = sorted(set(folders))
    return [path for path in found if not any(path.startswith(f"{above.rstrip('/')}/") for above in found)]


def _iter_links(top: str, unread: dict[str, str], check: Callable[[], None]) -> Iterator[tuple[str, str]]:
    """Yield the symlinks below a folder, as folder and name."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        check()
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except FileNotFoundError:
            continue
        except OSError as error:
            if folder.rpartition("/")[2] not in _FOR_ROOT_ALONE:
                unread[folder] = error.strerror or str(error)
            continue
        for entry in entries:
            if entry.is_symlink():
                yield folder, entry.name
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)


def _trace(parent: str, name: str) -> tuple[str, ...]:
    """Follow a symlink hop by hop: every path on its way, and its end; empty where it leads nowhere."""
    seen: list[str] = []
    place, waiting = parent, [name]
    n_hops = 0
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            place = place.rpartition("/")[0] or "/"
            continue
        path = f"{place.rstrip('/')}/{part}"
        try:
            is_link = stat.S_ISLNK(os.lstat(path).st_mode)
            target = os.readlink(path) if is_link else ""  # noqa: PTH115 - as the bytes are
        except OSError:
            return ()
        if n_hops:  # the symlink itself is no place on its way
            seen.append(path)
        if not is_link:
            place = path
            continue
        n_hops += 1
        if n_hops > _MOST_HOPS:
            return ()
        place = "/" if target.startswith("/") else place
        waiting.extend(reversed(target.split("/")))
    return tuple(seen)


def _list_above(ways: Iterable[str]) -> set[str]:
    """List paths and every folder above them."""
    found: set[str] = set()
    for way in ways:
        path = way
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _is_free(parent: str, name: str, unit: str) -> bool:
    """Tell whether a symlink keeps nothing: one that wandb makes beside a run, or that lies in the unit itself."""
    is_beside = parent.rpartition("/")[2] in WANDB_NAMES or parent == unit.rpartition("/")[0]
    return (is_beside and name in WANDB_LINKS) or parent == unit or parent.startswith(f"{unit}/")
