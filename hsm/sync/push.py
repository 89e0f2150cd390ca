"""`hsm sync to`: sweeps of this project go to targets, several at the same time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from hsm.config.load import LoadedConfig
from hsm.config.schema import SyncOptions, TargetSettings
from hsm.discover.index import load_index, save_index
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Layout, SweepFolder, find_sweep, list_sweeps
from hsm.endpoint import Endpoint
from hsm.errors import ExitCode, HsmError, UnreachableError, UsageError
from hsm.model import Inventory, Root
from hsm.plan.planner import PlanOptions
from hsm.progress import Reporter, TargetEnded, Waiting
from hsm.records.project import load_source_id
from hsm.records.receipt import Source
from hsm.remote.command import CommandStoppedError, Runner
from hsm.remote.local import LocalEndpoint
from hsm.remote.openssh import OpenSsh
from hsm.sync.connect import make_push_ends, make_route
from hsm.sync.exchange import ExchangeOptions, Stopwatch, exchange, make_failure
from hsm.sync.ledger import Books, Ledger
from hsm.sync.report import State, SweepReport, SyncReport, TargetReport


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


_Inventories = Mapping[tuple[str, int | None], Inventory]


def make_layout(loaded: LoadedConfig) -> Layout:
    """Where the project's sweeps and runs lie on this machine."""
    project = loaded.project
    source = loaded.config.source
    return Layout(str(project), str(project / source.sweeps), str(project / source.wandb))


def push(loaded: LoadedConfig, request: PushRequest, *, runner: Runner, reporter: Reporter) -> SyncReport:
    """Bring sweeps to targets. The logins are opened while the sweeps are looked at.

    Ctrl-C (KeyboardInterrupt in this thread) ends the workers; the report then says what had arrived.

    Raises:
        UsageError: A sweep does not exist, or nothing is left to be brought; nothing was started.
    """
    source = LocalEndpoint()
    layout = make_layout(loaded)
    known = list_sweeps(source, layout)
    sweeps = list(dict.fromkeys(find_sweep(known, word) for word in request.sweeps))
    options = {name: _make_options(name, settings, request) for name, settings in request.targets.items()}
    work = _Push(loaded, request, source, sweeps, options, runner, reporter)
    found: Future[_Inventories] = Future()
    with ThreadPoolExecutor(max(1, len(request.targets)), thread_name_prefix="hsm-target") as executor:
        futures = {name: executor.submit(work.serve, name, found) for name in request.targets}
        try:
            found.set_result(work.read_inventories(layout, known))
            reports = {name: future.result() for name, future in futures.items()}
        except KeyboardInterrupt:
            reports = _interrupt(runner, found, futures)
        except BaseException as error:
            runner.stop()
            found.set_exception(error)
            raise
    by_sweep = [
        SweepReport(sweep.id, tuple(reports[name][index] for name in request.targets))
        for index, sweep in enumerate(sweeps)
    ]
    return SyncReport("sync to", "push", request.is_dry_run, tuple(by_sweep))


def _interrupt(
    runner: Runner, found: Future[_Inventories], futures: Mapping[str, Future[list[TargetReport]]]
) -> dict[str, list[TargetReport]]:
    """End the workers and let every target tidy up; a second Ctrl-C ends that too."""
    try:
        runner.interrupt()
        if not found.done():
            found.set_exception(CommandStoppedError())
        return {name: future.result() for name, future in futures.items()}
    except KeyboardInterrupt:
        runner.stop()
        return {name: future.result() for name, future in futures.items()}


class _Push:
    """What serving each target shares."""

    def __init__(
        self,
        loaded: LoadedConfig,
        request: PushRequest,
        source: Endpoint,
        sweeps: Sequence[SweepFolder],
        options: Mapping[str, ExchangeOptions],
        runner: Runner,
        reporter: Reporter,
    ) -> None:
        self._project = loaded.project
        self._request = request
        self._source = source
        self._sweeps = sweeps
        self._options = options
        self._runner = runner
        self._reporter = reporter

    def read_inventories(self, layout: Layout, known: Sequence[SweepFolder]) -> _Inventories:
        """Read what the source has of every sweep, for every depth that a target asks for."""
        path = self._project / ".hsm" / "cache" / "runs.json"
        index, notices = load_index(path)
        options = list(self._options.values())
        wanted = {root for option in options for root in option.roots}
        inventories = {
            (sweep.id, max_depth): read_inventory(
                self._source,
                layout,
                sweep,
                max_depth=max_depth,
                index=index,
                known_sweeps=frozenset(sweep.id for sweep in known),
                include_sweep=Root.SWEEPS in wanted,
                include_runs=Root.WANDB in wanted,
                include_versions=any(option.plan.latest_only for option in options),
            )
            for sweep in self._sweeps
            for max_depth in {option.max_depth for option in options}
        }
        if not self._request.is_dry_run:
            notices += save_index(index, path)
        return {
            key: replace(inventory, problems=(*notices, *inventory.problems)) for key, inventory in inventories.items()
        }

    def serve(self, name: str, found: Future[_Inventories]) -> list[TargetReport]:
        """Bring every sweep to one target: one report per sweep, whatever happens."""
        stopwatch = Stopwatch(name, self._reporter)
        ssh = OpenSsh(name, self._request.targets[name], self._runner, on_wait=self._make_waiting_note(name))
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
        for sweep in self._sweeps:
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
        ends = make_push_ends(name, settings, source=self._source, ssh=ssh, runner=self._runner)
        return exchange(
            ends,
            inventory,
            self._options[name],
            ledger=Ledger(books, inventory.sweep),
            reporter=self._reporter,
            stopwatch=stopwatch,
        )

    def _make_books(self, name: str, ssh: OpenSsh) -> Books:
        source_id = "" if self._request.is_dry_run else load_source_id(self._project)
        return Books(
            project=self._project,
            target=name,
            route=make_route(self._request.targets[name], direction="push"),
            source=Source(source_id, socket.gethostname(), str(self._project)),
            shell=ssh,
            breaks_lock=self._request.breaks_lock,
        )

    def _make_waiting_note(self, name: str) -> Callable[[float, UnreachableError], None]:
        def note(seconds: float, error: UnreachableError) -> None:
            self._reporter.report(Waiting(name, seconds, error.message))

        return note

    def _end_all(self, report: TargetReport) -> list[TargetReport]:
        """The same report for every sweep."""
        self._reporter.report(TargetEnded(report.name, report.state.value))
        return [report for _ in self._sweeps]


def _make_interrupted(name: str) -> TargetReport:
    return TargetReport(name, State.INTERRUPTED, ExitCode.INTERRUPTED)


def _make_options(name: str, settings: TargetSettings, request: PushRequest) -> ExchangeOptions:
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
        is_checked=options.check_remote_first,
        overwrite=request.overwrite,
    )
    return ExchangeOptions(
        plan=plan,
        max_depth=options.max_depth,
        n_workers=options.parallel_transfers,
        roots=roots,
        allowed=request.allowed,
        is_dry_run=request.is_dry_run,
    )


def _is_wanted(root: Root, options: SyncOptions) -> bool:
    return options.sync_sweep_metadata if root is Root.SWEEPS else options.sync_wandb_runs
