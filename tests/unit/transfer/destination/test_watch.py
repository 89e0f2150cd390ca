"""Looks right before and after a round, at what an engine would take without looking."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hsm.endpoint import Listing, Tree
from hsm.model import Entry, EntryKind, Root, SourceFile
from hsm.transfer.base import Capabilities, Replacing
from hsm.transfer.destination.watch import STRANGER, DestinationWatch
from hsm.transfer.seen import SeenFiles
from tests.unit.transfer.test_rounds import ROOTS, Files, MemoryEndpoint, T

FILE = SourceFile(Root.WANDB, "run-1/files/x", "/p/wandb", 4, T, 1, "run-1")
PLACE = "/d/wandb/run-1/files/x"
SEEN = Entry("run-1/files/x", EntryKind.FILE, 3, T - 10**10, 1)


@dataclass
class Lock:
    """A lock that notes what is put back."""

    nonce: str = "abc"
    moved: list[tuple[str, str]] = field(default_factory=list)

    def check(self, *, at_once: bool = False) -> None: ...

    def tidy(self) -> None: ...

    def put_back(self, moves: list[tuple[str, str]]) -> frozenset[str]:
        self.moved += moves
        return frozenset(final for _, final in moves)


def make_watch(there: Files, *, lock: Lock | None = None, sees: bool = True) -> DestinationWatch:
    seen = SeenFiles({FILE.key: SEEN} if sees else {})
    return DestinationWatch(MemoryEndpoint(there), ROOTS, "sweep_1", lock, seen)  # type: ignore[arg-type]


def make_capabilities(replacing: Replacing, *, follows_links: bool = False) -> Capabilities:
    return Capabilities("some", False, False, 1, replacing=replacing, follows_links=follows_links)


BLIND = make_capabilities(Replacing.BLIND)
FOLLOWING = make_capabilities(Replacing.KEEPS, follows_links=True)
STRANGE = SEEN._replace(size=5)
SYMLINK = Entry("", EntryKind.SYMLINK, 0, T, 1)


@pytest.mark.parametrize(
    ("there", "engine", "reason"),
    [
        pytest.param({PLACE: SEEN}, BLIND, None, id="as the check saw it"),
        pytest.param({}, BLIND, None, id="gone"),
        pytest.param({PLACE: STRANGE}, BLIND, STRANGER, id="changed"),
        pytest.param({PLACE: SYMLINK}, BLIND, STRANGER, id="a symlink in the file's place"),
        pytest.param({PLACE: STRANGE}, FOLLOWING, None, id="changed, and it is kept"),
        pytest.param({PLACE: STRANGE}, make_capabilities(Replacing.LOOKS), None, id="changed, and the engine looks"),
        pytest.param({"/d/wandb/run-1": SYMLINK}, FOLLOWING, "run-1 became a symlink", id="a symlinked folder"),
        pytest.param({"/d/wandb/run-1/files": SYMLINK}, BLIND, "run-1/files became a symlink", id="a deeper one"),
        pytest.param(
            {"/d/wandb/run-1": SYMLINK}, make_capabilities(Replacing.KEEPS), None, id="rsync itself refuses to follow"
        ),
    ],
)
def test_a_look_before_a_round(there: Files, engine: Capabilities, reason: str | None) -> None:
    left = make_watch(there).look_before([FILE], engine)
    assert left.keys() == ({FILE.key} if reason else set())
    assert reason is None or reason in left[FILE.key]


def test_no_question_where_the_engine_sees_to_it() -> None:
    watch = make_watch({PLACE: STRANGE}, lock=Lock(), sees=False)
    assert watch.look_before([FILE], make_capabilities(Replacing.KEEPS)) == {}
    assert watch.look_after([FILE]) == {}
    assert watch._destination.asked == []  # type: ignore[attr-defined]


KEPT = "/d/wandb/.hsm-tmp/sweep_1/abc.old/"


@pytest.mark.parametrize(
    ("kept", "final", "moves", "is_left"),
    [
        pytest.param(SEEN, Entry("", EntryKind.FILE, 4, T, 1), False, False, id="what the check saw"),
        pytest.param(STRANGE, Entry("", EntryKind.FILE, 4, T, 1), True, True, id="somebody else's"),
        pytest.param(STRANGE, Entry("", EntryKind.FILE, 9, T, 1), False, True, id="the name is taken by a third"),
        pytest.param(STRANGE, None, True, True, id="somebody else's, and the name is free"),
        pytest.param(SEEN, None, True, False, id="what the check saw, and the name is free"),
        pytest.param(SYMLINK, Entry("", EntryKind.FILE, 4, T, 1), True, True, id="a symlink"),
    ],
)
def test_a_look_at_what_was_replaced(kept: Entry, final: Entry | None, moves: bool, is_left: bool) -> None:
    class Kept(MemoryEndpoint):
        """Lists folders too, by their beginnings."""

        def _list(self, tree: Tree) -> Listing:
            listing = super()._list(tree)
            inside = [
                entry._replace(path=path.removeprefix(f"{tree.base}/"))
                for path, entry in self.files.items()
                if tree.names == ("",) and path.startswith(f"{tree.base}/")
            ]
            return type(listing)(tree.base, EntryKind.FOLDER, tuple(inside) or listing.entries)

    lock = Lock()
    files = {f"{KEPT}{FILE.path}": kept, **({PLACE: final} if final else {})}
    watch = DestinationWatch(Kept(files), ROOTS, "sweep_1", lock, SeenFiles({FILE.key: SEEN}))  # type: ignore[arg-type]
    left = watch.look_after([FILE])
    assert lock.moved == ([(f"{KEPT}{FILE.path}", PLACE)] if moves else [])
    assert left.keys() == ({FILE.key} if is_left else set())
    is_kept = is_left and not moves
    assert (watch.replaced.keeps_some, watch.replaced.has_looked) == (is_kept, not is_kept), (
        "what is kept must not go with the lock"
    )
