"""Locks of this side that somebody breaks while they are held."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hsm.errors import LockedError
from hsm.records.local_locks import LocalLocks
from hsm.records.lock import hold_local_lock

if TYPE_CHECKING:
    from collections.abc import Callable


def break_lock(path: Path) -> None:
    with hold_local_lock(path, sweep="s", target="t", breaks=True):
        pass


def replace(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content.replace(b"1", b"2") + b"x")


CHANGES: dict[str, Callable[[Path], object]] = {
    "broken, and given back": break_lock,
    "gone": lambda path: path.unlink(),
    "another's": replace,
}


@pytest.mark.parametrize("name", [*CHANGES, ""])
def test_a_lock_that_was_broken_is_noticed(tmp_path: Path, name: str) -> None:
    paths = [tmp_path / "a.lock", tmp_path / "b.lock"]
    with ExitStack() as stack:
        locks = LocalLocks(stack, "s")
        assert locks.are_intact()
        for path in paths:
            locks.take(path, target="t")
        assert locks.are_intact()
        if name:
            CHANGES[name](paths[1])
        assert locks.are_intact() is not bool(name)


def test_one_that_another_process_holds_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with ExitStack() as stack, hold_local_lock(path, sweep="s", target="t", breaks=False), pytest.raises(LockedError):
        LocalLocks(stack, "s").take(path, target="t")
