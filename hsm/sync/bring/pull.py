"""`hsm sync from`: sweeps that lie at targets come into this project."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from hsm.config.loaded import LoadedConfig, resolve_for_sweep
from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.words.lookup import Meaning
from hsm.endpoint import Endpoint
from hsm.errors import HsmError, UsageError
from hsm.model import SweepInventory
from hsm.plan.symlinks.folder_links import list_followed
from hsm.plan.symlinks.outside import drop_bad_names
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter, WordUnderstood
from hsm.project_folder import ProjectFolder
from hsm.records.journal import make_route
from hsm.records.receipt import Sender
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.ending import make_failed_report, make_interrupted_report
from hsm.sync.bring.far_source import FarSource, load_far_id
from hsm.sync.bring.foresight import ForesightEndpoint
from hsm.sync.bring.joining import NamedReport, join_sweeps
from hsm.sync.bring.landing import SweepsHere, find_home
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.options import ExchangeOptions, make_options
from hsm.sync.bring.reception import Reception
from hsm.sync.bring.session import Session, TargetService
from hsm.sync.meanings import join_folders, join_meanings
from hsm.sync.observer import Stopwatch
from hsm.sync.places import find_places, make_layout
from hsm.sync.reports import State, SyncReport, TargetReport
from hsm.sync.request import SyncRequest
from hsm.sync.source import ProjectSource, check_choice, read_inventories
from hsm.sync.target_threads import serve_targets
from hsm.targets.contract import Connection, check_project_root

_LOOK_SECONDS = 0.2


def pull(
    loaded: LoadedConfig, request: SyncRequest, *, runner: Runner, reporter: Reporter, session: Session | None = None
) -> SyncReport:
    """Bring sweeps from targets into this project.

    Targets are looked at at the same time, and brought from one after another: what one brings is there when the
    next is compared. Ctrl-C (KeyboardInterrupt in this thread) ends the workers; the report then says what had
    arrived.

    Args:
        loaded: The configuration.
        request: What is wanted.
        runner: Starts the processes.
        reporter: Told what happens.
        session: What is kept for the next such call; by default nothing.

    Raises:
        UsageError: No target has a sweep that a word means, or nothing is left to be brought.
        ConfigError: What the file says of a sweep is not right with the rest.
    """
    work = _Pull(loaded, request, runner, reporter, session or Session())
    reports = serve_targets(list(request.targets), work.serve, read=lambda: None, runner=runner)
    return SyncReport("sync from", "pull", request.is_dry_run, join_sweeps(request.targets, reports, work.only))


class _Pull:
    """Everything that the threads of the targets share.

    One thread serves each target: connect, find the sweeps, read, then one after another `exchange`.
    """

    def __init__(
        self, loaded: LoadedConfig, request: SyncRequest, runner: Runner, reporter: Reporter, session: Session
    ) -> None:
        self._loaded = loaded
        self._request = request
        self._runner = runner
        self._reporter = reporter
        self._service = TargetService(loaded, request, runner, reporter, session)
        self._session = session
        self._layout = make_layout(loaded)
        self._turn = threading.Lock()
        self.only = dict(request.only)
        for name, settings in request.targets.items():
            make_options(name, settings, request)  # raises before anything is started

    def serve(self, name: str, _: Future[None]) -> list[NamedReport]:
        """Bring every sweep from one target: one report for each word, whatever happens."""
        return self._service.serve(name, self._layout, self._serve, self._end_all)

    def _serve(self, connection: Connection, stopwatch: Stopwatch) -> list[NamedReport]:
        resolve = partial(self._resolve, connection.name)
        folder = ProjectFolder(self._loaded.project)
        looks = ForesightEndpoint(connection.endpoint, folder.looks_cache(connection.name), self._request.sweeps)
        source = FarSource(looks, self._loaded.project, resolve, self._layout)
        with stopwatch.step("scan"):
            meant, reports = self._find(connection.name, source)
        self.only.update(join_meanings(meant))
        for sweep in dict.fromkeys(meaning.sweep for meaning in meant):
            if any(report.state is State.INTERRUPTED for report in reports.values()):
                reports[sweep.id] = make_interrupted_report(connection.name)
                continue
            try:
                reports[sweep.id] = self._serve_sweep(connection, source, looks, sweep, stopwatch, meant)
            except HsmError as error:
                reports[sweep.id] = self._service.tell_end(
                    make_failed_report(connection.name, error, stopwatch.seconds)
                )
            except CommandStoppedError:
                reports[sweep.id] = self._service.tell_end(make_interrupted_report(connection.name))
            stopwatch = self._service.start_stopwatch(connection.name)
        return list(reports.items())

    def _find(self, name: str, source: FarSource) -> tuple[list[Meaning], dict[str, TargetReport]]:
        """Meanings of the words, and a report for each word that means none there.

        Raises:
            UsageError: A word means none at the only target there is, or a sweep that lies in two places here.
        """
        meant: list[Meaning] = []
        unknown: dict[str, TargetReport] = {}
        known = self._look_here(fresh=False).sweeps
        for word in self._request.sweeps:
            try:
                found = source.find(word)
                for meaning in found:
                    if not meaning.sweep.place:
                        find_home(known, meaning.sweep.id)  # before anything comes
                meant += found
            except UsageError as error:
                if len(self._request.targets) == 1:
                    raise
                unknown[word] = make_failed_report(name, error, {})
        for meaning in meant:
            if meaning.said:
                self._reporter.report(WordUnderstood(meaning.said))
        return meant, unknown

    def _serve_sweep(
        self,
        connection: Connection,
        far: FarSource,
        looks: ForesightEndpoint,
        sweep: Sweep,
        stopwatch: Stopwatch,
        meant: Sequence[Meaning],
    ) -> TargetReport:
        settings = self._resolve(connection.name, sweep.id)
        runs = join_meanings(meant).get(sweep.id) or self._request.only.get(sweep.id, frozenset())
        options = self._make_options(connection.name, settings, far.look(sweep.id).folders, runs)
        with stopwatch.step("scan"):
            far.check_there(sweep, options.roots)
            inventory = self._read(looks, far, sweep, options, join_folders(meant))
            looks.end(saves=not self._request.is_dry_run)
            check_choice(self._request.choice, [inventory], is_part=True)
            check_project_root(connection.name, settings, inventory.kind, inventory.place)
        unchanged = self._session.find_unchanged(connection.name, inventory)
        if unchanged is not None:
            return unchanged
        # One target after another: what one brings is compared with what the next has.
        with self._take_turn():
            books = self._make_books(connection, settings, far.look(sweep.id).layout)
            observer = self._service.observe(stopwatch)
            reception = Reception(connection, self._look_here, books, options, runner=self._runner, observer=observer)
            report = self._service.tell_end(reception.receive(inventory))
        self._session.note(connection.name, inventory, report)
        return report

    def _look_here(self, *, fresh: bool) -> SweepsHere:
        """Look at the sweeps of this project, and at all its folders of runs; see `LookHere`."""
        places = find_places(self._loaded, LocalEndpoint(self._runner), fresh=fresh)
        if not self._request.is_dry_run:
            places.remember()
        return places

    def _read(
        self, endpoint: Endpoint, far: FarSource, sweep: Sweep, options: ExchangeOptions, folders: frozenset[str]
    ) -> SweepInventory:
        found = far.look(sweep.id)
        source = ProjectSource(
            project=self._loaded.project,
            endpoint=endpoint,
            layout=found.layout,
            known=found.sweeps,
            sweeps=(sweep,),
            target=endpoint.name,
            folders=folders,
        )
        inventories = read_inventories(
            source,
            depths=[options.max_depth],
            roots=options.roots,
            with_versions=bool(options.plan.latest_only),
            saves_cache=not self._request.is_dry_run,
            follow=list_followed([options.folder_links]),
        )
        return drop_bad_names(inventories[sweep.id, options.max_depth])

    def _make_options(
        self, name: str, settings: TargetSettings, folders: Sequence[str], only: frozenset[str]
    ) -> ExchangeOptions:
        """Like a push's; what is here is always looked at, which costs nothing."""
        alone = replace(settings, after_sync=())  # what arrives here is not uploaded from there
        options = make_options(name, alone, self._request, only=only)
        return replace(options, plan=replace(options.plan, is_checked=True, link_folders=tuple(folders)))

    def _make_books(self, connection: Connection, settings: TargetSettings, layout: Layout) -> Books:
        route = make_route(settings, direction="pull")
        folder = layout.project if settings.paths.project_root else layout.sweeps.rpartition("/")[0]
        project = self._loaded.project
        saves = not self._request.is_dry_run
        source_id = load_far_id(connection.endpoint, project, route, folder=folder, saves=saves)
        return Books(
            project=project,
            target=connection.name,
            route=route,
            source=Sender(source_id, route.host or socket.gethostname(), folder),
            breaks_lock=self._request.breaks_lock,
        )

    def _resolve(self, name: str, sweep: str) -> TargetSettings:
        return resolve_for_sweep(self._loaded, name, sweep, self._request.targets[name])

    @contextlib.contextmanager
    def _take_turn(self) -> Iterator[None]:
        """Wait for the other targets; their sweeps land in the same folders."""
        while not self._turn.acquire(timeout=_LOOK_SECONDS):
            self._runner.sleep(0)
        try:
            self._runner.sleep(0)
            yield
        finally:
            self._turn.release()

    def _end_all(self, report: TargetReport) -> list[NamedReport]:
        """The same report for every word."""
        return [(word, self._service.tell_end(report)) for word in self._request.sweeps]
