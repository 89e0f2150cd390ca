"""Receipts in a folder of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hsm.records.receipt import Receipt, get_receipt_name, parse_receipt


def iter_receipts(folder: Path) -> Iterator[Receipt]:
    """Read the receipts in a folder, whoever they are of; what is damaged or no regular file is skipped."""
    for path in sorted(folder.glob("receipt-*.json")):
        with contextlib.suppress(OSError, ValueError):
            if path.is_symlink() or not path.is_file():
                continue
            receipt = parse_receipt(path.read_bytes())
            if get_receipt_name(receipt.source.id) == path.name:
                yield receipt
