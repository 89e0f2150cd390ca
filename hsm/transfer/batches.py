"""Cutting a plan into batches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from hsm.model import SourceFile
from hsm.transfer.base import Batch

_FILE_COST_BYTES = 16 * 1024
"""What a file costs beside its content: opening, naming and renaming it."""

_MIN_BATCH_COST_BYTES = 16 * 1024 * 1024
"""Below this a second stream costs more than it brings."""


def make_batches(files: Sequence[SourceFile], *, n_workers: int) -> list[Batch]:
    """Cut files into batches for `n_workers` workers, equal in cost and each in the files' order.

    Args:
        files: Sorted by root, as a plan's `sends` are.
        n_workers: At least 1.

    Returns:
        The batches, largest first, so that the last worker does not trail. Every file is in exactly one.
    """
    total = sum(_cost(file) for file in files)
    limit = max(-(-total // max(1, n_workers)), _MIN_BATCH_COST_BYTES)
    batches = [
        Batch(root, part)
        for root, members in groupby(files, key=lambda file: file.root)
        for part in _iter_parts(members, limit)
    ]
    return sorted(batches, key=lambda batch: -sum(_cost(file) for file in batch.files))


def _iter_parts(files: Iterator[SourceFile], limit: int) -> Iterator[tuple[SourceFile, ...]]:
    part: list[SourceFile] = []
    cost = 0
    for file in files:
        if part and cost + _cost(file) > limit:
            yield tuple(part)
            part, cost = [], 0
        part.append(file)
        cost += _cost(file)
    if part:
        yield tuple(part)


def _cost(file: SourceFile) -> int:
    return file.size + _FILE_COST_BYTES
