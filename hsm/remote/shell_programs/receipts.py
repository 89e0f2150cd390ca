"""Checksums of the receipts in a folder: the program that prints them, and the reading of what it prints. Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence

# `cksum` is of POSIX, so every machine has it. It must notice a change, not withstand an attack: who can write the
# receipt can write the results.
# $d the folder. `cksum` prints the checksum and the length; the two are joined by a hyphen.
RECEIPTS = r"""
receipts() {
  for f in "$d"/receipt-*.json; do
    if [ -f "$f" ]; then k=$(cksum <"$f"); printf '%s %s\0' "${k:+${k%% *}-${k##* }}" "${f##*/}"; fi
  done
}
"""


def make_receipts_program(folder: str) -> str:
    """Make a program that prints the checksums of the receipts in a folder, given as a quoted shell word."""
    return f"d={folder}\n{RECEIPTS}\nreceipts"


def parse_receipt_checksums(fields: Sequence[bytes]) -> dict[str, str]:
    """Read the fields that `receipts` printed, `checksum name` in each, into checksums by file name."""
    pairs = (os.fsdecode(field).partition(" ") for field in fields if field)
    return {name: checksum for checksum, _, name in pairs}
