"""`hsm sync to`: sweeps of this project go to targets, several at the same time."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from hsm.config.load import LoadedConfig
from hsm.config.schema import SyncOptions, TargetSettings
from hsm.errors import ExitCode, HsmError, UsageError
from hsm.model import Inventory, Root
from hsm.plan.planner import PlanOptions
from hsm.progress import Reporter, TargetEnded
from hsm.records.project import load_source_id
from hsm.records.receipt import Sender
from hsm.remote.command import CommandStoppedError, Runner
from hsm.remote.local import LocalEndpoint
from hsm.remote.openssh import PAUSES_SECONDS, OpenSsh
from hsm.sync.connect import make_push_ends, make_route, make_ssh
from hsm.sync.exchange import ExchangeOptions, Stopwatch, exchange, make_failure
from hsm.sync.ledger import Books, Ledger
from hsm.sync.report import State, SweepReport, SyncReport, TargetReport
from hsm.sync.serve import serve_targets
from hsm.sync.source import Inventories, Source, find_source, read_inventories


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What the command line asks for.

    Attributes:
        sweeps: As typed: ids, unambiguous prefixes, `latest`.
        targets: By name, in the order asked for.
        is_dry_run: Plan only.
        roots: Which of the two folders (`--sweep-only`, `--wandb-only`).
        all_versions: Send superseded versions too.
        overwrite: Send what is newer at the target too.
        allowed: Safety checks that are waived.
        may_ask: ssh may ask in this terminal.
        breaks_lock: Take the locks of a sweep whoever holds them.
        pauses_seconds: Before each further try after a dropped connection.
    """

    sweeps: tuple[str, ...]
    targets: Mapping[str, TargetSettings]
    is_dry_run: bool = False
    roots: tuple[Root, ...] = tuple(Root)
    all_versions: bool = False
    overwrite: bool = False
    allowed: frozenset[str] = field(default_factory=frozenset)
    may_ask: bool = False
    breaks_lock: bool = False
    pauses_seconds: tuple[float, ...] = PAUSES_SECONDS


def push(loaded: LoadedConfig, request: PushRequest, *, runner: Runner, reporter: Reporter) -> SyncReport:
    """Bring sweeps to targets. The logins are opened while the sweeps are looked at.

    Ctrl-C (KeyboardInterrupt in this thread) ends the workers; the report then says what had arrived.

    Raises:
        UsageError: A sweep does not exist, or nothing is left to be brought; nothing was started.
    """
    source = find_source(loaded, LocalEndpoint(), request.sweeps)
    options = {name: make_options(name, settings, request) for name, settings in request.targets.items()}
    work = _Push(source, request, options, runner, reporter)
    reports = serve_targets(list(request.targets), work.serve, read=work.read, runner=runner)
    by_sweep = [
        SweepReport(sweep.id, tuple(reports[name][index] for name in request.targets))
        for index, sweep in enumerate(source.sweeps)
    ]
    return SyncReport("sync to", "push", request.is_dry_run, tuple(by_sweep))


class _Push:
    """What serving each target shares."""

    def __init__(
        self,
        source: Source,
        request: PushRequest,
        options: Mapping[str, ExchangeOptions],
        runner: Runner,
        reporter: Reporter,
    ) -> None:
        self._source = source
        self._request = request
        self._options = options
        self._runner = runner
        self._reporter = reporter
        self._source_id = "" if request.is_dry_run else load_source_id(source.project)

    def read(self) -> Inventories:
        """Read what the source has of every sweep."""
        options = self._options.values()
        return read_inventories(
            self._source,
            depths=[option.max_depth for option in options],
            roots={root for option in options for root in option.roots},
            with_versions=any(option.plan.latest_only for option in options),
            saves_cache=not self._request.is_dry_run,
        )

    def serve(self, name: str, found: Future[Inventories]) -> list[TargetReport]:
        """Bring every sweep to one target: one report per sweep, whatever happens."""
        stopwatch = Stopwatch(name, self._reporter)
        request = self._request
        ssh = make_ssh(name, request.targets[name], self._runner, self._reporter, pauses_seconds=request.pauses_seconds)
        try:
            with stopwatch.step("login"):
                ssh.login(may_ask=self._request.may_ask)
            with stopwatch.step("scan"):
                inventories = found.result()
            books = self._make_books(name, ssh)
        except HsmError as error:
            return self._end_all(make_failure(name, error, stopwatch.seconds))
        except CommandStoppedError:
            return self._end_all(_make_interrupted(name))
        reports: list[TargetReport] = []
        for sweep in self._source.sweeps:
            if reports and reports[-1].state is State.INTERRUPTED:
                reports.append(_make_interrupted(name))
                continue
            inventory = inventories[sweep.id, self._options[name].max_depth]
            reports.append(self._serve_sweep(name, ssh, inventory, books, stopwatch))
            stopwatch = Stopwatch(name, self._reporter)
        return reports

    def _serve_sweep(
        self, name: str, ssh: OpenSsh, inventory: Inventory, books: Books, stopwatch: Stopwatch
    ) -> TargetReport:
        settings = self._request.targets[name]
        ends = make_push_ends(name, settings, source=self._source.endpoint, ssh=ssh, runner=self._runner)
        return exchange(
            ends,
            inventory,
            self._options[name],
            ledger=Ledger(books, inventory.sweep),
            reporter=self._reporter,
            stopwatch=stopwatch,
        )

    def _make_books(self, name: str, ssh: OpenSsh) -> Books:
        return Books(
            project=self._source.project,
            target=name,
            route=make_route(self._request.targets[name], direction="push"),
            source=Sender(self._source_id, socket.gethostname(), str(self._source.project)),
            shell=ssh,
            breaks_lock=self._request.breaks_lock,
        )

    def _end_all(self, report: TargetReport) -> list[TargetReport]:
        """The same report for every sweep."""
        self._reporter.report(TargetEnded(report.name, report.state.value))
        return [report for _ in self._source.sweeps]


def _make_interrupted(name: str) -> TargetReport:
    return TargetReport(name, State.INTERRUPTED, ExitCode.INTERRUPTED)


def make_options(name: str, settings: TargetSettings, request: PushRequest) -> ExchangeOptions:
    """How a target's settings and a command line together want a sweep brought over.

    Raises:
        UsageError: Nothing is left to be brought.
    """
    options = settings.options
    roots = tuple(root for root in request.roots if _is_wanted(root, options))
    if not roots:
        raise UsageError(
            f"Nothing is left to be brought to {name}: its options switch off what the command asks for.",
            hint="See `sync_sweep_metadata` and `sync_wandb_runs` in `hsm sync list`.",
            kind="nothing_selected",
        )
    plan = PlanOptions(
        latest_only=False if request.all_versions else options.latest_only,
        exclude=options.exclude,
        secret_patterns=options.secret_patterns,
        is_checked=options.check_remote_first,
        overwrite=request.overwrite,
    )
    return ExchangeOptions(
        plan=plan,
        max_depth=options.max_depth,
        n_workers=options.parallel_transfers,
        roots=roots,
        allowed=request.allowed,
        secrets=settings.secrets,
        is_dry_run=request.is_dry_run,
    )


def _is_wanted(root: Root, options: SyncOptions) -> bool:
    return options.sync_sweep_metadata if root is Root.SWEEPS else options.sync_wandb_runs
