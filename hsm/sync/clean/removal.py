"""Removal of a folder here: aside first, then exactly what was looked at, never through a symlink.

Every step works on open folders (openat(2), unlinkat(2)), so that a name that is swapped for a symlink meanwhile
leads nowhere. `shutil.rmtree` does not follow symlinks either, but it removes what came in the meantime.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hsm.discover.results import WANDB_LINKS
from hsm.errors import HsmError
from hsm.model import EntryKind
from hsm.sync.clean.values import Seen
from hsm.sync.clean.walk import OPEN_FOLDER, UnitPlace, Walk, look, walk_folder
from hsm.sync.clean.watch import RemovalWatch


class KeptError(Exception):
    """Something was kept; the message says what and why."""


class LookError(KeptError):
    """The ground for a removal is no more as it was; nothing further of it may go."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One folder that is to be removed.

    Attributes:
        place: The folder, and everything that was seen in it.
        aside: A free name on the same file system, that it has while it is removed; the same as `place.base` for what
            has it already.
        watch: Looks at everything else that speaks for it.
        holders: Paths of folders that lie in it, or in which symlinks lie that lead into it; it stays if one of them
            does.
    """

    place: UnitPlace
    aside: str
    watch: RemovalWatch
    holders: frozenset[str] = frozenset()


def remove_units(removals: Sequence[Removal]) -> tuple[dict[str, str], HsmError | None]:
    """Remove folders, one after the other; one that cannot be removed does not keep the others.

    Returns:
        Why folders stayed, by path; and the error after which none was removed any more, such as a lock that was lost.
    """
    kept: dict[str, str] = {}
    error: HsmError | None = None
    for removal in removals:
        try:
            if any(path in kept for path in removal.holders):
                raise KeptError("what stays lies in it, or leads into it by a symlink")
            if error is None:
                remove_unit(removal)
        except (KeptError, OSError) as reason:
            kept[removal.place.path] = str(reason)
        except HsmError as failure:
            error = failure
        if error is not None:
            kept[removal.place.path] = error.message
    return kept, error


def remove_unit(removal: Removal) -> None:
    """Remove a folder that is as it was seen; it stops counting as a run before anything of it is removed.

    Raises:
        KeptError: It is not as it was seen, and is there as before; or something came into it while it was removed,
            which then lies under the name `aside`.
        HsmError: A lock was lost, or a target is out of reach; what is left lies under one of the two names.
    """
    place, aside = removal.place, removal.aside
    _look_before(removal)
    with _open(place.folder) as above:
        if aside != place.base:
            # One step, after which no discovery sees a run here, and a writer has lost its path.
            _rename(above, place.base, aside)
            try:
                # Once more: a writer that knew its path has lost it now, but may have written just before.
                _check_same(f"{place.folder}/{aside}", place.walk)
            except KeptError:
                _rename(above, aside, place.base)
                raise
        emptying = _Emptying(place.walk.entries, removal.watch)
        with _open(aside, above=above) as descriptor:
            emptying.empty(descriptor, "")
        if emptying.kept:
            raise KeptError(f"{place.folder}/{aside} got something new while it was removed: {emptying.kept[0]}")
        os.rmdir(aside, dir_fd=above)
        os.fsync(above)


def _look_before(removal: Removal) -> None:
    """Look at the other ends and at this one, until both looks are new enough; at this one last."""
    removal.watch.look()
    _check_same(removal.place.path, removal.place.walk)
    removal.watch.keep_fresh()


def put_back(folder: str, aside: str, base: str) -> bool:
    """Give a folder that was set aside its name again; False where that is taken or cannot be done."""
    if os.path.lexists(f"{folder}/{base}"):  # rename(2) would replace an empty folder of that name
        return False
    try:
        with _open(folder) as above:
            _rename(above, aside, base)
    except (OSError, KeptError):
        return False
    return True


def remove_emptied_folders(own: str, folders: Iterable[str]) -> None:
    """Remove the sweep's own folder in the wandb folder, where wandb has left nothing but links in it.

    Args:
        own: The sweep's own folder, its real path.
        folders: That held runs which are gone; those outside of `own` stay.
    """
    for folder in sorted(folders, key=len, reverse=True):
        if folder == own or folder.startswith(f"{own}/"):
            remove_wandb_folder(folder)
            if folder != own:
                remove_wandb_folder(own)


def remove_wandb_folder(path: str) -> bool:
    """Remove a folder that holds nothing but wandb's links to runs that are gone; False where there is more."""
    try:
        with _open(path) as descriptor:
            found = {name: look(descriptor, name) for name in os.listdir(descriptor)}  # noqa: PTH208 - an open folder
            for name, seen in found.items():
                is_link = seen is not None and seen.kind is EntryKind.SYMLINK and name in WANDB_LINKS
                if not is_link or Path(path, name).exists():
                    return False
            for name in found:
                os.unlink(name, dir_fd=descriptor)
        Path(path).rmdir()
    except (OSError, KeptError):
        return False
    return True


def _check_same(path: str, seen: Walk) -> None:
    """Look at every file once more: size, times, inode.

    Raises:
        KeptError: Something is not as it was.
    """
    found = walk_folder(path)
    if found.identity != seen.identity or found.problems:
        raise KeptError(found.problems[0] if found.problems else "it is another folder than the one looked at")
    for name in sorted({*found.entries, *seen.entries}):
        if found.entries.get(name) != seen.entries.get(name):
            raise KeptError(f"{name} has changed since it was looked at")


def _rename(above: int, old: str, new: str) -> None:
    try:
        os.rename(old, new, src_dir_fd=above, dst_dir_fd=above)
        os.fsync(above)  # or a crash could bring the old name back, with half of the files
    except OSError as error:
        raise KeptError(f"it cannot be renamed: {error.strerror}") from error


@contextlib.contextmanager
def _open(name: str, *, above: int | None = None) -> Iterator[int]:
    """Open a folder; without `above` by an absolute path, whose own last name is no symlink either."""
    try:
        descriptor = os.open(name, OPEN_FOLDER, dir_fd=above)
    except OSError as error:
        raise KeptError(f"{name} cannot be opened: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class _Emptying:
    """Removal of what is in `seen`, entry by entry, each looked at once more.

    Attributes:
        seen: Everything that may go.
        watch: Asked before each step.
        kept: Paths of what was not as it was seen.
        unlinked: Device and inode of files of which one name has gone, which changed the `ctime` under the others.
    """

    seen: Mapping[str, Seen]
    watch: RemovalWatch
    kept: list[str] = field(default_factory=list)
    unlinked: set[tuple[int, int]] = field(default_factory=set)

    def empty(self, descriptor: int, prefix: str) -> None:
        for name in os.listdir(descriptor):
            path = f"{prefix}{name}"
            self.watch.keep_fresh()
            found = look(descriptor, name)
            if found is None:  # gone by itself
                continue
            if not self._is_same(self.seen.get(path), found):
                self.kept.append(path)
            elif found.kind is EntryKind.FOLDER:
                self._remove_folder(descriptor, name, path)
            else:
                self._unlink(descriptor, name, path, found)

    def _is_same(self, expected: Seen | None, found: Seen) -> bool:
        # Nothing else may have changed: `ctime` is the one time that no program can set back.
        if expected is not None and (found.device, found.inode) in self.unlinked:
            return expected._replace(ctime_ns=0) == found._replace(ctime_ns=0)
        return expected == found

    def _unlink(self, descriptor: int, name: str, path: str, found: Seen) -> None:
        try:
            os.unlink(name, dir_fd=descriptor)
        except OSError as error:
            self.kept.append(f"{path} ({error.strerror})")
            return
        self.unlinked.add((found.device, found.inode))

    def _remove_folder(self, descriptor: int, name: str, path: str) -> None:
        n_kept = len(self.kept)
        try:
            with _open(name, above=descriptor) as inner:
                self.empty(inner, f"{path}/")
            if len(self.kept) == n_kept:
                os.rmdir(name, dir_fd=descriptor)
        except LookError:
            raise
        except (OSError, KeptError) as error:
            self.kept.append(f"{path} ({error})")
