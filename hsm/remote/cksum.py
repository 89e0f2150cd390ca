"""The checksum of POSIX `cksum`, by which a receipt or a lock is known again, where no `cksum` can be run. Pure.

Every machine has `cksum`, so the program that lists a destination prints it for each receipt. It needs to notice a
change, not to withstand an attack: a person who can write the receipt can write the results.

Source: POSIX.1-2017, `cksum`: a CRC with the polynomial of Ethernet, most significant bit first, over the content and
its length. `zlib.crc32` is the same with the bits of each byte turned round.
"""

from __future__ import annotations

import zlib

_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ALL_ONES = 0xFFFFFFFF


def make_checksum(content: bytes) -> str:
    """Make what `cksum` prints of its standard input: the checksum and the length."""
    n_bytes = len(content)
    length = n_bytes.to_bytes((n_bytes.bit_length() + 7) // 8, "little")
    state = zlib.crc32((content + length).translate(_TURNED), _ALL_ONES) ^ _ALL_ONES
    turned = int(f"{state:032b}"[::-1], 2)
    return f"{turned ^ _ALL_ONES} {n_bytes}"
