"""The checksum of POSIX `cksum`, which a receipt is known by, where no `cksum` can be run. Pure.

Source: POSIX.1-2017, `cksum`: a CRC with the polynomial of Ethernet, most significant bit first, over the content and
its length. `zlib.crc32` is the same with the bits of each byte turned round.
"""

from __future__ import annotations

import zlib

_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ALL_ONES = 0xFFFFFFFF


def make_checksum(content: bytes) -> str:
    """What `cksum` prints of its standard input: the checksum and the length."""
    n_bytes = len(content)
    length = n_bytes.to_bytes((n_bytes.bit_length() + 7) // 8, "little")
    state = zlib.crc32((content + length).translate(_TURNED), _ALL_ONES) ^ _ALL_ONES
    turned = int(f"{state:032b}"[::-1], 2)
    return f"{turned ^ _ALL_ONES} {n_bytes}"
