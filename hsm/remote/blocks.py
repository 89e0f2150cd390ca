"""The blocks in which the ends of files are read (`hsm.endpoint.FileEnds`). Pure."""

from __future__ import annotations

BLOCK_BYTES = 32768
"""The block of a `.wandb` log, whose records begin anew at each multiple of it."""


def get_tail_offset(size: int, n_blocks: int) -> int:
    """Return where the last `n_blocks` blocks of a file of `size` bytes begin."""
    return min(size, max(0, (size - 1) // BLOCK_BYTES - n_blocks + 1) * BLOCK_BYTES)
