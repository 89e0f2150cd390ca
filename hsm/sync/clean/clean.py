"""`hsm sync clean`: frees the disk here of results that are verified to lie, whole, at targets.

The order is what makes it safe: take the locks of both sides, look by marks whether the ends are different places, have
the targets write to their disks, look at everything and read it at both ends, decide (a pure function), ask the user,
look at both ends once more, write down on the disk what is to go, and only then remove it, unit by unit, each looked at
anew and set aside first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from hsm.config.loaded import LoadedConfig
from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.errors import HsmError
from hsm.model import Root, SweepInventory
from hsm.plan.choice import RunChoice
from hsm.process.runner import Runner
from hsm.progress import Reporter, WordUnderstood
from hsm.sync.clean.choice.jobs import choose_jobs, find_asked_jobs, leave_other_jobs
from hsm.sync.clean.choice.runs import choose_asked, leave_folder
from hsm.sync.clean.choice.targets import choose_counting_targets
from hsm.sync.clean.decision import decide_all, find_holders, is_too_early, keep_what_links_need
from hsm.sync.clean.folders.ends import find_job_folders
from hsm.sync.clean.folders.jobs import CleanedJobs
from hsm.sync.clean.links import LinkWatch, find_links
from hsm.sync.clean.record import CleanRecord, forget_pulled, make_cleaned_unit, make_cleaning
from hsm.sync.clean.removal import Removal, remove_emptied_folders, remove_units
from hsm.sync.clean.report import CleanReport, KeptUnit
from hsm.sync.clean.session import CleanSession
from hsm.sync.clean.units import (
    Units,
    add_checksums,
    add_leftovers,
    find_leftovers,
    list_own_folders,
    make_units,
    read_everything,
)
from hsm.sync.clean.values import CleanOptions, Copy, ProjectLink, UnitVerdict
from hsm.sync.clean.walk import UnitPlace
from hsm.sync.clean.watch import RemovalWatch
from hsm.sync.source import ProjectSource
from hsm.targets.connect import connect
from hsm.targets.contract import Connection


@dataclass(frozen=True, slots=True)
class CleanRequest:
    """A request to clean.

    Attributes:
        options: For the decision.
        roots: Runs, the sweep's folder, or both.
        targets: Those that count; none means all to which the sweep was copied.
        choice: Of runs; the sweep's folder stays where not all are asked for.
        is_dry_run: Look only: no lock is taken, and nothing is flushed.
        may_ask: ssh may ask in this terminal.
        words: Sweeps as typed; one that is the folder of a job means this job alone.
    """

    options: CleanOptions = field(default_factory=CleanOptions)
    roots: tuple[Root, ...] = tuple(Root)
    targets: tuple[str, ...] = ()
    choice: RunChoice = field(default_factory=RunChoice)
    is_dry_run: bool = False
    may_ask: bool = False
    words: tuple[str, ...] = ()


@contextmanager
def open_clean(
    loaded: LoadedConfig, source: ProjectSource, request: CleanRequest, *, runner: Runner, reporter: Reporter
) -> Iterator[SweepClean]:
    """Look at a sweep here and at its targets, and decide; the locks of both sides are held while inside.

    Args:
        loaded: The configuration.
        source: The project here, with one sweep, from `hsm.sync.clean.choice.sweeps.find_clean_sources`.
        request: Targets, options, and dry run or not.
        runner: Starts the processes.
        reporter: Told of each step.

    Raises:
        UsageError: The sweep was never copied anywhere, or a run that is named is not in it.
        LockedError: It is being synced at this moment.
        HsmError: This side cannot be read, or not be written to.
    """
    sweep, is_dry_run = source.sweeps[0], request.is_dry_run
    for said in source.said:
        reporter.report(WordUnderstood(said))

    def connect_target(name: str, settings: TargetSettings) -> Connection:
        return connect(name, settings, runner, reporter, layout=source.layout)

    with ExitStack() as stack:
        session = CleanSession(source, connect_target, reporter, stack)
        if not is_dry_run:
            session.lock_here(loaded.config.sync_targets)
        # Before anything is looked at: a run that gets its name back is looked at like any other.
        leftovers = find_leftovers(source.project, sweep.id, puts_back=not is_dry_run)
        inventory, by_place = read_everything(source)
        only = source.only.get(sweep.id, frozenset())
        jobs = find_asked_jobs(source, request.words, inventory) if request.choice.is_everything else frozenset()
        if jobs:
            asked = choose_jobs(source, inventory, leftovers, jobs)
        else:
            asked = choose_asked(inventory, leftovers, request.choice, only)
        if only or not request.choice.is_everything:  # the sweep's folder is of all its runs
            request = replace(request, roots=leave_folder(request.roots))
        wants_folder = Root.SWEEPS in request.roots
        units = make_units(
            asked.inventory,
            sweep,
            asked.leftovers,
            wants_folder=wants_folder,
            by_place=by_place,
            jobs=_find_jobs(source, inventory, jobs) if wants_folder else None,
        )
        units = replace(units, n_others=asked.n_others)
        settings = choose_counting_targets(loaded, sweep.id, request.targets)
        everything = add_leftovers(asked.inventory, asked.leftovers)
        session.open_targets(settings, everything, may_ask=request.may_ask)
        if not is_dry_run:
            session.lock_targets()
        yield _judge(source, units, session, request, runner)


def _find_jobs(source: ProjectSource, inventory: SweepInventory, asked: Collection[str]) -> CleanedJobs:
    found = find_job_folders(source, inventory)
    return leave_other_jobs(found, asked) if asked else found


def _judge(
    source: ProjectSource, units: Units, session: CleanSession, request: CleanRequest, runner: Runner
) -> SweepClean:
    """Read what may go, here and at the targets, and decide."""

    def check() -> None:
        runner.sleep(0)

    options, now_ns = request.options, time.time_ns()  # one reading of the clock, so that both decisions below agree
    wanted = [unit for unit in units.units if unit.root in request.roots]
    ready = [unit for unit in wanted if not is_too_early(unit, options, now_ns=now_ns)]
    if not request.is_dry_run and ready:
        session.compare_places(ready, list_own_folders(source.layout, units))
    # Here first: what is written to while the targets are read shows in the last look of the removal.
    read = {unit.path: add_checksums(unit, check) for unit in ready}
    copies = session.read_copies(list(read.values()), flushes=not request.is_dry_run, reads=not options.is_quick)
    found = [read.get(unit.path, unit) for unit in units.units]
    links = find_project_links(source.layout, units, check)
    verdicts = decide_all(found, copies, options, roots=request.roots, now_ns=now_ns, links=links)
    return SweepClean(source, units, copies, verdicts, session, request, check)


class SweepClean:
    """Clean of one sweep, decided and not yet done; made by `open_clean`.

    Args:
        source: The project here, with one sweep.
        units: Everything that lies here of the sweep.
        copies: By a unit's path here, what the targets have of it.
        verdicts: The decision.
        session: Holds the locks.
        request: The request.
        check: Called now and then; may raise.
    """

    def __init__(
        self,
        source: ProjectSource,
        units: Units,
        copies: Mapping[str, Sequence[Copy]],
        verdicts: Sequence[UnitVerdict],
        session: CleanSession,
        request: CleanRequest,
        check: Callable[[], None],
    ) -> None:
        self._source = source
        self._units = units
        self._copies = copies
        self._verdicts = tuple(verdicts)
        self._session = session
        self._request = request
        self._check = check

    def remove(self) -> CleanReport:
        """Remove what may go, after a last look at both ends; what is not as it was stays. To be called once.

        Raises:
            HsmError: A target's lock was lost, or the record could not be written; nothing was removed.
        """
        if self._request.is_dry_run:
            raise AssertionError("a dry run holds no locks, so it removes nothing")
        going = [verdict for verdict in self._verdicts if verdict.goes]
        kept = self._session.find_changed(going, self._copies)
        # The user may have thought about the answer for long: once more for symlinks that came meanwhile.
        links = find_project_links(self._source.layout, self._units, self._check) if going else ()
        left = [
            replace(verdict, goes=verdict.unit.path not in kept) if verdict.goes else verdict
            for verdict in self._verdicts
        ]
        needed = {verdict.unit.path: verdict for verdict in keep_what_links_need(left, links)}
        for verdict in going:
            if verdict.unit.path not in kept and not needed[verdict.unit.path].goes:
                kept[verdict.unit.path] = needed[verdict.unit.path].reasons[0]
        removed, error = self._remove([verdict for verdict in going if verdict.unit.path not in kept], links)
        kept |= removed
        if error is not None and len(kept) == len(going):
            raise error
        return replace(self.make_report(kept), error=error)

    def make_report(self, kept: Mapping[str, str] | None = None) -> CleanReport:
        """Make the report of what was found and done.

        Args:
            kept: The reasons why units stayed after all, by path; None where nothing was to be removed.
        """
        return CleanReport(
            sweep=self._source.sweeps[0].id,
            is_done=kept is not None,
            verdicts=self._verdicts,
            kept=tuple(KeptUnit(path, why) for path, why in (kept or {}).items()),
            errors=dict(self._session.errors),
            n_others=self._units.n_others,
        )

    def _remove(
        self, going: Sequence[UnitVerdict], links: Sequence[ProjectLink]
    ) -> tuple[dict[str, str], HsmError | None]:
        """Write down what goes, remove it, and take out of the record what stayed; why it did, by path."""
        if not going:
            return {}, None
        source, sweep = self._source, self._source.sweeps[0].id
        holders = find_holders(going, links)
        order = {path: number for number, path in enumerate(holders)}
        going = sorted(going, key=lambda verdict: order[verdict.unit.path])
        places = [self._units.places[verdict.unit.path] for verdict in going]
        units = [make_cleaned_unit(verdict, place) for verdict, place in zip(going, places, strict=True)]
        cleaning = make_cleaning(
            sweep,
            units,
            self._session.make_places(going),
            is_quick=self._request.options.is_quick,
            place=self._units.place,
        )
        record = CleanRecord(source.project, cleaning)
        record.save()  # holds the names `aside`, so the next clean knows what it finds after a crash
        forget_pulled(source.project, cleaning, self._session.lock_pulled)
        watch = LinkWatch(partial(find_project_links, source.layout, self._units, self._check), links)
        removals = [
            Removal(place, unit.aside, self._watch(verdict, place, unit.aside, watch), holders[verdict.unit.path])
            for verdict, place, unit in zip(going, places, units, strict=True)
        ]
        kept, error = remove_units(removals)
        remove_emptied_folders(
            os.path.realpath(f"{source.layout.wandb}/{sweep}"),
            {place.folder for verdict, place in zip(going, places, strict=True) if verdict.unit.name},
        )
        record.drop(kept)
        return kept, error

    def _watch(self, verdict: UnitVerdict, place: UnitPlace, aside: str, links: LinkWatch) -> RemovalWatch:
        def look() -> None:
            self._check()
            path = place.path if os.path.lexists(place.path) else f"{place.folder}/{aside}"
            self._session.look_again(verdict, self._copies, path)
            links.look(verdict.unit.path)

        return RemovalWatch(look)


def find_project_links(layout: Layout, units: Units, check: Callable[[], None]) -> tuple[ProjectLink, ...]:
    """Search the whole project for symlinks that lead into units."""
    folders = (layout.project, layout.sweeps, layout.wandb, *layout.shared, *layout.inner)
    return find_links(folders, [unit.path for unit in units.units], check)
