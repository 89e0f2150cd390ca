"""`hsm sync to`: sweeps of this project go to targets, several at the same time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from hsm.config.load import LoadedConfig
from hsm.config.resolve import resolve_for_sweep
from hsm.config.schema import TargetSettings
from hsm.errors import ExitCode, HsmError
from hsm.model import SweepInventory
from hsm.plan.choice import RunChoice
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter, TargetEnded
from hsm.project_folder import ProjectFolder
from hsm.records.journal import read_known_runs
from hsm.records.project import load_source_id
from hsm.records.receipt import Sender
from hsm.sync.bring.early_survey import EarlySurvey
from hsm.sync.bring.exchange import Stopwatch, exchange, make_failed_report, make_push_ends
from hsm.sync.bring.ledger import Books, Ledger
from hsm.sync.bring.options import make_options
from hsm.sync.bring.session import Session
from hsm.sync.bring.survey import begin_check
from hsm.sync.reports import State, SweepReport, SyncReport, TargetReport
from hsm.sync.request import SyncRequest
from hsm.sync.shortcuts.unchanged_sweep import LEAST_RUNS, AtRest, describe_sweeps
from hsm.sync.source import Inventories, ProjectSource, find_source, read_inventories
from hsm.sync.target_threads import serve_targets
from hsm.targets.connect import Connection, connect, get_roots
from hsm.targets.route import make_route


def push(
    loaded: LoadedConfig,
    request: SyncRequest,
    *,
    runner: Runner,
    reporter: Reporter,
    meanwhile: Callable[[], object] = lambda: None,
    kept: Session | None = None,
) -> SyncReport:
    """Bring sweeps to targets. The logins are opened while the sweeps are looked at.

    Ctrl-C (KeyboardInterrupt in this thread) ends the workers; the report then says what had arrived.

    Args:
        loaded: The configuration.
        request: What is wanted.
        runner: Starts the processes.
        reporter: Told what happens.
        meanwhile: Called in this thread while targets are waited for; whatever can be got ready then.
        kept: What is kept for the next such call; by default nothing.

    Raises:
        UsageError: A sweep does not exist, or nothing is left to be brought; nothing was started.
        ConfigError: What the file says of a sweep is not right with the rest; nothing was started.
    """
    kept = kept or Session()
    source = find_source(loaded, kept.source, request.sweeps)
    settings = {
        (name, sweep.id): resolve_for_sweep(loaded.layers, name, sweep.id, target)
        for name, target in request.targets.items()
        for sweep in source.sweeps
    }
    work = _Push(source, request, settings, runner, reporter, kept)
    reports = serve_targets(list(request.targets), work.serve, read=work.read, runner=runner, meanwhile=meanwhile)
    by_sweep = [
        SweepReport(sweep.id, tuple(reports[name][index] for name in request.targets))
        for index, sweep in enumerate(source.sweeps)
    ]
    return SyncReport("sync to", "push", request.is_dry_run, tuple(by_sweep))


class _Push:
    """What serving each target shares."""

    def __init__(
        self,
        source: ProjectSource,
        request: SyncRequest,
        settings: Mapping[tuple[str, str], TargetSettings],
        runner: Runner,
        reporter: Reporter,
        kept: Session,
    ) -> None:
        self._source = source
        self._request = request
        self._settings = settings
        self._options = {key: make_options(key[0], found, request) for key, found in settings.items()}
        self._runner = runner
        self._reporter = reporter
        self._kept = kept
        self._source_id = "" if request.is_dry_run else load_source_id(source.project)
        self._runs = {name: self._read_known_runs(name) for name in request.targets}
        self._at_rest = self._make_at_rest()

    def _read_known_runs(self, name: str) -> tuple[str, ...]:
        """The runs of the first sweep that the journal of a target knows, for a call that asks early."""
        if not self._kept.asks_early:
            return ()
        return read_known_runs(ProjectFolder(self._source.project).journal(name, self._source.sweeps[0].id))

    def _make_at_rest(self) -> AtRest | None:
        """What may save looking at every file of a large sweep; None where each must be looked at."""
        request, source = self._request, self._source
        n_runs = min(map(len, self._runs.values()), default=0)
        if len(source.sweeps) != 1 or n_runs < LEAST_RUNS:
            return None
        if request.is_dry_run or request.lists_files or request.breaks_lock or request.choice != RunChoice():
            return None
        sweep = source.sweeps[0]
        settings = {name: self._settings[name, sweep.id] for name in request.targets}
        if request.does_after_sync and any(found.after_sync for found in settings.values()):
            return None
        options = [request.all_versions, request.overwrite, sorted(request.allowed), sorted(request.roots)]
        asked = [sweep.id, self._source_id, sorted(source.missing), describe_sweeps(source.known), options]
        return AtRest(
            {name: ProjectFolder(source.project).journal(name, sweep.id) for name in settings},
            {name: [found.model_dump(mode="json"), asked] for name, found in settings.items()},
            source.layout,
            sweep,
        )

    def read(self) -> Inventories | None:
        """Read what the source has of every sweep; None where nothing has changed, neither here nor at any target."""
        source = self._source
        if self._at_rest is not None:
            if self._at_rest.is_at_rest():
                return None
            source = replace(source, endpoint=self._at_rest.source)
        options = self._options.values()
        return read_inventories(
            source,
            depths=[option.max_depth for option in options],
            roots={root for option in options for root in option.roots},
            with_versions=any(option.plan.latest_only for option in options),
            saves_cache=not self._request.is_dry_run,
        )

    def serve(self, name: str, found: Future[Inventories | None]) -> list[TargetReport]:
        """Bring every sweep to one target: one report per sweep, whatever happens."""
        stopwatch = Stopwatch(name, self._reporter)
        try:
            with self._kept.use(name, lambda: self._connect(name)) as connection:
                return self._serve(connection, found, stopwatch)
        except HsmError as error:
            return self._end_all(make_failed_report(name, error, stopwatch.seconds))
        except CommandStoppedError:
            return self._end_all(_make_interrupted(name))
        finally:
            if self._at_rest is not None:
                self._at_rest.leave(name)

    def _connect(self, name: str) -> Connection:
        request = self._request
        return connect(
            name,
            request.targets[name],
            self._runner,
            self._reporter,
            layout=self._source.layout,
            pauses_seconds=request.pauses_seconds,
            allowed=request.allowed,
        )

    def _serve(
        self, connection: Connection, found: Future[Inventories | None], stopwatch: Stopwatch
    ) -> list[TargetReport]:
        name = connection.name
        with stopwatch.step("login"):
            connection.login(may_ask=self._request.may_ask)
        early = whole = self._begin_check(connection)
        books = self._make_books(connection)
        with stopwatch.step("scan"):
            inventories = found.result()
        if inventories is None:
            return [self._report_rest(connection, books, stopwatch)]
        reports: list[TargetReport] = []
        for sweep in self._source.sweeps:
            if reports and reports[-1].state is State.INTERRUPTED:
                reports.append(_make_interrupted(name))
                continue
            inventory = inventories[sweep.id, self._options[name, sweep.id].max_depth]
            reports.append(self._serve_sweep(connection, inventory, books, stopwatch, early))
            stopwatch, early = Stopwatch(name, self._reporter), None
        if self._at_rest is not None and whole is not None:
            self._at_rest.note(reports[0], whole.get_digest())
        return reports

    def _report_rest(self, connection: Connection, books: Books, stopwatch: Stopwatch) -> TargetReport:
        if self._at_rest is None:
            raise AssertionError("only what is at rest is not read")
        name, notices = connection.name, connection.list_notices()
        with Ledger(books, self._source.sweeps[0].id).hold():
            report = self._at_rest.make_report(name, stopwatch.seconds, notices=notices)
        self._reporter.report(TargetEnded(name, report.state.value))
        return report

    def _begin_check(self, connection: Connection) -> EarlySurvey | None:
        """Begin to look at what the journal knows of the first sweep at a target, while the source is read."""
        name, sweep = connection.name, self._source.sweeps[0].id
        runs = self._runs[name]
        if connection.is_folder or not runs:
            self._tell(name, "")
            return None
        options = self._options[name, sweep]
        configured = get_roots(self._settings[name, sweep])
        return begin_check(
            connection.endpoint,
            configured,
            sweep,
            runs,
            roots=options.roots,
            max_depth=options.max_depth,
            known=self._at_rest.get_known(name) if self._at_rest is not None else "",
            tell=partial(self._tell, name),
        )

    def _tell(self, name: str, digest: str) -> None:
        """Tell the thread that reads here what a target said, which may save it the reading."""
        if self._at_rest is not None:
            self._at_rest.tell(name, digest)

    def _serve_sweep(
        self,
        connection: Connection,
        inventory: SweepInventory,
        books: Books,
        stopwatch: Stopwatch,
        early: EarlySurvey | None,
    ) -> TargetReport:
        name = connection.name
        unchanged = self._kept.find_unchanged(name, inventory)
        if unchanged is not None:
            return unchanged
        settings = self._settings[name, inventory.sweep]
        books = replace(books, route=make_route(settings, direction="push"))
        ends = make_push_ends(connection, settings, source=self._source.endpoint, runner=self._runner)
        ends = replace(ends, early=early)
        if settings.after_sync and self._request.does_after_sync:
            ends = replace(ends, after=self._make_after(connection, settings, inventory.sweep, stopwatch))
        report = exchange(
            ends,
            inventory,
            self._options[name, inventory.sweep],
            ledger=Ledger(books, inventory.sweep),
            reporter=self._reporter,
            stopwatch=stopwatch,
        )
        self._kept.note(name, inventory, report)
        return report

    def _make_after(
        self, connection: Connection, settings: TargetSettings, sweep: str, stopwatch: Stopwatch
    ) -> Callable[[TargetReport], TargetReport]:
        from hsm.sync.after.steps import AfterSync  # noqa: PLC0415 - few targets have it

        return AfterSync(
            settings,
            sweep,
            self._source_id,
            connection,
            self._source.endpoint,
            self._runner,
            stopwatch,
            self._reporter,
            owed=self._kept.find_owed(connection.name, sweep),
            breaks_lock=self._request.breaks_lock,
        )

    def _make_books(self, connection: Connection) -> Books:
        return Books(
            project=self._source.project,
            target=connection.name,
            route=make_route(self._request.targets[connection.name], direction="push"),
            source=Sender(self._source_id, socket.gethostname(), str(self._source.project)),
            make_guard=connection.make_guard,
            breaks_lock=self._request.breaks_lock,
        )

    def _end_all(self, report: TargetReport) -> list[TargetReport]:
        """The same report for every sweep."""
        self._reporter.report(TargetEnded(report.name, report.state.value))
        return [report for _ in self._source.sweeps]


def _make_interrupted(name: str) -> TargetReport:
    return TargetReport(name, State.INTERRUPTED, ExitCode.INTERRUPTED)
