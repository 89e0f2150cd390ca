"""Batches: the files of a plan, cut into what one worker sends in one stream. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hsm.model import Root, SourceFile
from hsm.transfer.base import Batch, count_name_bytes
from hsm.transfer.destination.mounts import Mounts
from hsm.transfer.seen import SeenFiles

WINDOW_BYTES = 2 * 1024 * 1024
"""The most that one SSH channel carries in a round trip (`CHAN_SES_WINDOW_DEFAULT` of OpenSSH's channels.h)."""

STREAM_SECONDS = 0.03
"""The cost of another stream: two processes at each end and their session."""

UNMEASURED_SECONDS = 0.05
"""The round trip of a link that was not measured."""

# The cost of a file beside its content: opening, naming and renaming it.
_FILE_COST_BYTES = 16 * 1024


def choose_streams(n_bytes: int, *, n_workers: int, round_trip_seconds: float | None) -> int:
    """Choose the number of streams that send so many bytes soonest.

    A channel waits for the other end once its window is full, so n streams need `n_bytes / (n * window)` round trips
    and n times `STREAM_SECONDS`; the smallest sum is at the root of their ratio. On a fast link that is one stream,
    since all channels of a login are encrypted by one process. 81 MB over a login that was open took with 1, 2 and 4
    streams 0.46, 0.43 and 0.50 s on loopback, and 2.09, 1.21 and 0.86 s at 40 ms.

    Args:
        n_bytes: All that is to be sent.
        n_workers: At most so many.
        round_trip_seconds: Of the link; None where unknown, which counts as `UNMEASURED_SECONDS`.
    """
    trip = UNMEASURED_SECONDS if round_trip_seconds is None else round_trip_seconds
    # n streams need n_bytes / (n * window) round trips and n times STREAM_SECONDS; the least sum is at the root of
    # their ratio. One channel reached 78, 35 and 18 MiB/s at 20, 50 and 100 ms, four over one master as much as four
    # connections. 81 MB took with 1, 2, 3 and 4 streams 0.46, 0.43, 0.46, 0.50 s on loopback, 2.09, 1.21, 0.97, 0.86 s
    # at 40 ms.
    best = math.sqrt(n_bytes / WINDOW_BYTES * trip / STREAM_SECONDS)
    return max(1, min(n_workers, round(best)))


def make_batches(
    files: Sequence[SourceFile],
    *,
    n_streams: int,
    max_name_bytes: int | None = None,
    seen: SeenFiles | None = None,
    mounts: Mounts | None = None,
) -> list[Batch]:
    """Cut files into batches for streams that run side by side, equal in cost.

    Args:
        files: Sorted by root, as a plan's `sends` are.
        n_streams: At least 1.
        max_name_bytes: Of the names in a batch; None for no limit.
        seen: What of the destination they may replace; None where nothing is there.
        mounts: The mount points below the roots; None where there is none.

    Returns:
        The batches, largest first: at most `n_streams`, but one for each root and its sparse files, and more where
        their names ask for it.
        Every file is in exactly one. A batch begins with files that are too large to share a stream fairly; the
        others follow in their order, so that a folder's files stay together.
    """
    known = seen or SeenFiles()
    by_place = _sort_by_place(files, mounts or Mounts())
    shares = _share(by_place, n_streams)
    batches = [
        Batch(root, tuple(part), known, base)
        for (root, base, is_sparse), members in by_place.items()
        for share in _cut(members, shares[root, base, is_sparse])
        for part in _cut_by_names(share, max_name_bytes)
    ]
    return sorted(batches, key=lambda batch: -sum(map(_cost, batch.files)))


_Place = tuple[Root, str, bool]
"""A file system of the destination: a root, and a mount point below it; and whether the files there have holes.

Looking for zeros takes rsync nearly twice as long (600 MB between two folders: 1.2 s in place of 0.7 s, before 3.5 with
a write for each KiB), so sparse files have streams of their own."""


def _sort_by_place(files: Sequence[SourceFile], mounts: Mounts) -> dict[_Place, list[SourceFile]]:
    has_mounts = any(mounts.below.values())
    by_place: dict[_Place, list[SourceFile]] = {}
    for file in files:
        # Most have none: asking for each file takes 1.5 microseconds more.
        place = file.root, mounts.find(file) if has_mounts else "", file.disk_bytes is not None
        by_place.setdefault(place, []).append(file)
    return by_place


def _share(by_place: dict[_Place, list[SourceFile]], n_streams: int) -> dict[_Place, int]:
    """Give each file system a stream, and each further one to the one whose streams have the most to send."""
    costs = {place: sum(map(_cost, members)) for place, members in by_place.items()}
    shares = dict.fromkeys(by_place, 1)
    for _ in range(n_streams - len(shares)):
        if shares:
            busiest = max(shares, key=lambda place: costs[place] / shares[place])
            shares[busiest] += 1
    return shares


def _cut(files: Sequence[SourceFile], n_parts: int) -> list[list[SourceFile]]:
    """Deal out files larger than a quarter of a part, each to the part that has least; fill up with the others."""
    fair = sum(map(_cost, files)) / n_parts
    parts: list[list[SourceFile]] = [[] for _ in range(n_parts)]
    loads = [0.0] * n_parts
    for file in sorted((file for file in files if _cost(file) > fair / 4), key=_cost, reverse=True):
        least = loads.index(min(loads))
        parts[least].append(file)
        loads[least] += _cost(file)
    number = 0
    for file in files:
        if _cost(file) <= fair / 4:
            while loads[number] >= fair and number < n_parts - 1:
                number += 1
            parts[number].append(file)
            loads[number] += _cost(file)
    return [part for part in parts if part]


def _cut_by_names(files: Sequence[SourceFile], limit: int | None) -> Iterator[Sequence[SourceFile]]:
    """Cut into as few parts as the limit allows, about equal in names."""
    n_bytes = [count_name_bytes(file) for file in files] if limit is not None else []
    if limit is None or sum(n_bytes) < limit:
        yield files
        return
    # A tenth of room: the last name of a part may overrun its fair share.
    fair = sum(n_bytes) / math.ceil(sum(n_bytes) / (0.9 * limit))
    begin, load = 0, 0
    for index, name_bytes in enumerate(n_bytes):
        load += name_bytes
        if load >= fair:
            yield files[begin : index + 1]
            begin, load = index + 1, 0
    if begin < len(files):
        yield files[begin:]


def _cost(file: SourceFile) -> int:
    return file.size + _FILE_COST_BYTES
