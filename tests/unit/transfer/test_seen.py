"""Files at a destination as a transfer knows them."""

from __future__ import annotations

import pytest

from hsm.model import Root, SourceFile
from hsm.transfer.seen import SeenFiles

T = 1_760_000_000_000_000_000
S = 10**9
FILE = SourceFile(Root.WANDB, "run-1/run-1.wandb", "/p", 100, T, 1, "run-1")


@pytest.mark.parametrize(
    ("size", "mtime_ns", "is_own"),
    [
        (100, T, True),
        (150, T + 10 * S, True),
        (200, T + 20 * S, True),
        (150, T + 30 * S, False),
        (150, T - 10 * S, False),
        (99, T + 10 * S, False),
        (201, T + 10 * S, False),
    ],
)
def test_what_grew_between_two_rounds_is_own(size: int, mtime_ns: int, is_own: bool) -> None:
    seen = SeenFiles()
    seen.note_sent([FILE])
    assert seen.may_replace(FILE._replace(size=200, mtime_ns=T + 20 * S), size, mtime_ns) is is_own


@pytest.mark.parametrize(
    ("size", "mtime_ns", "is_own"), [(40, T, True), (70, T, True), (39, T, False), (40, T + 10 * S, False)]
)
def test_what_was_cut_between_two_rounds_is_own(size: int, mtime_ns: int, is_own: bool) -> None:
    seen = SeenFiles()
    seen.note_sent([FILE])
    assert seen.may_replace(FILE._replace(size=40, mtime_ns=T + 20 * S), size, mtime_ns) is is_own
