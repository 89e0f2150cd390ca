"""A writer of the `.wandb` log's framing and records, for what the real wandb will not write on demand."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hsm.endpoint import FileEnds

HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32768


def frame(records: Iterable[bytes]) -> bytes:
    """Write records as a log."""
    log = bytearray(HEADER)
    for record in records:
        rest, is_first = record, True
        while True:
            room = BLOCK - len(log) % BLOCK
            if room < 7:
                log += bytes(room)
                continue
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = bytes([(1 if is_first else 4) if not rest else (2 if is_first else 3)])
            log += struct.pack("<IH", zlib.crc32(kind + part), len(part)) + kind + part
            is_first = False
            if not rest:
                break
    return bytes(log)


def varint(value: int) -> bytes:
    encoded = bytearray()
    value &= (1 << 64) - 1
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def record(number: int, message: bytes) -> bytes:
    """Write a `Record`: its sequence number, and one message."""
    return field(1, 1) + field(number, message)


def item(key: str | Sequence[str], value: Any) -> bytes:
    """Write an item of a config, summary or history record."""
    names = field(1, key) if isinstance(key, str) else b"".join(field(2, name) for name in key)
    return field(1, names + field(16, json.dumps(value)))


def run(run_id: str = "abc", *, group: str = "", sweep_id: str = "", config: Mapping[str, Any] | None = None) -> bytes:
    message = field(1, run_id)
    message += field(4, b"".join(item(key, value) for key, value in (config or {}).items()))
    message += (field(6, group) if group else b"") + (field(12, sweep_id) if sweep_id else b"")
    return record(17, message)


def exit_code(code: int) -> bytes:
    return record(18, (field(1, code) if code else b"") + field(2, 7))


def environment(*args: str) -> bytes:
    return record(26, b"".join(field(5, arg) for arg in args))


def config(key: str, value: Any) -> bytes:
    return record(5, item(key, value))


def history(row: Mapping[Any, Any], step: int | None = None) -> bytes:
    items = b"".join(item(key, value) for key, value in row.items())
    return record(2, items + (b"" if step is None else field(2, field(1, step))))


def summary(row: Mapping[Any, Any]) -> bytes:
    return record(3, b"".join(item(key, value) for key, value in row.items()))


FOOTER = record(22, b"")


def cut(log: bytes, *, n_blocks: int = 2) -> FileEnds:
    """Cut a log's ends as an endpoint does."""
    offset = max(0, (len(log) - 1) // BLOCK - n_blocks + 1) * BLOCK
    return FileEnds("/log", len(log), log[: n_blocks * BLOCK], log[offset:], offset)
