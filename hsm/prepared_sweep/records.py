"""Records of tasks: words in pieces, so that the places in them are filled in where the task runs. Pure.

The layout is described in docs/design/sweeps.md; `hsm.prepared_sweep.shell` reads it in bash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from hsm.errors import UsageError

INDEX_LINE_BYTES = 64
_UNFIT = re.compile("[\x00-\x1f\x7f'\"\\\\$]")


class Filling(Enum):
    """Place that is known where a task runs; the value is the kind of its piece."""

    TASK = "t"
    CODE = "c"
    PYTHON = "p"
    PARAMETERS = "j"


CommandWord = tuple[str | Filling, ...]
"""One word of a command: text, and places among it."""


class TaskRecord(NamedTuple):
    """All that one task is given.

    Attributes:
        parameters: The content of its file of parameters.
        command: Its words, the program first.
    """

    parameters: CommandWord
    command: tuple[CommandWord, ...]


class DamagedRecordError(Exception):
    """An index leads to something that is no record of a task."""


def encode_record(record: TaskRecord) -> bytes:
    """Write a record as pieces.

    Raises:
        ValueError: A text of it holds a NUL.
    """
    return b"".join(_encode_word(word) for word in (record.parameters, *record.command))


def _encode_word(word: CommandWord) -> bytes:
    pieces = list(word) or [""]
    found = [
        (f"{'L' if index == len(pieces) - 1 else 'l'}{piece}")
        if isinstance(piece, str)
        else (piece.value.upper() if index == len(pieces) - 1 else piece.value)
        for index, piece in enumerate(pieces)
    ]
    if any("\0" in piece for piece in found):
        raise ValueError("a word of a command cannot hold a NUL")
    return "".join(f"{piece}\0" for piece in found).encode("utf-8", "surrogateescape")


def decode_record(content: bytes) -> TaskRecord:
    """Read what `encode_record` wrote; pieces that follow one another stay apart.

    Raises:
        DamagedRecordError: It is none.
    """
    words: list[CommandWord] = []
    open_pieces: list[str | Filling] = []
    *pieces, rest = content.decode("utf-8", "surrogateescape").split("\0")
    for piece in pieces:
        kind = piece[:1].lower()
        if kind == "l":
            open_pieces.append(piece[1:])
        elif len(piece) == 1 and any(kind == filling.value for filling in Filling):
            open_pieces.append(Filling(kind))
        else:
            raise DamagedRecordError(f"a piece begins with {piece[:1]!a}")
        if piece[:1].isupper():
            words.append(tuple(open_pieces))
            open_pieces = []
    if rest or open_pieces or len(words) < 2:
        raise DamagedRecordError("it ends within a word")
    return TaskRecord(words[0], tuple(words[1:]))


def encode_index(part: int, sizes: Iterable[int], *, offset: int = 0) -> bytes:
    """Write the lines of an index for records that lie one behind the other.

    Args:
        part: The number of their file.
        sizes: Their lengths in bytes.
        offset: Where the first one begins.
    """
    lines = []
    for size in sizes:
        lines.append(f"{part} {offset} {size}".ljust(INDEX_LINE_BYTES - 1) + "\n")
        offset += size
    return "".join(lines).encode("ascii")


def decode_index_line(index: bytes, number: int) -> tuple[int, int, int]:
    """Return file, offset and length of a task's record.

    Raises:
        DamagedRecordError: The index has no such task.
    """
    line = index[(number - 1) * INDEX_LINE_BYTES : number * INDEX_LINE_BYTES]
    fields = line.split()
    if number < 1 or len(line) != INDEX_LINE_BYTES or len(fields) != 3 or not all(part.isdigit() for part in fields):
        raise DamagedRecordError(f"the index has no task {number}")
    return int(fields[0]), int(fields[1]), int(fields[2])


def fill_word(word: CommandWord, places: Mapping[Filling, str]) -> str:
    """Return a word as the task gets it."""
    return "".join(piece if isinstance(piece, str) else places[piece] for piece in word)


def fill_words(words: Sequence[CommandWord], places: Mapping[Filling, str]) -> list[str]:
    """Return the words of a command as they are executed."""
    return [fill_word(word, places) for word in words]


def check_place(path: str, what: str) -> None:
    """Refuse a place that cannot be filled into a quoted value.

    Args:
        path: The folder or file.
        what: It, in a message, for example `the project`.

    Raises:
        UsageError: It holds a quote, a backslash, a `$` or a control character.
    """
    if found := _UNFIT.search(path):
        raise UsageError(
            f"The path of {what} holds {found[0]!a}, which tasks cannot be given: {path!a}",
            hint="Rename the folder, or reach it by a symlink with a plain name.",
            kind="unfit_place",
        )
