"""`hsm sync to`: sweeps of this project go to targets, several at the same time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import hsm.sync.shortcuts  # noqa: F401 - offers what saves time; without this line and the package a push is only slower
from hsm.config.loaded import LoadedConfig, resolve_for_sweep
from hsm.endpoint import Endpoint
from hsm.model import SweepInventory, SweepKind
from hsm.plan.symlinks.folder_links import list_followed
from hsm.process.runner import Runner
from hsm.progress import Reporter, WordUnderstood
from hsm.records.journal import make_route
from hsm.records.receipt import Sender
from hsm.records.source_id import SourceId, find_source_id
from hsm.sync.bring.ending import make_interrupted_report
from hsm.sync.bring.ledger.books import Books, make_copy_notices
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.options import make_options, select_wanted
from hsm.sync.bring.session import Session, TargetService
from hsm.sync.bring.survey_ahead import SurveyAhead, make_survey_question
from hsm.sync.observer import Observer, Stopwatch
from hsm.sync.reports import State, SweepReport, SyncReport, TargetReport
from hsm.sync.request import SyncRequest
from hsm.sync.shortcut import PushCall, choose_shortcut
from hsm.sync.source import Inventories, ProjectSource, check_choice, find_source, read_inventories
from hsm.sync.target_threads import serve_targets
from hsm.targets.apart import ApartEndpoint
from hsm.targets.contract import Connection, check_project_root, get_roots


def push(
    loaded: LoadedConfig,
    request: SyncRequest,
    *,
    runner: Runner,
    reporter: Reporter,
    meanwhile: Callable[[], object] = lambda: None,
    session: Session | None = None,
) -> SyncReport:
    """Copy sweeps to targets. The logins are opened while the sweeps are looked at.

    Ctrl-C (KeyboardInterrupt in this thread) ends the workers; the report then says what had arrived.

    Args:
        loaded: The configuration.
        request: What is wanted.
        runner: Starts the processes.
        reporter: Told what happens.
        meanwhile: Called in this thread while targets are waited for; anything can be got ready then.
        session: What is kept for the next such call; by default nothing.

    Raises:
        UsageError: A sweep does not exist, or nothing is left to be copied; nothing was started.
        ConfigError: What the file says of a sweep is not right with the rest; nothing was started.
    """
    work = _Push(loaded, request, runner, reporter, session or Session())
    reports = serve_targets(list(request.targets), work.serve, read=work.read, runner=runner, meanwhile=meanwhile)
    by_sweep = [
        SweepReport(
            sweep.id,
            tuple(reports[name][index] for name in request.targets),
            work.only.get(sweep.id, frozenset()),
        )
        for index, sweep in enumerate(work.source.sweeps)
    ]
    return SyncReport("sync to", "push", request.is_dry_run, tuple(by_sweep))


class _Push:
    """Everything that the threads of the targets share.

    One thread serves each target: connect, survey, plan, refuse or send, record (`exchange`), and what follows.
    """

    def __init__(
        self, loaded: LoadedConfig, request: SyncRequest, runner: Runner, reporter: Reporter, session: Session
    ) -> None:
        source = find_source(loaded, session.source, request.sweeps)
        for said in source.said:
            reporter.report(WordUnderstood(said))
        settings = {
            (name, sweep.id): resolve_for_sweep(loaded, name, sweep.id, target)
            for name, target in request.targets.items()
            for sweep in source.sweeps
        }
        sweeps = {sweep.id: sweep for sweep in source.sweeps}
        for (name, sweep_id), found in settings.items():
            check_project_root(name, found, sweeps[sweep_id].kind, sweeps[sweep_id].place)
        only = {**request.only, **source.only}
        self._options = {
            key: make_options(key[0], found, request, only=only.get(key[1], frozenset()))
            for key, found in settings.items()
        }
        source_id = SourceId("") if request.is_dry_run else find_source_id(source.project)  # may write the first one
        self._service = TargetService(loaded, request, runner, reporter, session)
        self._session = session
        self._runner = runner
        self._call = PushCall(request, source, source_id.id, settings)
        self._notices = make_copy_notices(source_id, source.project)
        self._ledgers = {key: self._make_ledger(*key) for key in settings}
        first = source.sweeps[0].id
        self._known = {
            name: self._ledgers[name, first].peek() if session.asks_early else () for name in request.targets
        }
        self._shortcut = choose_shortcut(self._call, self._known)

    @property
    def only(self) -> Mapping[str, frozenset[str]]:
        """The names of the runs that alone are meant, by sweep."""
        return {**self._call.request.only, **self.source.only}

    @property
    def source(self) -> ProjectSource:
        """The sweeps that are meant."""
        return self._call.source

    def read(self) -> Inventories | None:
        """Read what the source has of every sweep; None where nothing has changed, neither here nor at any target."""
        if self._shortcut.is_unchanged():
            return None
        options = self._options.values()
        inventories = read_inventories(
            replace(self.source, endpoint=self._shortcut.watch(self.source.endpoint)),
            depths=[option.max_depth for option in options],
            roots={root for option in options for root in option.roots},
            with_versions=any(option.plan.latest_only for option in options),
            saves_cache=not self._call.request.is_dry_run,
            follow=list_followed([option.folder_links for option in options]),
        )
        check_choice(self._call.request.choice, inventories.values())
        return inventories

    def serve(self, name: str, found: Future[Inventories | None]) -> list[TargetReport]:
        """Copy every sweep to one target: one report per sweep, whatever happens."""
        try:
            return self._service.serve(name, self.source.layout, partial(self._serve, found), self._end_all)
        finally:
            self._shortcut.leave(name)

    def _serve(
        self, found: Future[Inventories | None], connection: Connection, stopwatch: Stopwatch
    ) -> list[TargetReport]:
        name = connection.name
        ends = {sweep.id: self._keep_apart(connection, sweep.id, sweep.kind) for sweep in self.source.sweeps}
        # The target answers while this machine reads its disk.
        ahead = self._survey_ahead(connection, ends[self.source.sweeps[0].id])
        with stopwatch.step("scan"):
            inventories = found.result()
        if inventories is None:
            return [self._report_unchanged(connection, stopwatch)]
        reports: list[TargetReport] = []
        for sweep in self.source.sweeps:
            if reports and reports[-1].state is State.INTERRUPTED:
                reports.append(make_interrupted_report(name))
                continue
            inventory = inventories[sweep.id, self._options[name, sweep.id].max_depth]
            end, begun = ends[sweep.id], None if reports else ahead
            if inventory.place != sweep.place:  # its receipts alone tell that it is Hydra's
                end, begun = self._keep_apart(connection, sweep.id, inventory.kind), None
            reports.append(self._serve_sweep(connection, end, inventory, stopwatch, begun))
            stopwatch = self._service.start_stopwatch(name)
        # Of what a survey did not ask for its digest tells nothing.
        first = self.source.sweeps[0]
        is_whole = first.has_jobs or not inventories[first.id, self._options[name, first.id].max_depth].has_jobs
        self._shortcut.note(reports[0], ahead.get_digest if ahead is not None and is_whole else str)
        return reports

    def _report_unchanged(self, connection: Connection, stopwatch: Stopwatch) -> TargetReport:
        name = connection.name
        with self._ledgers[name, self.source.sweeps[0].id].hold():
            report = self._shortcut.make_report(name, stopwatch.seconds, notices=connection.list_notices())
        return self._service.tell_end(report)

    def _keep_apart(self, connection: Connection, sweep: str, kind: SweepKind) -> Endpoint:
        """Make the target's end for a sweep, which refuses to be this project."""
        settings = self._call.settings[connection.name, sweep]
        roots = get_roots(settings, kind)
        return ApartEndpoint(connection.endpoint, roots, self.source.layout, own=settings.paths.sweeps)

    def _survey_ahead(self, connection: Connection, end: Endpoint) -> SurveyAhead | None:
        """Begin to look at what the journal knows of the first sweep at a target, while the source is being read."""
        first = self.source.sweeps[0]
        name, sweep = connection.name, first.id
        runs = self._known[name]
        if connection.is_folder or not runs:
            self._shortcut.hear(name, "")
            return None
        options, settings = self._options[name, sweep], self._call.settings[name, sweep]
        question = make_survey_question(
            get_roots(settings, first.kind),
            sweep,
            runs,
            roots=options.roots,
            max_depth=None if first.has_jobs else options.max_depth,
            own=settings.paths.sweeps,
            place=first.place,
        )
        return SurveyAhead(end, question, hear=partial(self._shortcut.hear, name))

    def _serve_sweep(
        self,
        connection: Connection,
        end: Endpoint,
        inventory: SweepInventory,
        stopwatch: Stopwatch,
        ahead: SurveyAhead | None,
    ) -> TargetReport:
        key = connection.name, inventory.sweep
        unchanged = self._session.find_unchanged(connection.name, inventory)
        if unchanged is not None:
            return unchanged
        # Here the target is being looked at: 8 ms less before that.
        from hsm.sync.bring.exchange.exchange import Exchange  # noqa: PLC0415
        from hsm.sync.bring.exchange.setup import Direction, ExchangeSetup  # noqa: PLC0415 - as above

        settings, options = self._call.settings[key], self._options[key]
        check_project_root(connection.name, settings, inventory.kind, inventory.place)
        direction = Direction(
            source=self.source.endpoint,
            destination=end,
            roots=get_roots(settings, inventory.kind),
            make_guard=connection.make_guard,
            own=settings.paths.sweeps,
        )
        observer = self._service.observe(stopwatch)
        wanted = select_wanted(inventory, options)
        setup = ExchangeSetup(connection, direction, wanted, options, self._ledgers[key], observer)
        report = Exchange(setup).run(ahead)
        if settings.after_sync and self._call.request.does_after_sync:
            report = self._do_after(connection, inventory.sweep, observer, report)
        self._service.tell_end(report)
        self._session.note(connection.name, inventory, report)
        return report

    def _do_after(self, connection: Connection, sweep: str, observer: Observer, report: TargetReport) -> TargetReport:
        from hsm.sync.after.arrival import Arrival  # noqa: PLC0415 - few targets have it
        from hsm.sync.after.steps import AfterSync  # noqa: PLC0415 - as above

        settings = self._call.settings[connection.name, sweep]
        after = AfterSync(
            Arrival(sweep, connection, settings, self.source.endpoint, self._call.source_id),
            self._runner,
            observer,
            owed=self._session.find_owed(connection.name, sweep),
            breaks_lock=self._call.request.breaks_lock,
        )
        return after.run(report)

    def _make_ledger(self, name: str, sweep: str) -> Ledger:
        project = self.source.project
        books = Books(
            project=project,
            target=name,
            route=make_route(self._call.settings[name, sweep], direction="push"),
            source=Sender(self._call.source_id, socket.gethostname(), str(project)),
            breaks_lock=self._call.request.breaks_lock,
            notices=self._notices,
        )
        return Ledger(books, sweep)

    def _end_all(self, report: TargetReport) -> list[TargetReport]:
        """The same report for every sweep."""
        self._service.tell_end(report)
        return [report for _ in self.source.sweeps]
