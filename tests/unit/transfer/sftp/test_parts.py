"""Memory of parts: which bytes of a large file are certain after a broken link."""

from __future__ import annotations

import pytest

from hsm.model import Root
from hsm.transfer.sftp.parts import PartKey, PartMemory

FILE = (Root.WANDB, "run-1/big")
KEY = PartKey(FILE, 10, 20, 30)


def test_bytes_that_were_noted_are_certain_until_the_file_is_whole() -> None:
    memory = PartMemory()
    assert memory.count(KEY) is None
    memory.begin(KEY, 3)
    assert memory.count(KEY) == 3
    memory.note(FILE, 7)
    assert memory.count(KEY) == 7
    memory.forget(FILE)
    memory.forget(FILE)
    assert memory.count(KEY) is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(KEY._replace(size=11), id="it grew"),
        pytest.param(KEY._replace(mtime=21), id="it was written again"),
        pytest.param(KEY._replace(inode=31), id="another file took its place"),
        pytest.param(KEY._replace(file=(Root.SWEEPS, "run-1/big")), id="another folder"),
    ],
)
def test_of_another_source_nothing_is_certain(other: PartKey) -> None:
    memory = PartMemory()
    memory.begin(KEY, 3)
    assert memory.count(other) is None


def test_of_a_small_file_nothing_is_noted() -> None:
    memory = PartMemory()
    memory.note(FILE, 7)
    assert memory.count(KEY) is None
