"""A target for tests: a folder of this machine that behaves as one behind a network, and fails when it is told to.

It implements `hsm.targets.contract.Connection` with parts that the contract suites hold already (the local endpoint,
the plain copy, the guard's programs run here), so that a test decides what happens and nothing is waited for.
`tests/contract/test_targets.py` holds it to the same promises as the real ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hsm.endpoint import FileEnds, FolderSearch, Survey, Tree
from hsm.errors import HsmError
from hsm.model import Entry, EntryKind, Problem, Root
from hsm.plan.disk.file_system import FileSystem
from hsm.process.runner import Runner
from hsm.remote.guard import GuardPlaces, LockHeld, LockTaken
from hsm.remote.local import LocalEndpoint, LocalShell
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.targets.contents.contract import Contents
from hsm.targets.contents.folder import FolderContents
from hsm.transfer.base import Batch, BatchEnd, Capabilities, Comparison, Engine, OnMoved
from hsm.transfer.disk.engine import CopyEngine

Act = Callable[[], object]
"""Done at a moment of the work: raises what a connection would raise, or changes something behind its back."""


@dataclass
class Script:
    """Acts by the moment at which they happen, each used once; the last of a list stays.

    Moments: `login`, `survey`, `take` (the lock), `probe` (with it), `release`, `send`, `sent`, `make_engine`, `tidy`.
    """

    acts: dict[str, list[Act | None]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def at(self, moment: str, *acts: Act | None) -> None:
        """Add acts for the next times that a moment comes; None for nothing."""
        self.acts.setdefault(moment, []).extend(acts)

    def reach(self, moment: str) -> None:
        """Be at a moment."""
        self.seen.append(moment)
        acts = self.acts.get(moment)
        act = (acts.pop(0) if len(acts) > 1 else acts[0]) if acts else None
        if act is not None:
            act()


def fail(error: HsmError | BaseException) -> Act:
    """Make an act that raises."""

    def act() -> None:
        raise error

    return act


class FakeTarget:
    """A target in a folder of this machine."""

    is_folder = False
    login_lasts_seconds = 0
    host = "127.0.0.1"

    def __init__(self, folder: Path, script: Script | None = None, *, name: str = "desktop") -> None:
        self.name = name
        self.folder = folder
        self.script = script or Script()
        self.runner = Runner()
        self.endpoint = _FakeEndpoint(self.runner, self.script, name)
        self.shell: RemoteShell | None = LocalShell(self.runner, name=name)
        self.is_open = False

    @property
    def file_system(self) -> FileSystem | None:
        """What a probe finds, and how a survey shows times; None for what this machine's disk does."""
        return self.endpoint.file_system

    @file_system.setter
    def file_system(self, file_system: FileSystem) -> None:
        self.endpoint.file_system = file_system

    @property
    def roots(self) -> dict[Root, str]:
        """The target's two folders."""
        return {root: str(self.folder / root.value) for root in Root}

    def list_notices(self) -> tuple[Problem, ...]:
        return ()

    def find_host(self) -> str:
        return self.host

    def login(self, *, may_ask: bool = False) -> None:  # noqa: ARG002
        self.script.reach("login")
        self.is_open = True

    def logout(self) -> bool:
        was_open, self.is_open = self.is_open, False
        return was_open

    def keep_open(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def check_roots(self, roots: Mapping[Root, str]) -> None:
        pass

    def contents(self) -> Contents:
        return FolderContents(self.name, self.runner)

    def prepare(self, changed: Collection[Root], *, workspace: str, update_only: bool) -> None:  # noqa: ARG002
        self.script.reach("prepare")

    def release(self) -> None:
        pass

    def make_guard(self, places: GuardPlaces, nonce: str) -> ShellGuard:
        shell = LocalShell(self.runner, name=self.name)
        return _FakeGuard(shell, places, nonce, self.script, self.file_system)

    def make_engine(
        self,
        roots: Mapping[Root, str],
        *,
        workspace: str,
        update_only: bool,
        pulls: bool = False,  # noqa: ARG002
    ) -> Engine:
        self.script.reach("make_engine")
        return _FakeEngine(CopyEngine(self.runner, roots, workspace=workspace, update_only=update_only), self.script)


class _FakeEndpoint(LocalEndpoint):
    is_remote = True

    def __init__(self, runner: Runner, script: Script, name: str) -> None:
        super().__init__(runner, name=name)
        self._script = script
        self.file_system: FileSystem | None = None
        self.shift_ns = 0  # of all times, as on FAT after daylight saving

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        self._script.reach("survey")
        found = super().survey(trees, receipts=receipts, is_lazy=is_lazy, search=search)
        if self.file_system is None:
            return found
        listings = [replace(listing, entries=tuple(map(self._show, listing.entries))) for listing in found.listings]
        return replace(found, listings=listings)

    def _show(self, entry: Entry) -> Entry:
        there = self.file_system
        if there is None or entry.kind is not EntryKind.FILE:
            return entry
        early, late = there.earliest_ns, there.latest_ns
        kept = max(entry.mtime_ns, early) if early is not None else entry.mtime_ns
        kept = min(kept, late) if late is not None else kept
        return entry._replace(mtime_ns=there.show_time(kept) + self.shift_ns)

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        self._script.reach("read")
        return super().read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes)


class _FakeGuard(ShellGuard):
    def __init__(
        self, shell: LocalShell, places: GuardPlaces, nonce: str, script: Script, file_system: FileSystem | None
    ) -> None:
        super().__init__(shell, places, nonce)
        self._script = script
        self._file_system = file_system

    def take(  # type: ignore[override]
        self, content: bytes, *, measures: Sequence[str] = (), **options: Any
    ) -> LockTaken | LockHeld:
        self._script.reach("take")
        answer = super().take(content, measures=measures, **options)
        if isinstance(answer, LockTaken) and measures:
            self._script.reach("probe")
            if self._file_system is not None:
                return replace(answer, file_systems=dict.fromkeys(measures, self._file_system))
        return answer

    def release(self, *words: object, **options: object) -> object:  # type: ignore[override]
        self._script.reach("release")
        return super().release(*words, **options)  # type: ignore[arg-type]


class _FakeEngine:
    def __init__(self, engine: CopyEngine, script: Script) -> None:
        self._engine = engine
        self._script = script

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("fake", resumes=False, sends_deltas=False, max_workers=1)

    @property
    def time_step_ns(self) -> int:
        return 1

    def send(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        try:
            self._script.reach("send")
        except HsmError as error:
            return BatchEnd(is_clean=False, error=error)
        end = self._engine.send(batch, on_moved)
        try:
            self._script.reach("sent")
        except HsmError as error:  # the last word of a connection that broke when all had arrived
            return BatchEnd(is_clean=False, error=error)
        return end

    def compare(self, batch: Batch) -> Comparison:
        return self._engine.compare(batch)

    def stop(self) -> None:
        self._engine.stop()
