"""Lookup of a project's sweeps and runs by whole names: what the steps by which words are understood rest on."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hsm.discover.kinds.hydra import check_places, make_hydra_sweep, make_two_kinds_error
from hsm.discover.sweeps import Layout, Sweep, pick_sweep
from hsm.discover.words.spelling import LOOSE_WORD
from hsm.errors import UnknownSweepError
from hsm.model import SweepKind
from hsm.sweep_folder import iter_sweep_ids, make_hydra_id, make_sweep_id

if TYPE_CHECKING:
    from hsm.discover.words.catalogue import Catalogue, KnownRun

RUN_PREFIX = "run:"
ALL_SWEEPS = "--all"
"""The word that means every sweep; none has this name."""

_GROUP, _NATIVE = "W&B group", "W&B sweep"
_KIND_WORDS = {SweepKind.FOLDER: "folder", SweepKind.HYDRA: "Hydra", SweepKind.LOOSE: "in no sweep"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """A sweep that a word means.

    Attributes:
        sweep: The sweep.
        runs: The names of those of its runs that alone are meant; empty for all.
        said: How the word was understood, in a line; empty for a whole name, `latest` and a beginning of a folder.
        folders: The absolute paths of those of their folders that are meant; empty for whatever folder they lie in.
    """

    sweep: Sweep
    runs: frozenset[str] = frozenset()
    said: str = ""
    folders: frozenset[str] = frozenset()


class Lookup:
    """Names of one project.

    Args:
        folders: Its folder sweeps, oldest first.
        layout: Its places.
        read: Reads the catalogue of all runs, called when the folders alone do not say; with True, also of those deep
            in the folders of sweeps.
        find_receipt_folders: Tells which of some folder sweeps are none: their folders hold receipts alone, of a sweep
            of another kind.
        working_folder: From which paths count; empty where the project lies at a target.
    """

    def __init__(
        self,
        folders: Sequence[Sweep],
        layout: Layout,
        read: Callable[[bool], Catalogue],
        *,
        find_receipt_folders: Callable[[Sequence[Sweep]], frozenset[str]] = lambda _: frozenset(),
        working_folder: str = "",
    ) -> None:
        self.folders = tuple(folders)
        self.layout = layout
        self.working_folder = working_folder
        self._read = read
        self._find_receipt_folders = find_receipt_folders
        self._are_receipt_folders: dict[str, bool] = {}

    @cached_property
    def catalogue(self) -> Catalogue:
        """All runs, and the sweeps that are no folders."""
        return self._read(False)

    def leave_receipt_folders(self, ids: Sequence[str]) -> list[str]:
        """Leave out the folder sweeps whose folders were made for the receipts of a sweep of another kind."""
        unknown = [sweep for sweep in self.folders if sweep.id in ids and sweep.id not in self._are_receipt_folders]
        if unknown:
            found = self._find_receipt_folders(unknown)
            self._are_receipt_folders.update({sweep.id: sweep.id in found for sweep in unknown})
        return [name for name in ids if not self._are_receipt_folders[name]]

    def list_receipt_folders(self) -> list[Sweep]:
        """List the sweeps of other kinds that have folders for their receipts, oldest first."""
        real = set(self.leave_receipt_folders([sweep.id for sweep in self.folders]))
        return [sweep for sweep in self.folders if sweep.id not in real]

    def list_all(self, pattern: str = "*") -> tuple[Meaning, ...]:
        """List every sweep whose id matches a pattern, oldest first, the loose runs last."""
        ids = dict.fromkeys(sweep.id for sweep in self.folders if fnmatch.fnmatchcase(sweep.id, pattern))
        others = [sweep for sweep in self.catalogue.sweeps if fnmatch.fnmatchcase(sweep.id, pattern)]
        return tuple(self.make_folder_meaning(name) for name in ids) + tuple(map(self.make_meaning, others))

    def find_run(self, word: str) -> Meaning | None:
        """Find the run of a whole id, or whose folder has this name; None for none."""
        for catalogue in self.iter_catalogues():
            runs = [run for run in catalogue.runs if word in (run.candidate.name, run.candidate.run_id)]
            if runs:
                return self._make_run_meaning(word, runs, catalogue)
        return None

    def find_run_folder(self, word: str, is_meant: Callable[[KnownRun], bool]) -> Meaning | None:
        """Find the run of one folder, whatever other folders hold a run of its name; None for none.

        Args:
            word: As typed.
            is_meant: Tells whether a run lies in this folder.
        """
        for catalogue in self.iter_catalogues():
            runs = [run for run in catalogue.runs if is_meant(run)]
            if runs:
                name = runs[0].candidate.name
                is_single = sum(run.candidate.name == name for run in catalogue.runs) == len(runs)
                found = self._make_run_meaning(name if is_single else word.rstrip("/"), runs, catalogue)
                return replace(found, folders=frozenset(run.candidate.path for run in runs))
        return None

    def make_meaning(self, sweep: Sweep) -> Meaning:
        """Make the meaning of a whole sweep of the catalogue."""
        self.check_id(sweep)
        if sweep.kind is SweepKind.HYDRA:
            return Meaning(sweep, said=f"{sweep.id} (Hydra, {_count_jobs(self.catalogue.jobs.get(sweep.id, 0))})")
        count = self.catalogue.counts.get(sweep.id, 0)
        what = self._say_kind(sweep)
        name = LOOSE_WORD if sweep.kind is SweepKind.LOOSE else sweep.id
        return Meaning(sweep, said=f"{name} ({what}, {make_run_count(count)})")

    def _say_kind(self, sweep: Sweep) -> str:
        listed = self.catalogue.listed.get(sweep.id)
        if sweep.kind is SweepKind.FOLDER and listed is not None and listed.kinds == {SweepKind.WANDB}:
            # Its folder was made for its receipts.
            groups = {found for name in self.catalogue.group_names for found in iter_sweep_ids(name)}
            return _GROUP if sweep.id in groups else _NATIVE
        return _KIND_WORDS.get(sweep.kind) or (_GROUP if sweep.name in self.catalogue.group_names else _NATIVE)

    def check_id(self, sweep: Sweep) -> None:
        """Refuse a sweep whose id another one has, in which a folder of Hydra's is one of the two.

        A folder and a name of logs are one sweep.

        Raises:
            UsageError: So it is.
        """
        places = [place for place in self.layout.hydra if make_hydra_id(place) == sweep.id]
        if not places:
            return
        check_places(places, sweep.id)
        others = [f"the folder {other.path or other.id}" for other in self.folders if other.id == sweep.id]
        if sweep.kind is not SweepKind.FOLDER:
            names = [other.name for other in self.catalogue.by_name.values() if other.id == sweep.id]
            others += [f"the group or W&B sweep {name!r}" for name in names]
        if others:
            raise make_two_kinds_error(sweep.id, [f"Hydra's {places[0]}", *others])

    def find_hydra(self, place: str) -> Meaning | None:
        """Find the Hydra sweep of a folder, or of one of its jobs.

        Args:
            place: Relative to the project.
        """
        parts = place.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        found = next((name for name in above if name in self.layout.hydra), None)
        if found is None:
            return None
        meaning = self.make_meaning(make_hydra_sweep(self.layout, found))
        return meaning if found == place else replace(meaning, said=f"{place} is a job of {meaning.said}")

    def make_folder_meaning(self, word: str) -> Meaning:
        """Make the meaning of the whole id of a folder sweep."""
        sweep = pick_sweep(self.folders, word)
        self.check_id(sweep)
        return Meaning(sweep)

    def find_named(self, name: str) -> Sweep | None:
        """Find the sweep of a name that logs give, which may have a folder."""
        if sweep := self.catalogue.by_name.get(name):
            return sweep
        known = {sweep.id for sweep in self.folders}
        found = next((each for each in (name, make_sweep_id(name)) if each in known), None)
        return pick_sweep(self.folders, found) if found is not None else None

    def find_sweep_of(self, run: KnownRun, catalogue: Catalogue | None = None) -> Sweep:
        """Find the sweep that a single run is brought as a part of."""
        from hsm.discover.words.owners import find_sweep_of  # noqa: PLC0415 - few words are of runs

        return find_sweep_of(run, catalogue or self.catalogue, self.folders)

    def _make_run_meaning(self, word: str, runs: Sequence[KnownRun], catalogue: Catalogue) -> Meaning:
        owners = {sweep.id: sweep for sweep in (self.find_sweep_of(run, catalogue) for run in runs)}
        if len(owners) > 1:
            from hsm.discover.words.unknown import make_ambiguous_error  # noqa: PLC0415 - for mistakes alone

            raise make_ambiguous_error(word, self._spell_runs(runs))
        (sweep,) = owners.values()
        names = sorted({run.candidate.name for run in runs})
        own = LOOSE_WORD if sweep.kind is SweepKind.LOOSE else sweep.id
        said = f"{word} (run of {own})" if names == [word] else f"{word} is run {' and '.join(names)} of {own}"
        return Meaning(sweep, frozenset(names), said)

    def make_unknown_error(self, word: str) -> UnknownSweepError:
        """Make the error of a word that means nothing."""
        from hsm.discover.words.unknown import make_unknown_error  # noqa: PLC0415 - for mistakes alone

        return make_unknown_error(word, self.folders, self.catalogue, self.layout, working_folder=self.working_folder)

    def _spell_runs(self, runs: Sequence[KnownRun]) -> list[str]:
        """Spell each run so that it alone is meant: by its folder's name, by a path where several have this name."""
        count = Counter(run.candidate.name for run in runs)
        project = f"{self.layout.project.rstrip('/')}/"
        return sorted(
            f"{RUN_PREFIX}{run.candidate.name}"
            if count[run.candidate.name] == 1
            else run.candidate.path.removeprefix("" if self.working_folder else project)
            for run in runs
        )

    def iter_catalogues(self) -> Iterator[Catalogue]:
        """Yield the catalogue, then one with the runs deep in the folders of sweeps."""
        yield self.catalogue
        yield self._read(True)


def _count_jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def make_run_count(count: int) -> str:
    """Say a number of runs in words."""
    return "1 run" if count == 1 else f"{count:,} runs"
