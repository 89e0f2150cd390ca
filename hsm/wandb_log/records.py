"""Records of a `.wandb` log: their numbers, and the items of configuration, summary and history in them.

Each record is a protobuf `Record` of `wandb/proto/wandb_internal.proto`; the numbers used here are the same in
0.15.12 and 0.31.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from hsm.wandb_log.format import iter_fields, parse_varint

HISTORY, SUMMARY, CONFIG, METRIC, OUTPUT_RAW = 2, 3, 5, 12, 13
RUN, EXIT, FINAL, FOOTER, ENVIRONMENT = 17, 18, 20, 22, 26

_UPDATE, _REMOVE = 1, 2
_ITEM_KEY, _ITEM_NESTED_KEY, _ITEM_VALUE = 1, 2, 16
_EXIT_CODE = 1
_MESSAGES = frozenset({HISTORY, SUMMARY, CONFIG, METRIC, OUTPUT_RAW, RUN, EXIT, FINAL, FOOTER, ENVIRONMENT})

# Wire bytes: field number << 3 | 2, and the bit that says that a length goes on.
_UPDATE_TAG, _VALUE_TAG, _LONG = 0x0A, b"\x82\x01", 0x80
# The record's number, then a history or a summary whose length has one or two bytes.
_COMMON_RECORD = re.compile(
    rb"\x08[\x80-\xff]{0,4}[\x00-\x7f]([\x12\x1a])(?:([\x00-\x7f])|([\x80-\xff])([\x00-\x7f]))", re.DOTALL
)

REMOVED = b""
"""The value of a key that was removed; no JSON is empty."""

ValueKey = tuple[str, ...]
"""The place of a value: its names from the outermost inwards."""


def iter_items(message: bytes) -> Iterator[tuple[ValueKey, bytes]]:
    """Read the items of a config, summary or history record: the place of each, and its JSON."""
    for field, item in iter_fields(message):
        if field == _UPDATE and isinstance(item, bytes):
            yield _parse_item(item)


def iter_removed(message: bytes) -> Iterator[ValueKey]:
    """Read the keys that a config or summary record removes."""
    for field, item in iter_fields(message):
        if field == _REMOVE and isinstance(item, bytes):
            yield _parse_item(item)[0]


class ItemReader:
    """Reader of items as `iter_items`, several times as fast where the same keys come again and again.

    It remembers the bytes before a value once it has read them field by field, and takes the value behind them by its
    length alone.
    """

    def __init__(self) -> None:
        self._keys: dict[bytes, ValueKey] = {}

    def read(self, message: bytes) -> list[tuple[ValueKey, bytes]]:
        """Read all items of a message, in order."""
        items, rest = self._read_known(message)
        return [*items, *iter_items(rest)] if rest else items

    def _read_known(self, message: bytes) -> tuple[list[tuple[ValueKey, bytes]], bytes]:
        """Read the items up to the first that is not written in the common way; return the rest of the message too."""
        items: list[tuple[ValueKey, bytes]] = []
        keys = self._keys
        position, size = 0, len(message)
        while position + 1 < size and message[position] == _UPDATE_TAG:
            length = message[position + 1]
            end = position + 2 + length
            if length >= _LONG or end > size:
                break
            item = message[position + 2 : end]
            names, _, value = item.partition(_VALUE_TAG)
            if names in keys and value and value[0] == len(value) - 1:  # the value's length is one byte, and fits
                items.append((keys[names], value[1:]))
            else:
                found = _parse_item(item)
                items.append(found)
                # Remembered only where the bytes behind the tag are the whole value: an item may be written in another
                # order, or hold the tag's two bytes in its key.
                if value[1:] == found[1]:
                    keys[names] = found[0]
            position = end
        return items, message[position:]


class LastItems:
    """The last value of each key, from messages that are added from the last to the first.

    Attributes:
        values: The JSON of each key, the last one written first; `REMOVED` for a key that was removed.
    """

    def __init__(self) -> None:
        self.values: dict[ValueKey, bytes] = {}
        self._taken: set[bytes] = set()

    def add(self, message: bytes, *, has_removals: bool) -> None:
        """Add the next message towards the beginning.

        Args:
            message: A summary record or a history row.
            has_removals: It can remove keys, as a summary record can.
        """
        position, size = 0, len(message)
        taken, find = self._taken, message.find
        while position + 1 < size and message[position] == _UPDATE_TAG:
            start, length = position + 2, message[position + 1]
            if length >= _LONG:
                length, start = parse_varint(message, position + 1)
            end = start + length
            if length < 0 or end > size:
                break
            names = message[start : find(_VALUE_TAG, start, end)]
            # A key whose value is known is recognised by the bytes before its value: only the values that count are
            # ever read.
            if names not in taken:
                self._take(message[start:end], names)
            position = end
        if has_removals and position < size:
            for key in iter_removed(message[position:]):
                self.values.setdefault(key, REMOVED)

    def _take(self, item: bytes, names: bytes) -> None:
        key, value = _parse_item(item)
        # Messages come from the last to the first, so what is there already was written later.
        self.values.setdefault(key, value)
        if parse_varint(item, len(names) + len(_VALUE_TAG)) == (len(value), len(item) - len(value)):
            self._taken.add(names)


def split_record(payload: bytes) -> tuple[int, bytes]:
    """Split a record into the number of its first message and that message; 0 for none.

    wandb's own notes on a record (its number, its sender) are skipped.
    """
    common = _COMMON_RECORD.match(payload)
    if common is not None:
        tag, short, low, high = common.groups()
        start = common.end()
        length = short[0] if short else low[0] & 0x7F | high[0] << 7
        if start + length == len(payload):
            return tag[0] >> 3, payload[start:]
    for number, message in iter_fields(payload):
        if isinstance(message, bytes) and number in _MESSAGES:
            return number, message
    return 0, b""


def _parse_item(item: bytes) -> tuple[ValueKey, bytes]:
    key, nested, value_json = "", [], b""
    for number, part in iter_fields(item):
        if number == _ITEM_KEY:
            key = decode_text(part)
        elif number == _ITEM_NESTED_KEY:
            nested.append(decode_text(part))
        elif number == _ITEM_VALUE and isinstance(part, bytes):
            value_json = part
    return tuple(nested) or (key,), value_json


def parse_exit_code(message: bytes) -> int:
    """Read the exit code of an exit record: a signed number of 32 bits, written as one of 64."""
    code = 0
    for field, value in iter_fields(message):
        if field == _EXIT_CODE and isinstance(value, int):
            code = value & 0xFFFFFFFF
    return code - (1 << 32) if code >> 31 else code


def parse_json(value: bytes) -> object:
    """Parse a value, which may be NaN or infinite; None also where it is no JSON."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def decode_text(value: int | bytes) -> str:
    """Decode a text; bytes that are no UTF-8 become surrogates, and what is no text is empty."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""
