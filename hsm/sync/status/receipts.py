"""Receipts of sweeps that other machines sent here, compared with the files.

A receipt is a file like any other: anybody who can write the results can write it. So it is read as hostile input, and
its claims count only if the files that it speaks of lie here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from hsm.discover.files.sweep_files import is_in_wandb
from hsm.discover.kinds.hydra import check_places, make_hydra_sweep
from hsm.discover.kinds.receipts import MOST_RECEIPT_BYTES, check_receipt, is_receipt_name
from hsm.discover.results import is_own
from hsm.discover.sweeps import Layout, Sweep
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.errors import HsmError
from hsm.model import EntryKind, Problem, Root, SourceFile, SweepKind
from hsm.records.receipt import Receipt, parse_receipt
from hsm.records.record import SWEEP_FOLDER, RunRecord
from hsm.sweep_folder import RECEIPT_FOLDER, receipt_folder
from hsm.sync.bring.landing import find_run_places
from hsm.sync.status.report import ReceivedStatus
from hsm.sync.status.standing import is_proven, judge_record, sum_left


def read_received(endpoint: Endpoint, layout: Layout, sweep: Sweep) -> tuple[ReceivedStatus, ...]:
    """Read the receipts of a sweep that lie here, and compare them with the files. Changes nothing.

    Args:
        endpoint: This machine.
        layout: Folders of the project's sweeps and runs.
        sweep: From `hsm.discover.sweeps`.
    """
    folders = _list_receipt_folders(layout, sweep)
    paths = [path for folder in folders for path in _list_folder(folder) if is_receipt_name(path.name)]
    found: dict[Path, Receipt | str] = {path: _read(path, sweep.id) for path in paths}
    receipts = [receipt for receipt in found.values() if isinstance(receipt, Receipt)]
    sweep = _settle_sweep(layout, sweep, receipts)
    files = _read_files(endpoint, layout, sweep, receipts) if receipts else {}
    return tuple(
        _make_status(path, receipt, files) if isinstance(receipt, Receipt) else _make_damaged(path, receipt)
        for path, receipt in found.items()
    )


def _settle_sweep(layout: Layout, sweep: Sweep, receipts: Collection[Receipt]) -> Sweep:
    """Settle where a sweep lies whose folder holds its receipts alone: a Hydra sweep that no search has found yet."""
    if sweep.kind is SweepKind.FOLDER and receipts and all(each.kind is SweepKind.HYDRA for each in receipts):
        with suppress(HsmError):  # a place that it cannot have: then nothing of it is there
            return make_hydra_sweep(layout, check_places({each.place for each in receipts}, sweep.id))
    return sweep


def has_receipts(layout: Layout, sweep: Sweep) -> bool:
    """Tell whether there may be a receipt of a sweep here."""
    return any(os.path.isdir(folder) for folder in _list_receipt_folders(layout, sweep))  # noqa: PTH112 - never raises


def _list_receipt_folders(layout: Layout, sweep: Sweep) -> list[Path]:
    """List the folders that may hold receipts: that of the sweep, or of one that has none a folder of its id."""
    if sweep.kind is SweepKind.FOLDER:
        return [Path(sweep.path) / RECEIPT_FOLDER] if sweep.path else []
    return [Path(base) / receipt_folder(sweep.id) for base in dict.fromkeys((layout.sweeps, layout.project))]


def _list_folder(folder: Path) -> list[Path]:
    try:
        return [] if folder.is_symlink() else sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path, sweep: str) -> Receipt | str:
    """Read a receipt; text says why it cannot be used."""
    try:
        content = _read_content(path)
        receipt = parse_receipt(content)
        check_receipt(receipt, path.name, sweep)
    except OSError as error:
        return error.strerror or "it cannot be read"
    except ValueError as error:
        return str(error)
    return receipt


def _read_content(path: Path) -> bytes:
    # O_NONBLOCK: the open of a pipe that somebody put there would wait for its writer for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_RECEIPT_BYTES:
            raise ValueError("no regular file, or too large for a receipt")
        return stream.read(MOST_RECEIPT_BYTES)  # it may grow meanwhile


def _read_files(
    endpoint: Endpoint, layout: Layout, sweep: Sweep, receipts: Iterable[Receipt]
) -> Mapping[str, list[SourceFile]]:
    """List what lies here, by run; the sweep's folder under its empty name."""
    names = tuple(dict.fromkeys(run for receipt in receipts for run in receipt.runs if run != SWEEP_FOLDER))
    trees = [*([Tree(sweep.path)] if sweep.path else []), *([Tree(layout.wandb, names)] if names else [])]
    found = list(endpoint.survey(trees).listings) if trees else []
    folder, wandb = (found[:1], found[1:]) if sweep.path else ([], found)
    own = sweep.folder
    files: dict[str, list[SourceFile]] = {SWEEP_FOLDER: []}
    for listing in folder:
        files |= _make_files(listing, Root.SWEEPS, lambda path: (SWEEP_FOLDER, f"{own}/{path}"))
    # A pull lands in the folder in which a run lies here already.
    missing = {run for run in names if not any(entry.path == run for listing in wandb for entry in listing.entries)}
    if missing:
        places = find_run_places(layout, sweep, missing).folders
        trees = [Tree(base, tuple(run for run in places if places[run] == base)) for base in set(places.values())]
        wandb = [*wandb, *(endpoint.survey(trees).listings if trees else ())]
    for listing in wandb:
        files |= _make_files(listing, Root.WANDB, lambda path: (path.partition("/")[0], path))
    return files


def _make_files(listing: Listing, root: Root, place: Callable[[str], tuple[str, str]]) -> dict[str, list[SourceFile]]:
    files: dict[str, list[SourceFile]] = {SWEEP_FOLDER: []} if root is Root.SWEEPS else {}
    for entry in listing.entries:
        parts = entry.path.split("/")
        # A run in the sweep's folder is a run.
        is_other = is_in_wandb(parts, entry) if root is Root.SWEEPS else is_own(parts)
        if entry.kind is EntryKind.FILE and not is_other:
            run, path = place(entry.path)
            files.setdefault(run, []).append(SourceFile(root, path, "", entry.size, entry.mtime_ns, 0, run))
    return files


def _make_status(path: Path, receipt: Receipt, files: Mapping[str, list[SourceFile]]) -> ReceivedStatus:
    records = {name: record for name, record in receipt.runs.items() if name or record != RunRecord()}
    standings = {name: judge_record(record) for name, record in records.items()}
    exact = {name for name, record in records.items() if is_proven(record, files.get(name, ()))}
    missing = [name for name, record in records.items() if name not in exact and _lacks(record, files.get(name, ()))]
    return ReceivedStatus(
        receipt=str(path),
        source=receipt.source,
        written_at=receipt.written_at,
        runs={name: standing for name, standing in standings.items() if name != SWEEP_FOLDER},
        sweep_folder=standings.get(SWEEP_FOLDER),
        whole=frozenset(name for name, record in records.items() if record.is_whole),
        missing=tuple(sorted(missing)),
        exact=frozenset(exact),
        n_files=sum(record.n_files for record in records.values()),
        n_bytes=sum(record.n_bytes for record in records.values()),
        left=sum_left(records.values()),
        scope=receipt.left,
    )


def _lacks(record: RunRecord, files: Iterable[SourceFile]) -> bool:
    """Tell whether there are fewer files or bytes than were verified."""
    sizes = [file.size for file in files]
    return len(sizes) < record.n_files or sum(sizes) < record.n_bytes


def _make_damaged(path: Path, reason: str) -> ReceivedStatus:
    message = f"The receipt is not used: {reason}."
    hint = "The next sync from its source writes it anew."
    return ReceivedStatus(str(path), problems=(Problem(str(path), "damaged_receipt", message, hint),))
