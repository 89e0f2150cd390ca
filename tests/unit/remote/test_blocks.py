from __future__ import annotations

import pytest

from hsm.remote.blocks import BLOCK_BYTES, get_tail_offset
from hsm.wandb_log import format as log_format


@pytest.mark.parametrize(("size", "n_blocks", "offset"), [(0, 2, 0), (100, 0, 100), (BLOCK_BYTES, 1, 0)])
def test_a_tail_begins_at_a_block(size: int, n_blocks: int, offset: int) -> None:
    assert get_tail_offset(size, n_blocks) == offset


def test_the_blocks_are_those_of_the_logs() -> None:
    assert BLOCK_BYTES == log_format.BLOCK_BYTES
