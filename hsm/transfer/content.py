"""Comparison of many files by their content, with several workers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hsm.model import FileKey, SourceFile
from hsm.transfer.base import Engine
from hsm.transfer.batches import make_batches


@dataclass(frozen=True, slots=True)
class ContentAnswer:
    """Files whose content is not the same at both ends; the others' is.

    Attributes:
        different: Files that differ.
        missing: Files that are not at the destination.
    """

    different: frozenset[FileKey]
    missing: frozenset[FileKey]


def compare_content(engine: Engine, files: Sequence[SourceFile], *, n_workers: int) -> ContentAnswer:
    """Compare files by checksum; both ends read all of them.

    Args:
        engine: Between the two ends.
        files: In any order.
        n_workers: Wanted; the engine may allow fewer.

    Raises:
        HsmError: A file could not be read, or the connection broke: nothing is known.
    """
    if not files:
        return ContentAnswer(frozenset(), frozenset())
    can = engine.capabilities
    batches = make_batches(sorted(files), n_streams=n_workers, max_name_bytes=can.max_name_bytes)
    with ThreadPoolExecutor(max(1, min(n_workers, can.max_workers))) as executor:
        found = list(executor.map(engine.compare, batches))
    pairs = list(zip(batches, found, strict=True))
    return ContentAnswer(
        frozenset((batch.root, path) for batch, answer in pairs for path in answer.different),
        frozenset((batch.root, path) for batch, answer in pairs for path in answer.missing),
    )
