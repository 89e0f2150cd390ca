"""Lists of files cut into parts that memory has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_MOST_BYTES = 256 * 1024 * 1024
_File = TypeVar("_File")


def cut_by_bytes(
    files: Iterable[_File], get_bytes: Callable[[_File], int], *, most_bytes: int = _MOST_BYTES
) -> Iterator[list[_File]]:
    """Cut a list of files into parts, each with as many files as fit; one that is larger by itself is a part.

    Args:
        files: In the order in which they are wanted.
        get_bytes: What a file takes.
        most_bytes: Of a part.
    """
    part: list[_File] = []
    n_bytes = 0
    for file in files:
        n_more = get_bytes(file)
        if part and n_bytes + n_more > most_bytes:
            yield part
            part, n_bytes = [], 0
        part.append(file)
        n_bytes += n_more
    if part:
        yield part
