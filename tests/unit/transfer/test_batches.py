"""Cutting a plan into batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import Root, SourceFile
from hsm.transfer.base import Batch, count_name_bytes
from hsm.transfer.batches import choose_streams, make_batches

MB = 1000 * 1000
MIB = 1024 * 1024


def make_files(sizes: Sequence[int], root: Root = Root.WANDB) -> list[SourceFile]:
    return [SourceFile(root, f"run/{number:05}", "/p", size, 0, 1) for number, size in enumerate(sizes)]


def count(batches: Sequence[Batch]) -> list[int]:
    return [len(batch.files) for batch in batches]


@pytest.mark.parametrize(
    ("n_bytes", "round_trip_seconds", "expected"),
    [
        pytest.param(80 * MB, 0.0002, 1, id="many small files, the same machine"),
        pytest.param(80 * MB, 0.04, 4, id="many small files, another country"),
        pytest.param(80 * MB, 0.001, 1, id="many small files, the next building"),
        pytest.param(4 * MB, 0.04, 2, id="some files, another country"),
        pytest.param(1000, 0.3, 1, id="hardly anything"),
        pytest.param(400 * MB, 0.1, 4, id="large files, another continent"),
        pytest.param(0, 0.1, 1, id="empty files"),
        pytest.param(100 * 1000 * MB, 0.0002, 4, id="very much on a fast link"),
        pytest.param(80 * MB, None, 4, id="who knows"),
    ],
)
def test_streams_are_as_many_as_the_link_repays(n_bytes: int, round_trip_seconds: float | None, expected: int) -> None:
    assert choose_streams(n_bytes, n_workers=4, round_trip_seconds=round_trip_seconds) == expected


def test_there_is_always_a_stream() -> None:
    assert choose_streams(80 * MB, n_workers=0, round_trip_seconds=0.04) == 1
    assert choose_streams(0, n_workers=4, round_trip_seconds=None) == 1


@pytest.mark.parametrize(
    ("sizes", "n_streams", "expected"),
    [
        pytest.param([], 4, [], id="nothing"),
        pytest.param([0], 4, [1], id="one empty file"),
        pytest.param([100] * 500, 1, [500], id="one stream"),
        pytest.param([20 * MIB] * 4, 4, [1, 1, 1, 1], id="one each"),
        pytest.param([20 * MIB] * 8, 4, [2, 2, 2, 2], id="two each"),
        pytest.param([1, 100 * MIB, 1], 2, [1, 2], id="a large file goes alone, small ones beside it"),
        pytest.param([1, 100 * MIB, 1, 50 * MIB, 50 * MIB], 2, [2, 3], id="large ones are dealt out"),
        pytest.param([0] * 4096, 2, [2048, 2048], id="many small files are cut by their number"),
    ],
)
def test_files_are_cut_by_cost(sizes: list[int], n_streams: int, expected: list[int]) -> None:
    assert sorted(count(make_batches(make_files(sizes), n_streams=n_streams))) == sorted(expected)


def test_sparse_files_have_a_batch_of_their_own() -> None:
    files = [file._replace(disk_bytes=0) if number == 1 else file for number, file in enumerate(make_files([1, 1, 1]))]
    batches = make_batches(files, n_streams=1)
    assert sorted((batch.is_sparse, len(batch.files)) for batch in batches) == [(False, 2), (True, 1)]


def test_small_files_stay_in_their_order() -> None:
    batches = make_batches(make_files([100] * 1000), n_streams=4)
    by_place = sorted(batches, key=lambda batch: batch.files[0].path)
    assert [file for batch in by_place for file in batch.files] == make_files([100] * 1000)


@pytest.mark.parametrize(
    ("n_streams", "n_sweeps", "n_wandb"),
    [
        pytest.param(1, 1, 1, id="one more than wanted"),
        pytest.param(2, 1, 1, id="one each"),
        pytest.param(4, 1, 3, id="the rest where the work is"),
    ],
)
def test_a_batch_is_of_one_root(n_streams: int, n_sweeps: int, n_wandb: int) -> None:
    files = make_files([1, 2], Root.SWEEPS) + make_files([MIB] * 30, Root.WANDB)
    batches = make_batches(files, n_streams=n_streams)
    assert [batch.root for batch in batches].count(Root.SWEEPS) == n_sweeps
    assert [batch.root for batch in batches].count(Root.WANDB) == n_wandb


SIZES = st.lists(st.one_of(st.integers(0, 1000), st.integers(0, 300 * MIB)), max_size=60)


@given(SIZES, SIZES, st.integers(1, 8))
def test_every_file_is_in_one_batch_and_there_are_few(sweeps: list[int], wandb: list[int], n_streams: int) -> None:
    files = make_files(sweeps, Root.SWEEPS) + make_files(wandb, Root.WANDB)
    batches = make_batches(files, n_streams=n_streams)
    assert sorted(file for batch in batches for file in batch.files) == sorted(files)
    assert all(batch.files and {file.root for file in batch.files} == {batch.root} for batch in batches)
    assert len(batches) <= max(2, n_streams)


@given(SIZES, st.integers(1, 8))
def test_batches_come_largest_first_and_none_trails(sizes: list[int], n_streams: int) -> None:
    files = make_files(sizes)
    batches = make_batches(files, n_streams=n_streams)
    costs = [sum(file.size + 16 * 1024 for file in batch.files) for batch in batches]
    assert all(one >= other for one, other in pairwise(costs))
    largest = max((file.size + 16 * 1024 for file in files), default=0)
    assert all(cost <= sum(costs) / n_streams + max(largest, 1) for cost in costs)


@given(SIZES, st.integers(1, 4), st.integers(1, 2000))
def test_names_of_a_batch_fit_where_one_file_does(sizes: list[int], n_streams: int, limit: int) -> None:
    files = make_files(sizes)
    batches = make_batches(files, n_streams=n_streams, max_name_bytes=limit)
    assert sorted(file for batch in batches for file in batch.files) == sorted(files)
    largest = max(map(count_name_bytes, files), default=0)
    for batch in batches:
        assert sum(map(count_name_bytes, batch.files)) < max(limit, 1) + largest
    if limit > 1000:
        assert len(batches) <= n_streams + sum(map(count_name_bytes, files)) // (limit // 2)


def test_batches_are_cut_by_names_only_where_they_must_be() -> None:
    files = make_files([100] * 1000)
    n_bytes = sum(map(count_name_bytes, files))
    assert count(make_batches(files, n_streams=1, max_name_bytes=n_bytes + 1)) == [1000]
    assert len(make_batches(files, n_streams=1, max_name_bytes=n_bytes)) == 2
    for batch in make_batches(files, n_streams=1, max_name_bytes=n_bytes // 5):
        assert sum(map(count_name_bytes, batch.files)) < n_bytes // 5
