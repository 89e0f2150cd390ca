"""Cutting a plan into batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import Root, SourceFile
from hsm.transfer.base import Batch
from hsm.transfer.batches import make_batches

MIB = 1024 * 1024


def make_files(sizes: Sequence[int], root: Root = Root.WANDB) -> list[SourceFile]:
    return [SourceFile(root, f"run/{number:05}", "/p", size, 0, 1) for number, size in enumerate(sizes)]


def count(batches: Sequence[Batch]) -> list[int]:
    return [len(batch.files) for batch in batches]


@pytest.mark.parametrize(
    ("sizes", "n_workers", "expected"),
    [
        pytest.param([], 4, [], id="nothing"),
        pytest.param([0], 4, [1], id="one empty file"),
        pytest.param([100] * 500, 4, [500], id="little work is one stream"),
        pytest.param([20 * MIB] * 4, 4, [1, 1, 1, 1], id="one each"),
        pytest.param([20 * MIB] * 8, 4, [2, 2, 2, 2], id="two each"),
        pytest.param([20 * MIB] * 8, 1, [8], id="one worker"),
        pytest.param([20 * MIB] * 8, 0, [8], id="no worker counts as one"),
        pytest.param([1, 100 * MIB, 1], 2, [1, 1, 1], id="a large file goes alone"),
        pytest.param([0] * 4096, 2, [2048, 2048], id="many small files are cut by their number"),
    ],
)
def test_files_are_cut_by_cost(sizes: list[int], n_workers: int, expected: list[int]) -> None:
    assert count(make_batches(make_files(sizes), n_workers=n_workers)) == expected


def test_a_batch_is_of_one_root() -> None:
    files = make_files([1, 2], Root.SWEEPS) + make_files([3], Root.WANDB)
    batches = make_batches(files, n_workers=1)
    assert {(batch.root, batch.n_bytes) for batch in batches} == {(Root.SWEEPS, 3), (Root.WANDB, 3)}


SIZES = st.lists(st.one_of(st.integers(0, 1000), st.integers(0, 300 * MIB)), max_size=60)


@given(SIZES, SIZES, st.integers(1, 8))
def test_every_file_is_in_one_batch_in_order_and_there_are_few(
    sweeps: list[int], wandb: list[int], n_workers: int
) -> None:
    files = make_files(sweeps, Root.SWEEPS) + make_files(wandb, Root.WANDB)
    batches = make_batches(files, n_workers=n_workers)
    by_place = sorted(batches, key=lambda batch: files.index(batch.files[0]))
    assert [file for batch in by_place for file in batch.files] == files
    assert all(batch.files and {file.root for file in batch.files} == {batch.root} for batch in batches)
    assert len(batches) <= 2 * n_workers + 2


@given(SIZES, st.integers(1, 8))
def test_batches_come_largest_first_and_none_trails(sizes: list[int], n_workers: int) -> None:
    files = make_files(sizes)
    batches = make_batches(files, n_workers=n_workers)
    costs = [sum(file.size + 16 * 1024 for file in batch.files) for batch in batches]
    assert all(one >= other for one, other in pairwise(costs))
    fair = max(sum(costs) / n_workers + 1, 16 * MIB)
    assert all(cost <= fair or len(batch.files) == 1 for cost, batch in zip(costs, batches, strict=True))
