"""The rules of the search for wandb folders: what is entered, what counts, and where it ends. Pure but for the clock.

Level by level, so that what lies near the top, as what is looked for nearly always does, is found before a bound is
reached; crowds of folders last. The program for a shell (`hsm.remote.shell_programs.folder_search`) has the same rules
in another language; `tests/contract/test_folder_search.py` holds both to them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hsm.endpoint import CutReason, CutSearch, FolderSearch, FoundFolders
from hsm.model import EntryKind

WANDB_FOLDERS = frozenset({"wandb", ".wandb"})
NEVER_ENTERED = frozenset({"site-packages", "node_modules", "__pycache__"})
MULTIRUN = "multirun.yaml"
HYDRA = ".hydra"
VENV = "pyvenv.cfg"
PROJECT = ".hsm"
PROJECT_CONFIG = ".hsm/sync_config.yaml"
MARKS = frozenset({MULTIRUN, HYDRA, VENV, PROJECT})

CROWDS = (100, 1_000)
"""Of a folder with more subfolders than that, they and all below them come after everything else; with more than the
second number, at the very end. Most likely they are data, such as one folder for each class of images, which must not
use the search up before the rest is seen, however deep that lies."""

_FILE_LIKE = frozenset({EntryKind.FILE, EntryKind.SYMLINK})
_FOLDER_LIKE = frozenset({EntryKind.FOLDER, EntryKind.SYMLINK})


@dataclass(slots=True)
class FolderContent:
    """Entries of a folder that matter, collected while it is read.

    Attributes:
        n_most: As many entries are taken.
        n_entries: Those that were taken.
        folders: Names of subfolders that may be entered.
        wandb: Names of wandb folders.
        is_cut: It has more entries than are taken.
        is_multirun: It holds a `multirun.yaml`.
        is_job: It holds a folder `.hydra`.
        is_venv: It holds a `pyvenv.cfg`.
        may_be_project: It holds a folder `.hsm`; whether a configuration lies in it is to be looked at.
        is_project: It is a project of its own.
    """

    n_most: int
    n_entries: int = 0
    folders: list[str] = field(default_factory=list)
    wandb: list[str] = field(default_factory=list)
    is_cut: bool = False
    is_multirun: bool = False
    is_job: bool = False
    is_venv: bool = False
    may_be_project: bool = False
    is_project: bool = False

    def count(self) -> bool:
        """Count an entry; False where there is no room for it."""
        self.is_cut = self.n_entries >= self.n_most
        self.n_entries += not self.is_cut
        return not self.is_cut

    def add(self, name: str, kind: EntryKind) -> None:
        """Note an entry, by its type as the folder's listing tells it."""
        if kind is EntryKind.FOLDER and name in WANDB_FOLDERS:
            self.wandb.append(name)
        elif kind is EntryKind.FOLDER and not name.startswith(".") and name not in NEVER_ENTERED:
            self.folders.append(name)
        elif name == HYDRA:
            self.is_job = self.is_job or kind is EntryKind.FOLDER
        elif name == MULTIRUN:
            self.is_multirun = self.is_multirun or kind in _FILE_LIKE
        elif name == VENV:
            self.is_venv = self.is_venv or kind in _FILE_LIKE
        elif name == PROJECT:
            self.may_be_project = self.may_be_project or kind in _FOLDER_LIKE


class FolderWalk:
    """State of a search: which folders are to be read now, and what was found. Used by one thread.

    Args:
        search: The request.
        base: The real path of its base.
        extra_seconds: Added to its time: what a network alone takes.
    """

    def __init__(self, search: FolderSearch, base: str, *, extra_seconds: float = 0.0) -> None:
        self._bounds = search.bounds
        self._base = base
        self._left = frozenset(search.left)
        self._ends_at = time.monotonic() + search.bounds.seconds + extra_seconds
        self._n_read = 0
        self._now = (0, 0)  # crowd and depth of the folders that are read, in the order of reading
        self._next: dict[tuple[int, int], list[str]] = {self._now: [""]}
        self._found = _Found()

    def is_late(self) -> bool:
        """Tell whether the time is over."""
        return time.monotonic() >= self._ends_at

    def iter_levels(self) -> Iterator[Sequence[str]]:
        """Yield the folders to read, level by level, relative to the base; each is added or cut before the next."""
        while self._next and not self._found.is_over:
            self._now = min(self._next)
            level = sorted(self._next.pop(self._now))
            n_left = self._bounds.n_folders - self._n_read
            if len(level) > n_left:
                self.cut(level[n_left], CutReason.FOLDERS)
                level = level[:n_left]
            self._n_read += len(level)
            yield level

    def make_content(self) -> FolderContent:
        """Make what takes the entries of one folder."""
        return FolderContent(self._bounds.n_entries)

    def cut(self, path: str, reason: CutReason) -> None:
        """Note that a folder was not searched to its end; for FOLDERS and TIME that nothing further is."""
        if reason is CutReason.TIME and any(cut.reason is reason for cut in self._found.cut):
            return
        self._found.cut.append(CutSearch(path, reason))
        self._found.is_over = self._found.is_over or reason in (CutReason.FOLDERS, CutReason.TIME)

    def add(self, path: str, content: FolderContent) -> None:
        """Add what a folder holds. The base is searched whatever it is itself: it is the user's project."""
        if path and (content.is_venv or content.is_project):
            return
        if content.is_cut:
            self.cut(path, CutReason.ENTRIES)
        if content.is_job:
            self._found.jobs.append(path)
        if content.is_multirun:
            self._found.multiruns.append(path)
            if path:  # all of it belongs to one sweep, and is listed with it
                return
        crowd, depth = self._now
        if depth < self._bounds.depth:
            self._found.wandb += self._iter_below(path, content.wandb)
            crowd = max(crowd, sum(len(content.folders) > most for most in CROWDS))
            self._queue((crowd, depth + 1), self._iter_below(path, content.folders))

    def _queue(self, when: tuple[int, int], paths: Iterable[str]) -> None:
        queued = self._next.setdefault(when, [])
        queued += paths
        if not queued:
            del self._next[when]
        elif len(queued) > 4 * self._bounds.n_folders:  # millions would fill the memory; one more is named
            self._next[when] = sorted(queued)[: self._bounds.n_folders + 1]

    def make_found(self) -> FoundFolders:
        """Make the answer, once all levels are read."""
        found = self._found
        return FoundFolders(
            self._base,
            tuple(sorted(found.wandb)),
            tuple(sorted(found.multiruns)),
            tuple(sorted(found.jobs)),
            tuple(sorted(found.cut)),
        )

    def _iter_below(self, path: str, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            child = f"{path}/{name}" if path else name
            if f"{self._base.rstrip('/')}/{child}" not in self._left:
                yield child


@dataclass(slots=True)
class _Found:
    """Findings of a walk so far."""

    wandb: list[str] = field(default_factory=list)
    multiruns: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    cut: list[CutSearch] = field(default_factory=list)
    is_over: bool = False
