"""`hsm sync status`: the state of sweeps by the journals and receipts on this machine.

It uses no network unless asked to: it must be usable in a loop, on a train, and on a login node that bans.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hsm.config.loaded import LoadedConfig, resolve_for_sweep
from hsm.config.settings import SyncOptions, TargetSettings
from hsm.discover.index import save_index
from hsm.discover.kinds.hydra import make_hydra_sweep
from hsm.discover.sweeps import Sweep, pick_sweep
from hsm.discover.words.lookup import Meaning
from hsm.errors import ConfigError, UsageError
from hsm.model import Problem, Root, SweepInventory, SweepKind
from hsm.project_folder import ProjectFolder, make_journal_name
from hsm.records.cleaned import CleanedUnit
from hsm.records.cleaned_runs import CleanedRuns
from hsm.records.journal import NEW_ROUTE, Journal, load_journal, make_route
from hsm.records.record import SWEEP_FOLDER
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import LOOSE
from hsm.sync.cleaned_jobs import find_cleaned_jobs
from hsm.sync.meanings import find_meanings_of, find_meant, make_gone_sweep
from hsm.sync.places import ProjectPlaces, find_places, find_received_places
from hsm.sync.status.receipts import has_receipts, read_received
from hsm.sync.status.report import Asked, CleanedStatus, Question, StatusReport, SweepStatus, TargetStatus
from hsm.sync.status.shared_listing import KeptIndex, SharedListing
from hsm.sync.status.standing import make_tally
from hsm.sync.status.sweep_source import SweepSource

CompareSweeps = Callable[[Sequence[Question]], Mapping[Question, Asked]]
"""Asks targets about sweeps; what was not answered is absent."""


def read_sweep_status(
    loaded: LoadedConfig, words: Sequence[str], targets: Sequence[str] = (), *, ask: CompareSweeps | None = None
) -> StatusReport:
    """Read the state of sweeps. Reads this machine alone, and changes nothing but the cache of run logs.

    Args:
        loaded: The configuration.
        words: Sweeps as typed; none means all that are here or were synced.
        targets: Names; none means the default ones, and those that were synced with. Of a sweep that was received and
            never synced with a target, only the receipts are read.
        ask: Asks the targets too.

    Raises:
        UsageError: A sweep or a target does not exist.
        ConfigError: What the file says of a sweep is not right with the rest.
    """
    endpoint = LocalEndpoint()
    places, meanings = find_meant(loaded, endpoint, words) if words else (find_places(loaded, endpoint), ())
    reader = _Reader(loaded, targets, places)
    sweeps = dict.fromkeys(meaning.sweep for meaning in meanings) if words else reader.list_known()
    found = [reader.read_sweep(sweep) for sweep in sweeps]
    reader.save_cache()
    return StatusReport(_ask(found, ask) if ask is not None else tuple(found), _list_said(meanings))


def read_received_status(project: Path, words: Sequence[str]) -> StatusReport:
    """Read the state of sweeps in a project that has no configuration, by the receipts alone.

    Args:
        project: The folder that holds `sweeps/` and `wandb/`.
        words: Sweeps as typed; none means all that have a receipt.

    Raises:
        UsageError: A sweep does not exist.
    """
    places = find_received_places(project, LocalEndpoint())
    lookup = places.make_lookup(working_folder=os.getcwd())  # noqa: PTH109 - as the bytes are
    meanings = find_meanings_of(lookup, words)
    sweeps = dict.fromkeys(meaning.sweep for meaning in meanings) if words else _list_sweeps(places)
    found = [SweepStatus(sweep.id, received=read_received(places.endpoint, places.layout, sweep)) for sweep in sweeps]
    return StatusReport(tuple(status for status in found if words or status.received), _list_said(meanings))


def _list_said(meanings: Sequence[Meaning]) -> tuple[str, ...]:
    return tuple(meaning.said for meaning in meanings if meaning.said)


def _list_sweeps(places: ProjectPlaces) -> list[Sweep]:
    """List the folder sweeps, and those of other kinds of which there is a receipt here."""
    layout = places.layout
    others = [*(make_hydra_sweep(layout, place) for place in layout.hydra), make_gone_sweep(LOOSE)]
    return [*places.sweeps, *(sweep for sweep in others if has_receipts(layout, sweep))]


class _Reader:
    def __init__(self, loaded: LoadedConfig, targets: Sequence[str], places: ProjectPlaces) -> None:
        self._loaded = loaded
        self._names = tuple(dict.fromkeys(targets))
        self._index = KeptIndex.load(self._cache_path)
        self._cleaned = CleanedRuns(loaded.project, skips_denied=True)
        self._places = places
        self._layout = places.layout
        self._ids = frozenset(sweep.id for sweep in places.sweeps)
        self._endpoint = SharedListing(self._layout, self._index, self._ids)
        self._journals = {name: self._list_journals(name) for name in loaded.config.sync_targets}

    def list_known(self) -> tuple[Sweep, ...]:
        """List the sweeps that are here or were synced, each once; one that is in two places only by its name.

        Of kinds that are no folders these are the ones that were synced.
        """
        by_id = {sweep.id: sweep for sweep in _list_sweeps(self._places)}
        files = set(map(make_journal_name, by_id))
        synced = sorted({name for names in self._journals.values() for name in names} - files)
        hydra = {sweep.id: sweep for sweep in (make_hydra_sweep(self._layout, each) for each in self._layout.hydra)}
        ids = [name.removesuffix(".json") for name in synced]
        return (*by_id.values(), *(hydra.get(name) or make_gone_sweep(name) for name in ids))

    def read_sweep(self, sweep: Sweep) -> SweepStatus:
        """Read the state of one sweep."""
        try:
            is_folder = sweep.kind is SweepKind.FOLDER and sweep.id in self._ids
            sweep = pick_sweep(self._places.sweeps, sweep.id) if is_folder else sweep
        except UsageError as error:
            return SweepStatus(sweep.id, problems=(Problem("", error.kind, f"{error.message}.", error.hint),))
        received = () if self._names else read_received(self._endpoint, self._layout, sweep)
        names = self._choose_targets(sweep.id, is_received=bool(received))
        targets = self._loaded.config.sync_targets
        settings = {name: resolve_for_sweep(self._loaded, name, sweep.id, targets[name]) for name in names}
        source = SweepSource(
            self._endpoint, self._layout, sweep, self._loaded.project, settings, self._index, self._ids
        )
        rows = tuple(self._read_target(name, found, source) for name, found in settings.items())
        try:
            cleaned = self._read_cleaned(source, rows)
        except ConfigError as error:
            problem = Problem("", error.kind, error.message, error.hint)
            return SweepStatus(sweep.id, rows, received, problems=(problem,))
        return SweepStatus(sweep.id, rows, received, cleaned=cleaned)

    def save_cache(self) -> None:
        """Save what was read of run logs; a folder that cannot be written costs time alone."""
        self._places.remember()
        save_index(self._index, self._cache_path)

    @property
    def _cache_path(self) -> Path:
        return ProjectFolder(self._loaded.project).runs_cache()

    def _list_journals(self, target: str) -> frozenset[str]:
        folder = ProjectFolder(self._loaded.project).target(target)
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names that are no UTF-8
        except OSError:
            return frozenset()
        return frozenset(name for name in names if name.endswith(".json") and not name.startswith("."))

    def _choose_targets(self, sweep: str, *, is_received: bool) -> tuple[str, ...]:
        if self._names:
            return self._names
        file = make_journal_name(sweep)
        synced = [name for name, files in self._journals.items() if file in files]
        config = self._loaded.config
        # Of a sweep that came from elsewhere, targets that it never went to have nothing to tell.
        default = () if is_received and not synced else config.default_target or tuple(config.sync_targets)
        return tuple(name for name in config.sync_targets if name in {*default, *synced})

    def _read_target(self, name: str, settings: TargetSettings, source: SweepSource) -> TargetStatus:
        try:
            journal, notices = self._load_journal(name, source.sweep.id, settings)
        except ConfigError as error:
            problem = Problem("", error.kind, error.message, error.hint)
            return TargetStatus(name, "push", make_tally({}, None, settings.options, roots=()), problems=(problem,))
        is_pull = journal.route.direction == "pull"
        options, roots = settings.options, _list_roots(settings.options)
        # Runs that are verified there and gone here are not missed.
        knows_runs = any(run and record.n_files for run, record in journal.runs.items())
        inventory = None if is_pull else source.read(options, roots, knows_runs=knows_runs)
        return TargetStatus(
            name=name,
            direction=journal.route.direction,
            tally=make_tally(
                journal.runs, inventory, options, roots=roots, scope=journal.left, gone=self._find_gone(inventory)
            ),
            updated_ns=journal.updated_ns,
            last_error=journal.last_error,
            problems=(*notices, *(inventory.problems if inventory is not None else ())),
        )

    def _find_gone(self, inventory: SweepInventory | None) -> tuple[CleanedUnit, ...]:
        """Find the jobs of a sweep that a clean removed, so that its folder here is not what was verified."""
        if inventory is None or not inventory.has_jobs:
            return ()
        with suppress(ConfigError):  # said with what was removed
            return find_cleaned_jobs(self._loaded.project, inventory.sweep, skips_denied=True)
        return ()

    def _read_cleaned(self, source: SweepSource, rows: Sequence[TargetStatus]) -> CleanedStatus | None:
        """Read what was removed of a sweep and has not come back; None where there is nothing.

        Raises:
            ConfigError: A record cannot be read.
        """
        # What was removed from a sweep's folder may have come back into the folder of runs.
        here = {run.name for inventory in source.inventories.values() for run in inventory.runs}
        missing = {run for row in rows for run in row.tally.runs if not self._is_here(run, here)}
        units = self._cleaned.find(source.sweep.id, missing)
        gone = {name: unit for name, unit in units.items() if not name or not self._is_here(name, here)}
        jobs = find_cleaned_jobs(self._loaded.project, source.sweep.id, skips_denied=True)
        return _sum_up(gone, jobs) if gone or jobs else None

    def _is_here(self, run: str, here: Collection[str]) -> bool:
        return run in here or os.path.lexists(f"{self._layout.wandb}/{run}")

    def _load_journal(self, name: str, sweep: str, settings: TargetSettings) -> tuple[Journal, tuple[Problem, ...]]:
        """Load the journal of a push, or else that of a pull: a target has one of the two."""
        path = ProjectFolder(self._loaded.project).journal(name, sweep)
        route = make_route(settings, direction="push")
        journal, notices = load_journal(path, route, sets_aside=False)
        # A journal of the other direction says as little of this one as one of another address.
        if any(notice.kind == NEW_ROUTE for notice in notices):
            pulled, others = load_journal(path, replace(route, direction="pull"), sets_aside=False)
            if not others:
                return pulled, ()
        return journal, notices


def _sum_up(runs: Mapping[str, CleanedUnit], jobs: Sequence[CleanedUnit]) -> CleanedStatus:
    """Sum up what `hsm sync clean` removed of a sweep and what has not come back."""
    units = (*runs.values(), *jobs)
    return CleanedStatus(
        runs=tuple(sorted(name for name in runs if name)),
        sweep_folder=SWEEP_FOLDER in runs,
        n_files=sum(len(unit.files) for unit in units),
        n_bytes=sum(unit.n_bytes for unit in units),
        copies=dict(sorted(Counter(target for unit in units for target in unit.copies).items())),
        left=tuple(unit.aside_path for unit in units if os.path.lexists(unit.aside_path)),
        jobs=tuple(sorted(unit.job for unit in jobs)),
    )


def _list_roots(options: SyncOptions) -> tuple[Root, ...]:
    wanted = {Root.SWEEPS: options.sync_sweep_metadata, Root.WANDB: options.sync_wandb_runs}
    return tuple(root for root in Root if wanted[root])


def _ask(found: Sequence[SweepStatus], ask: CompareSweeps) -> tuple[SweepStatus, ...]:
    """Add the answers of the targets."""
    questions = [Question(sweep.sweep, row.name, row.direction) for sweep in found for row in sweep.targets]
    answers = ask(questions) if questions else {}
    return tuple(
        replace(
            sweep,
            targets=tuple(
                replace(row, asked=answers.get(Question(sweep.sweep, row.name, row.direction))) for row in sweep.targets
            ),
        )
        for sweep in found
    )
