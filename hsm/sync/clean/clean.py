"""`hsm sync clean`: frees the disk here of what is proven to lie, whole, at targets.

The order is what makes it safe. The locks of both sides are taken; the targets write to their disks; everything is
looked at and read at both ends; a pure function decides; the user is asked; both ends are looked at once more; what is
to go is written down, on the disk; and only then it goes, run by run, each set aside first.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from hsm.config.load import LoadedConfig
from hsm.config.resolve import resolve_for_sweep
from hsm.config.schema import TargetSettings
from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import SweepFolder
from hsm.errors import HsmError, TargetError, UsageError
from hsm.model import Root, SweepInventory
from hsm.process.runner import Runner
from hsm.progress import Reporter, StepStarted, TargetEnded
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import Cleaning, make_aside_name, make_cleaning_path, save_cleaning
from hsm.records.lock import hold_local_lock
from hsm.records.source_id import load_source_id
from hsm.remote.local import LocalEndpoint
from hsm.sync.clean.decision import decide, is_too_early, keep_folder
from hsm.sync.clean.removal import KeptError, remove_unit, remove_wandb_folder
from hsm.sync.clean.report import CleanReport, KeptUnit
from hsm.sync.clean.target import CleanTarget, make_runs_to_look_for, open_connection
from hsm.sync.clean.units import (
    Units,
    add_checksums,
    find_leftovers,
    keep_what_links_need,
    make_cleaned_unit,
    make_units,
)
from hsm.sync.clean.values import CleanOptions, Copy, Unit, UnitVerdict
from hsm.sync.source import ProjectSource, find_source
from hsm.targets.connect import connect


@dataclass(frozen=True, slots=True)
class CleanRequest:
    """What the command line asks for.

    Attributes:
        options: For the decision.
        roots: Runs, the sweep's folder, or both.
        targets: That count; none means all to which the sweep was brought.
        is_dry_run: Look only: no lock is taken, and nothing is flushed.
        may_ask: ssh may ask in this terminal.
    """

    options: CleanOptions = field(default_factory=CleanOptions)
    roots: tuple[Root, ...] = tuple(Root)
    targets: tuple[str, ...] = ()
    is_dry_run: bool = False
    may_ask: bool = False


@contextmanager
def open_clean(
    loaded: LoadedConfig, word: str, request: CleanRequest, *, runner: Runner, reporter: Reporter
) -> Iterator[SweepClean]:
    """Look at a sweep here and at its targets, and decide; the locks of both sides are held while inside.

    Args:
        loaded: The configuration.
        word: A sweep as typed.
        request: What is asked for.
        runner: Starts the processes.
        reporter: Told of each step.

    Raises:
        UsageError: The sweep does not exist, or was never brought anywhere.
        LockedError: It is being synced at this moment.
        HsmError: This side cannot be read, or not be written to.
    """
    source = find_source(loaded, LocalEndpoint(), [word])
    with ExitStack() as stack:
        clean = SweepClean(loaded, source, request, runner, reporter, stack)
        clean.look()
        yield clean


class SweepClean:
    """The clean of one sweep; made by `open_clean`.

    Attributes:
        verdicts: What becomes of each unit.
        errors: Why targets could not be asked, by name.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        source: ProjectSource,
        request: CleanRequest,
        runner: Runner,
        reporter: Reporter,
        stack: ExitStack,
    ) -> None:
        self.verdicts: tuple[UnitVerdict, ...] = ()
        self.errors: dict[str, HsmError] = {}
        self._loaded = loaded
        self._source = source
        self._request = request
        self._runner = runner
        self._reporter = reporter
        self._stack = stack
        self._units = Units((), {})
        self._copies: dict[str, list[Copy]] = {}
        self._targets: list[CleanTarget] = []

    @property
    def sweep(self) -> SweepFolder:
        """Which."""
        return self._source.sweeps[0]

    @property
    def _project(self) -> Path:
        return self._source.project

    def look(self) -> None:
        """Take the locks, look at both sides, decide."""
        is_dry_run = self._request.is_dry_run
        if not is_dry_run:
            self._lock_here()
        leftovers = find_leftovers(self._project, self.sweep.id, puts_back=not is_dry_run)
        inventory = self._read_inventory()
        self._units = make_units(inventory, self.sweep, leftovers, wants_folder=Root.SWEEPS in self._request.roots)
        wanted = make_runs_to_look_for(inventory, [left.name for left in leftovers])
        self._open_targets(wanted)
        if not is_dry_run:
            self._lock_targets()
        self._decide()

    def remove(self) -> CleanReport:
        """Remove what may go, after a last look at both ends; what is not as it was stays.

        Raises:
            HsmError: A target's lock was lost, or the record could not be written; nothing was removed.
        """
        going = [verdict for verdict in self.verdicts if verdict.goes]
        kept: dict[str, str] = {}
        if going:
            kept = self._look_again(going)
            going = [verdict for verdict in going if verdict.unit.path not in kept]
            kept |= self._remove(going)
        return self.make_report(kept)

    def make_report(self, kept: Mapping[str, str] | None = None) -> CleanReport:
        """What was found and done.

        Args:
            kept: Why units stayed after all, by path; None where nothing was to be removed.
        """
        return CleanReport(
            sweep=self.sweep.id,
            is_done=kept is not None,
            verdicts=self.verdicts,
            kept=tuple(KeptUnit(path, why) for path, why in (kept or {}).items()),
            errors=dict(self.errors),
        )

    def _lock_here(self) -> None:
        """Hold the locks here of all targets, so that no sync of the sweep reads or writes it meanwhile."""
        folder = ProjectFolder(self._project)
        for name in sorted({*self._loaded.config.sync_targets, *folder.list_targets()}):
            path = folder.lock(name, self.sweep.id)
            self._stack.enter_context(hold_local_lock(path, sweep=self.sweep.id, target=name, breaks=False))

    def _read_inventory(self) -> SweepInventory:
        """Everything of the sweep, from its logs themselves and not from the cache."""
        return read_inventory(
            self._source.endpoint,
            self._source.layout,
            self.sweep,
            max_depth=None,
            index=RunIndex(),
            known_sweeps=frozenset(sweep.id for sweep in self._source.known),
        )

    def _open_targets(self, inventory: SweepInventory) -> None:
        names = self._request.targets or tuple(self._loaded.config.sync_targets)
        for name in names:
            settings = self._resolve(name)
            is_asked_for = name in self._request.targets
            if not is_asked_for and not ProjectFolder(self._project).journal(name, self.sweep.id).is_file():
                continue
            self._reporter.report(StepStarted(name, "login"))
            try:
                self._targets.append(self._open_target(name, settings, inventory))
            except HsmError as error:
                self._fail(name, error)
        if not self._targets and not self.errors:
            raise UsageError(
                f"{self.sweep.id} was not brought to any target from here.",
                hint=f"Bring it to one first: `hsm sync to {self.sweep.id}`.",
                kind="never_synced",
            )

    def _open_target(self, name: str, settings: TargetSettings, inventory: SweepInventory) -> CleanTarget:
        connection = connect(name, settings, self._runner, self._reporter, layout=self._source.layout)
        target = CleanTarget(connection, settings, self._project, inventory, self._runner)
        if not any(record.is_complete for record in target.journal.runs.values()):
            raise TargetError(
                f"Nothing of {self.sweep.id} is known to be complete at {name}.",
                hint=f"Bring it there first: `hsm sync to {self.sweep.id} --target {name}`.",
                kind="nothing_there",
            )
        self._stack.enter_context(open_connection(connection, may_ask=self._request.may_ask))
        self._reporter.report(StepStarted(name, "check"))
        target.look()
        return target

    def _resolve(self, name: str) -> TargetSettings:
        base = self._loaded.config.sync_targets[name]
        return resolve_for_sweep(self._loaded.layers, name, self.sweep.id, base)

    def _lock_targets(self) -> None:
        """Take the lock of each target, which leaves a mark in its folders, and look where else it is to be seen."""
        source_id = load_source_id(self._project)
        locked: list[CleanTarget] = []
        for target in list(self._targets):
            self._stack.callback(target.give_lock_back)
            self._reporter.report(StepStarted(target.name, "lock"))
            try:
                for other in locked:  # before its own lock is taken, which empties the temporary folder there
                    if target.shows(other.probe):
                        target.place = other.place
                target.take_lock(source_id, {each.nonce: each.name for each in locked})
                if self._is_here(target.probe):
                    raise _make_source_error(target.name)
            except HsmError as error:
                self._fail(target.name, error)
            else:
                locked.append(target)

    def _is_here(self, probe: str) -> bool:
        """Whether a target's mark is to be seen where this project's own results lie."""
        layout = self._source.layout
        own = {layout.project, layout.sweeps, layout.wandb}
        own |= {parent for place in self._units.places.values() for parent in _list_parents(place.folder, own)}
        return any(os.path.lexists(f"{folder}/{probe}") for folder in own)

    def _decide(self) -> None:
        now_ns = time.time_ns()
        options = self._request.options
        units = [unit for unit in self._units.units if self._is_asked_for(unit)]
        ready = [unit for unit in units if not is_too_early(unit, options, now_ns=now_ns)]
        read = {unit.path: add_checksums(unit, lambda: self._runner.sleep(0)) for unit in ready}
        self._read_targets(list(read.values()))
        verdicts = []
        for unit in self._units.units:
            found = read.get(unit.path, unit)
            verdicts.append(decide(found, self._copies.get(unit.path, []), options, now_ns=now_ns))
        self.verdicts = tuple(self._finish(verdicts))

    def _is_asked_for(self, unit: Unit) -> bool:
        return unit.root in self._request.roots

    def _finish(self, verdicts: Sequence[UnitVerdict]) -> list[UnitVerdict]:
        """Judge the sweep's folder by the runs, and leave out what was not asked for."""
        removes_runs = Root.WANDB in self._request.roots
        runs = keep_what_links_need([verdict for verdict in verdicts if verdict.unit.name])
        folders = [
            keep_folder(verdict, runs, removes_runs=removes_runs) for verdict in verdicts if not verdict.unit.name
        ]
        found = keep_what_links_need([*runs, *folders])
        return [verdict for verdict in found if self._is_asked_for(verdict.unit)]

    def _read_targets(self, units: Sequence[Unit]) -> None:
        for target in list(self._targets) if units else ():
            self._reporter.report(StepStarted(target.name, "verify"))
            try:
                if self._request.is_dry_run:
                    target.check_flush()
                else:
                    target.flush(units)
                copies = target.read_copies(units, reads=not self._request.options.is_quick)
            except HsmError as error:
                self._fail(target.name, error)
                continue
            self._reporter.report(TargetEnded(target.name, "verified"))
            for path, copy in copies.items():
                self._copies.setdefault(path, []).append(copy)

    def _fail(self, name: str, error: HsmError) -> None:
        """A target that cannot be asked counts for nothing."""
        self.errors[name] = error
        self._targets = [target for target in self._targets if target.name != name]
        self._reporter.report(TargetEnded(name, "failed"))

    def _look_again(self, going: Sequence[UnitVerdict]) -> dict[str, str]:
        """Make sure, right before, that the locks were held all the time and that all there is as it was read.

        Returns:
            Why units stay after all, by path.

        Raises:
            HsmError: A lock was lost, or a target is out of reach.
        """
        needed = {name for verdict in going for name in verdict.copies}
        kept: dict[str, str] = {}
        for target in self._targets:
            if target.name not in needed:
                continue
            target.confirm_lock()
            target.look()
            for verdict in going:
                (seen,) = (copy for copy in self._copies[verdict.unit.path] if copy.target == target.name)
                if target.name in verdict.copies and target.read_entries(verdict.unit) != seen.entries:
                    kept[verdict.unit.path] = f"it has changed at {target.name} since it was read there"
        return kept

    def _remove(self, going: Sequence[UnitVerdict]) -> dict[str, str]:
        if not going:
            return {}
        asides = {verdict.unit.path: self._choose_aside(verdict) for verdict in going}
        cleaning = self._make_cleaning(going, asides)
        path = make_cleaning_path(self._project, cleaning)
        self._save(path, cleaning)
        kept: dict[str, str] = {}
        for verdict in going:
            place = self._units.places[verdict.unit.path]
            try:
                remove_unit(place.folder, place.base, asides[verdict.unit.path], place.walk)
            except (KeptError, OSError) as error:
                kept[verdict.unit.path] = str(error)
        self._tidy(going)
        if kept:
            left = tuple(unit for unit in cleaning.units if unit.path not in kept or not unit.is_here)
            with contextlib.suppress(TargetError):  # a unit too many in it is here, and so does not count as removed
                self._save(path, replace(cleaning, units=left))
        return kept

    def _tidy(self, gone: Sequence[UnitVerdict]) -> None:
        """Remove the sweep's own folder in the wandb folder, where wandb has left nothing but links in it."""
        own = os.path.realpath(f"{self._source.layout.wandb}/{self.sweep.id}")
        folders = {self._units.places[verdict.unit.path].folder for verdict in gone if verdict.unit.name}
        for folder in sorted(folders, key=len, reverse=True):
            if folder == own or folder.startswith(f"{own}/"):
                remove_wandb_folder(folder)
                if folder != own:
                    remove_wandb_folder(own)

    def _choose_aside(self, verdict: UnitVerdict) -> str:
        return verdict.unit.recorded.aside if verdict.unit.recorded is not None else make_aside_name()

    def _make_cleaning(self, going: Sequence[UnitVerdict], asides: Mapping[str, str]) -> Cleaning:
        needed = {name for verdict in going for name in verdict.copies}
        return Cleaning(
            sweep=self.sweep.id,
            at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            host=socket.gethostname(),
            is_quick=self._request.options.is_quick,
            places={target.name: target.make_cleaned_place() for target in self._targets if target.name in needed},
            units=tuple(
                make_cleaned_unit(verdict, self._units.places[verdict.unit.path], asides[verdict.unit.path])
                for verdict in going
            ),
        )

    def _save(self, path: Path, cleaning: Cleaning) -> None:
        try:
            save_cleaning(path, cleaning)
        except OSError as error:
            raise TargetError(
                f"The record {path} cannot be written: {error.strerror}.",
                hint="Check the free space and the permissions of .hsm/ here. Without a record nothing is removed.",
                kind="clean_unwritable",
            ) from error


def _list_parents(folder: str, own: set[str]) -> list[str]:
    """A folder and those above it, up to one of the project's own."""
    found = [folder]
    for parent in map(str, Path(folder).parents):
        if parent in own or parent == "/":
            break
        found.append(parent)
    return found


def _make_source_error(name: str) -> TargetError:
    return TargetError(
        f"Target {name} is this project itself, by another name: what lies there is no copy.",
        hint="Name a target in another place with --target.",
        kind="same_place",
    )
