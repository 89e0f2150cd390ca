"""Lookup of a project's sweeps and runs by whole names: what the steps by which words are understood rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hsm.discover.sweeps import Layout, Sweep, pick_sweep
from hsm.discover.words.catalogue import Catalogue, KnownRun
from hsm.discover.words.owners import find_sweep_of
from hsm.discover.words.unknown import make_ambiguous_error
from hsm.model import SweepKind
from hsm.sweep_folder import make_sweep_id

LOOSE_WORD = "loose"
RUN_PREFIX = "run:"
ALL_SWEEPS = "--all"
"""The word that means every sweep; none has this name."""

_KIND_WORDS = {SweepKind.FOLDER: "folder", SweepKind.HYDRA: "Hydra", SweepKind.LOOSE: "in no sweep"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """A sweep that a word means.

    Attributes:
        sweep: The sweep.
        runs: The names of those of its runs that alone are meant; empty for all.
        said: How the word was understood, in a line; empty for a whole name, `latest` and a beginning of a folder.
    """

    sweep: Sweep
    runs: frozenset[str] = frozenset()
    said: str = ""


class Lookup:
    """Names of one project.

    Args:
        folders: Its folder sweeps, oldest first.
        layout: Its places.
        read: Reads the catalogue of all runs, called when the folders alone do not say; with True, also of those deep
            in the folders of sweeps.
        working_folder: From which paths count; empty where the project lies at a target.
    """

    def __init__(
        self, folders: Sequence[Sweep], layout: Layout, read: Callable[[bool], Catalogue], *, working_folder: str = ""
    ) -> None:
        self.folders = tuple(folders)
        self.layout = layout
        self.working_folder = working_folder
        self._read = read

    @cached_property
    def catalogue(self) -> Catalogue:
        """All runs, and the sweeps that are no folders."""
        return self._read(False)

    def list_all(self) -> tuple[Meaning, ...]:
        """List every sweep, oldest first, the loose runs last."""
        ids = dict.fromkeys(sweep.id for sweep in self.folders)
        return tuple(Meaning(pick_sweep(self.folders, name)) for name in ids) + tuple(
            self.make_meaning(sweep) for sweep in self.catalogue.sweeps
        )

    def find_run(self, word: str) -> Meaning | None:
        """Find the run of a whole id, or whose folder has this name; None for none."""
        for catalogue in self._iter_catalogues():
            runs = [run for run in catalogue.runs if word in (run.candidate.name, run.candidate.run_id)]
            if runs:
                return self._make_run_meaning(word, runs, catalogue)
        return None

    def make_meaning(self, sweep: Sweep) -> Meaning:
        """Make the meaning of a whole sweep of the catalogue."""
        count = self.catalogue.counts.get(sweep.id, 0)
        what = _KIND_WORDS.get(sweep.kind) or ("W&B group" if sweep.name in self.catalogue.group_names else "W&B sweep")
        name = LOOSE_WORD if sweep.kind is SweepKind.LOOSE else sweep.id
        return Meaning(sweep, said=f"{name} ({what}, {_count_runs(count)})")

    def find_named(self, name: str) -> Sweep | None:
        """Find the sweep of a name that logs give, which may have a folder."""
        if sweep := self.catalogue.by_name.get(name):
            return sweep
        found = make_sweep_id(name)
        return pick_sweep(self.folders, found) if any(sweep.id == found for sweep in self.folders) else None

    def find_sweep_of(self, run: KnownRun, catalogue: Catalogue | None = None) -> Sweep:
        """Find the sweep that a single run is brought as a part of."""
        return find_sweep_of(run, catalogue or self.catalogue, self.folders)

    def _make_run_meaning(self, word: str, runs: Sequence[KnownRun], catalogue: Catalogue) -> Meaning:
        owners = {sweep.id: sweep for sweep in (self.find_sweep_of(run, catalogue) for run in runs)}
        if len(owners) > 1:
            names = sorted({run.candidate.name for run in runs})
            raise make_ambiguous_error(word, [f"{RUN_PREFIX}{name}" for name in names])
        (sweep,) = owners.values()
        names = sorted({run.candidate.name for run in runs})
        own = LOOSE_WORD if sweep.kind is SweepKind.LOOSE else sweep.id
        said = f"{word} (run of {own})" if names == [word] else f"{word} is run {' and '.join(names)} of {own}"
        return Meaning(sweep, frozenset(names), said)

    def _iter_catalogues(self) -> Iterator[Catalogue]:
        yield self.catalogue
        yield self._read(True)


def _count_runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"
