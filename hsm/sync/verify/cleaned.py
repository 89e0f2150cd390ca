"""Comparison of what a clean removed here with what lies at a target, by the checksums of the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hsm.endpoint import Endpoint, Tree
from hsm.model import EntryKind, FileKey, Root, SweepInventory
from hsm.records.cleaned import CleanedUnit, iter_cleaned_files
from hsm.sweep_folder import sweep_folder
from hsm.targets.contents.contract import Contents


@dataclass(frozen=True, slots=True)
class CleanedVerdict:
    """Comparison of removed runs with a target; paths as a destination has them.

    Attributes:
        n_equal: Files whose content there has the recorded checksum.
        different: Files with another content or type there.
        missing: Files that are not there.
        paths: All files that were compared.
        units: The runs that they are of; the sweep's folder under its empty name.
    """

    n_equal: int = 0
    different: frozenset[FileKey] = frozenset()
    missing: frozenset[FileKey] = frozenset()
    paths: frozenset[FileKey] = frozenset()
    units: frozenset[str] = frozenset()


def verify_cleaned(
    endpoint: Endpoint,
    contents: Contents,
    roots: Mapping[Root, str],
    inventory: SweepInventory,
    units: Mapping[str, CleanedUnit],
    jobs: Sequence[CleanedUnit] = (),
) -> CleanedVerdict:
    """Read every file at a target that was removed here, and compare.

    Args:
        endpoint: The target.
        contents: Reads there.
        roots: Its folders that are synced; what was removed of others is not compared.
        inventory: What is here of the sweep.
        units: Runs, and the sweep's folder, that were removed and are not here, by name.
        jobs: The folders of Hydra's jobs likewise.

    Raises:
        HsmError: The target is out of reach.
    """
    units = {name: unit for name, unit in units.items() if _get_root(name) in roots}
    jobs = jobs if Root.SWEEPS in roots else ()
    gone = (*units.values(), *jobs)
    expected = {key: file for unit in gone for key, file in iter_cleaned_files(inventory.sweep, unit, inventory.place)}
    there: dict[FileKey, str] = {}
    different: set[FileKey] = set()
    missing: set[FileKey] = set()
    folder = sweep_folder(inventory.sweep, inventory.place)
    own = (folder,) if "" in units else tuple(f"{folder}/{unit.job}" for unit in jobs)
    entries = _look(endpoint, roots, own, tuple(filter(None, units)))
    sizes: dict[str, int] = {}
    for key, file in expected.items():
        kind, size, path = entries.get(key, (None, 0, ""))
        if kind is None:
            missing.add(key)
        elif kind is not EntryKind.FILE or size != file.size:  # no need to read it
            different.add(key)
        else:
            there[key] = path
            sizes[path] = size
    checksums = contents.read_checksums(sizes) if sizes else {}
    different |= {key for key, path in there.items() if checksums.get(path) != expected[key].sha256}
    n_equal = len(expected) - len(different) - len(missing)
    return CleanedVerdict(n_equal, frozenset(different), frozenset(missing), frozenset(expected), frozenset(units))


def _get_root(name: str) -> Root:
    """The folder that a unit lands in: the sweep's own has the empty name."""
    return Root.WANDB if name else Root.SWEEPS


def _look(
    endpoint: Endpoint, roots: Mapping[Root, str], folders: tuple[str, ...], runs: tuple[str, ...]
) -> dict[FileKey, tuple[EntryKind, int, str]]:
    """Look at what lies there: type, size, and absolute path of each."""
    names = {Root.SWEEPS: folders, Root.WANDB: runs}
    trees = {root: Tree(path, names[root]) for root, path in roots.items()}
    listings = endpoint.survey(list(trees.values())).listings
    return {
        (root, entry.path): (entry.kind, entry.size, f"{listing.base.rstrip('/')}/{entry.path}")
        for root, listing in zip(trees, listings, strict=True)
        for entry in listing.entries
    }
