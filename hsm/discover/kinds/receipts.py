"""Runs that the receipts at a place give to sweeps, and what else receipts say of a sweep.

At a target the runs of all sweeps lie side by side, where nothing says whose a run is that only its place, or an
agent's file, gave to a sweep. The receipt of its sweep lists it. A receipt is hostile input like any file there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.discover.index import ReceiptFacts, RunIndex
from hsm.discover.sweeps import Layout, Sweep, is_run_name
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Entry, EntryKind, SweepKind
from hsm.records.receipt import Receipt, get_receipt_name, parse_receipt
from hsm.records.record import SWEEP_FOLDER
from hsm.sweep_folder import LOOSE, OUTPUTS, RECEIPT_FOLDER

MOST_RECEIPT_BYTES = 64 * 1024 * 1024

_RECEIPT_NAME = re.compile(r"receipt-[0-9a-f]{16}\.json")


@dataclass(frozen=True, slots=True)
class Listed:
    """Content of the sound receipts of one sweep at a place.

    Attributes:
        runs: The names of the runs that they list.
        kinds: Of the sweep, by each of them.
        places: Of a Hydra sweep: its folder relative to the project, by each of them.
    """

    runs: frozenset[str] = frozenset()
    kinds: frozenset[SweepKind] = frozenset()
    places: frozenset[str] = field(default_factory=frozenset)


def is_receipt_name(name: str) -> bool:
    """Tell whether HSM gives this name to a receipt."""
    return _RECEIPT_NAME.fullmatch(name) is not None


def check_receipt(receipt: Receipt, name: str, sweep: str) -> None:
    """Refuse a receipt that HSM cannot have written.

    Args:
        receipt: As read.
        name: Of its file.
        sweep: In whose folder it lies.

    Raises:
        ValueError: It is one; the message says why.
    """
    source = receipt.source
    if not all(isinstance(text, str) for text in (source.id, source.host, source.path)):
        raise ValueError("no receipt: its source is not named in words")
    if get_receipt_name(source.id) != name:
        raise ValueError("its name is not that of its source")
    if receipt.sweep != sweep:
        raise ValueError(f"it speaks of another sweep, {receipt.sweep[:100]!r}")
    for run, record in receipt.runs.items():
        if run != SWEEP_FOLDER and ("/" in run or "\0" in run or not is_run_name(run)):
            raise ValueError(f"{run[:100]!r} is no name of a run")
        if min(record.n_files, record.n_bytes) < 0 or (record.is_whole and not record.is_complete):
            raise ValueError(f"what it says of {run!r} contradicts itself")


def read_listed(endpoint: Endpoint, receipts: Mapping[str, Iterable[Entry]], *, index: RunIndex) -> dict[str, Listed]:
    """Read what the receipts of sweeps say; those that `index` knows are not read again.

    Args:
        endpoint: Where they lie.
        receipts: Sweep id -> the receipts' entries, each with its absolute path.
        index: The cache of what files at this place say; takes what is read.

    Returns:
        By sweep; one without a sound receipt is not in it.
    """
    wanted = {entry.path: (sweep, entry) for sweep, entries in receipts.items() for entry in entries}
    found: dict[str, list[Listed]] = {}
    unread: list[str] = []
    for path, (sweep, entry) in wanted.items():
        known = _parse_known(index.get_receipt(path, size=entry.size, mtime_ns=entry.mtime_ns))
        if known is None:
            unread.append(path)
        else:
            found.setdefault(sweep, []).append(known)
    if unread:
        for ends in endpoint.read_ends(unread, n_blocks=0, head_bytes=MOST_RECEIPT_BYTES):
            sweep, entry = wanted[ends.path]
            listed = _parse(ends.head, ends.path.rpartition("/")[2], sweep)
            found.setdefault(sweep, []).append(listed)
            if ends.size == entry.size:
                index.put_receipt(ends.path, size=entry.size, mtime_ns=entry.mtime_ns, found=_make_known(listed))
    return {sweep: joined for sweep, parts in found.items() if (joined := _join(parts)) != Listed()}


def read_receipt(endpoint: Endpoint, folder: str, name: str, sweep: str) -> tuple[bytes, frozenset[str]]:
    """Read one receipt as a pull does: its content, and the runs that it lists.

    Args:
        endpoint: Where it lies.
        folder: Of the sweep's receipts, absolute.
        name: Of its file.
        sweep: The sweep's id.

    Returns:
        Nothing and none where it is not there, is no plain file, or is not sound.
    """
    (listing,) = endpoint.survey([Tree(folder, (name,), 0)]).listings
    if all(entry.kind is EntryKind.FILE for entry in listing.entries):
        for ends in endpoint.read_ends([f"{folder}/{name}"], n_blocks=0, head_bytes=MOST_RECEIPT_BYTES):
            runs = _parse(ends.head, name, sweep).runs
            return (ends.head, runs) if runs else (b"", runs)
    return b"", frozenset()


def find_receipts(folder: Listing | None) -> tuple[Entry, ...]:
    """Find the receipts in the listing of a sweep's folder, each with its absolute path."""
    return tuple(entry for _, entry in _iter_receipts(folder, depth=0)) if folder is not None else ()


def make_receipt_trees(layout: Layout, sweeps: Collection[str]) -> list[Tree]:
    """Make the requests for the receipts of sweeps, in both places where the folders of sweeps lie."""
    names = tuple(f"{sweep}/{RECEIPT_FOLDER}" for sweep in (*sweeps, LOOSE))
    return [Tree(f"{base}/{OUTPUTS}", names, 1) for base in dict.fromkeys((layout.sweeps, layout.project))]


def find_all_receipts(listings: Iterable[Listing]) -> dict[str, list[Entry]]:
    """Find the receipts in the answers to `make_receipt_trees`, by sweep, each with its absolute path."""
    found: dict[str, list[Entry]] = {}
    for listing in listings:
        for sweep, entry in _iter_receipts(listing, depth=1):
            found.setdefault(sweep, []).append(entry)
    return found


def is_receipt_folder(folder: Listing | None, sweep: str = "") -> bool:
    """Tell whether a sweep's folder holds HSM's own files and nothing else: it was made for them.

    Args:
        folder: Its listing; with a `sweep`, that of the folder of all sweeps.
        sweep: The sweep's id.
    """
    if folder is None or folder.kind is not EntryKind.FOLDER:
        return False
    start = f"{sweep}/" if sweep else ""
    tops = {
        entry.path.removeprefix(start).partition("/")[0]
        for entry in folder.entries
        if entry.path.startswith(start) and entry.path != sweep
    }
    return RECEIPT_FOLDER in tops and tops <= {"", RECEIPT_FOLDER}


def judge_kind(sweep: Sweep, folder: Listing | None, listed: Listed) -> SweepKind:
    """Judge what kind a sweep is whose folder holds HSM's own files alone: what its receipts say."""
    if sweep.kind is not SweepKind.FOLDER or not is_receipt_folder(folder):
        return sweep.kind
    kinds = listed.kinds - {SweepKind.FOLDER}
    return next(iter(kinds)) if len(kinds) == 1 else sweep.kind


def _iter_receipts(listing: Listing, *, depth: int) -> Iterator[tuple[str, Entry]]:
    """Yield the sweep and the receipt of each receipt that lies in `.hsm-sync` at a depth of a listing."""
    for entry in listing.entries:
        parts = entry.path.split("/")
        is_receipt = len(parts) == depth + 2 and parts[-2] == RECEIPT_FOLDER and is_receipt_name(parts[-1])
        if is_receipt and entry.kind is EntryKind.FILE:
            yield parts[0], entry._replace(path=f"{listing.base}/{entry.path}")


def _parse(content: bytes, name: str, sweep: str) -> Listed:
    """Read a receipt; one that is not sound says nothing."""
    try:
        receipt = parse_receipt(content)
        check_receipt(receipt, name, sweep)
    except ValueError:
        return Listed()
    runs = frozenset(run for run in receipt.runs if run != SWEEP_FOLDER)
    return Listed(runs, frozenset({receipt.kind}), frozenset({receipt.place} if receipt.place else ()))


def _make_known(listed: Listed) -> ReceiptFacts:
    return [sorted(listed.runs), sorted(kind.value for kind in listed.kinds), sorted(listed.places)]


def _parse_known(known: ReceiptFacts | None) -> Listed | None:
    """Read what the cache knows; it may be damaged."""
    try:
        runs, kinds, places = known or ()
        return Listed(frozenset(runs), frozenset(map(SweepKind, kinds)), frozenset(places))
    except ValueError:
        return None


def _join(parts: Sequence[Listed]) -> Listed:
    return Listed(
        frozenset().union(*(part.runs for part in parts)),
        frozenset().union(*(part.kinds for part in parts)),
        frozenset().union(*(part.places for part in parts)),
    )
