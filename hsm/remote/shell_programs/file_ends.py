"""Ends of files behind a shell: the program that prints them there, and the reading of its output. Pure.

GNU's `find`, `head` and `tail` take many files at once and name each (`==> path <==`), so a few processes do.
Elsewhere, and for files that change meanwhile, a loop reads one file after another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hsm.endpoint import FileEnds
from hsm.remote.blocks import BLOCK_BYTES, get_tail_offset

# Run by `xargs` with the paths as arguments; `$m`, `$h` (bytes of a head), `$n` (blocks of a tail), `$how`.
_READER = r"""
sizes() { printf '%s@' "$m"; find -L "$@" -maxdepth 0 -type f -readable -printf '%s %p\0' 2>/dev/null; }
many() {
  sizes "$@"
  printf '%s@' "$m"
  find -L "$@" -maxdepth 0 -type f -readable -print0 2>/dev/null | xargs -0 head -c "$h" -- /dev/null
  printf '%s@' "$m"
  if [ "$n" -gt 0 ]; then
    find -L "$@" -maxdepth 0 -type f -readable -size "+${h}c" -print0 2>/dev/null |
      xargs -0 tail -c "$(( n * 32768 ))" -- /dev/null
  fi
  sizes "$@"
}
each() {
  for f do
    [ -f "$f" ] && [ -r "$f" ] || continue
    s=$(wc -c <"$f") && s=$(( s )) || continue
    o=$(( (s - 1) / 32768 - n + 1 )); [ "$o" -lt 0 ] && o=0
    o=$(( o * 32768 )); [ "$o" -gt "$s" ] && o=$s
    b=$h; [ "$b" -gt "$s" ] && b=$s
    t=$o; [ "$t" -lt "$b" ] && t=$b
    printf '%s#%s\0%s\0' "$m" "$f" "$s"
    head -c "$b" <"$f"
    [ "$t" -lt "$s" ] && tail -c "+$(( t + 1 ))" <"$f" | head -c "$(( s - t ))"
  done
}
if [ "$how" = many ]; then many "$@" 2>/dev/null; else each "$@"; fi
"""


@dataclass(frozen=True, slots=True)
class EndsRequest:
    """The length of the ends that are wanted of each file.

    Attributes:
        n_blocks: Blocks of 32 KiB at the end; 0 for none.
        head_bytes: Bytes at the beginning.
        mark: A random word between the parts of the output.
    """

    n_blocks: int
    head_bytes: int
    mark: str


def make_ends_program(request: EndsRequest, *, careful: bool) -> str:
    """Make the program, which reads NUL-separated absolute paths from its standard input.

    Args:
        request: The ends that are wanted.
        careful: Read one file after another, so that one that grows meanwhile does no harm.
    """
    # Only GNU's find knows `-readable`.
    # `wc`, `head` and `tail` for each of 10,000 logs take 26 s. GNU's take many files at once: 1.0 s for heads of 8
    # KiB, 2.6 s for both ends.
    how = "each" if careful else "$(find -L / -maxdepth 0 -readable -printf many 2>/dev/null)"
    reader = _READER.replace("'", "'\\''")
    head = f"m={request.mark} h={request.head_bytes} n={request.n_blocks} how={how}; export m h n how"
    return f"{head}\nxargs -0 sh -c '{reader}' read"


def parse_ends(output: bytes, request: EndsRequest) -> tuple[list[FileEnds], list[str]]:
    """Read the output of the program.

    Returns:
        The ends, in the order of the paths; and the paths of files that changed meanwhile, to be read with care.

    Raises:
        ValueError: The output is not that of the program.
    """
    mark = request.mark.encode()
    found: list[FileEnds] = []
    changed: list[str] = []
    fields = output.split(mark)[1:]
    while fields:
        if fields[0][:1] == b"#":
            found += _parse_each(fields.pop(0)[1:], request)
            continue
        before, heads, tails, after = (field[1:] for field in fields[:4])
        del fields[:4]
        sizes, sizes_after = _parse_sizes(before), _parse_sizes(after)
        # `head` and `tail` ran one after the other: a file that grew in between has ends of two states.
        at_rest = {path: size for path, size in sizes.items() if sizes_after.get(path) == size}
        changed += [path for path in sizes if path not in at_rest and path in sizes_after]
        found += _iter_many(at_rest, sizes, heads, tails, request)
    return found, changed


def _iter_many(
    at_rest: Mapping[str, int], sizes: Mapping[str, int], heads: bytes, tails: bytes, request: EndsRequest
) -> Iterator[FileEnds]:
    head_bytes, tail_bytes = request.head_bytes, request.n_blocks * BLOCK_BYTES
    head_of = _split_named(heads, {path: min(size, head_bytes) for path, size in sizes.items()})
    large = {path: min(size, tail_bytes) for path, size in sizes.items() if size > head_bytes and tail_bytes}
    tail_of = _split_named(tails, large)
    for path, size in at_rest.items():
        head, end = head_of.get(path), tail_of.get(path, b"")
        if head is None or len(head) != min(size, head_bytes) or (path in large and len(end) != large[path]):
            continue
        offset = get_tail_offset(size, request.n_blocks)
        tail = end[len(end) - (size - offset) :] if path in large else head[offset:]
        yield FileEnds(path, size, head, tail, offset)


def _split_named(content: bytes, lengths: Mapping[str, int]) -> dict[str, bytes]:
    """Cut the output of `head` or `tail` on many files: each comes after a line with its name."""
    parts: dict[str, bytes] = {}
    place = 0
    for path, length in lengths.items():
        header = b"\n==> " + os.fsencode(path) + b" <==\n"
        begin = content.find(header, place)  # behind the file before, which may hold such a line
        if begin >= 0:
            place = begin + len(header) + length
            parts[path] = content[begin + len(header) : place]
    return parts


def _parse_sizes(content: bytes) -> dict[str, int]:
    pairs = (os.fsdecode(record).partition(" ") for record in content.split(b"\0") if record)
    return {path: int(size) for size, _, path in pairs}


def _parse_each(record: bytes, request: EndsRequest) -> Iterator[FileEnds]:
    path, size_text, ends = record.split(b"\0", 2)
    size = int(size_text)
    offset = get_tail_offset(size, request.n_blocks)
    n_head = min(size, request.head_bytes)
    if len(ends) == n_head + size - max(offset, n_head):  # else it was cut while it was read
        head = ends[:n_head]
        yield FileEnds(os.fsdecode(path), size, head, head[offset:] + ends[n_head:], offset)
