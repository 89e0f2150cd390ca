"""`hsm sync verify`: compares by checksum what counts of a sweep here with what lies at its targets.

It repairs nothing: a difference under the same size and time means a damaged disk or an edited file, and which end is
right is for a person to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from hsm.config.loaded import LoadedConfig, resolve_for_sweep
from hsm.config.settings import TargetSettings
from hsm.errors import ExitCode, HsmError
from hsm.model import CONFLICT, FileKey, Root, SweepInventory, SyncPlan
from hsm.plan.choice import RunChoice, choose
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.planner import make_plan, select
from hsm.plan.symlinks.folder_links import list_followed
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter, StepStarted, TargetEnded, WordUnderstood
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned_runs import find_cleaned_runs
from hsm.records.file_systems import load_file_systems
from hsm.records.journal import load_journal, make_route
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.options import ExchangeOptions, make_options
from hsm.sync.bring.session import Session
from hsm.sync.bring.survey import DestinationState, survey_destination
from hsm.sync.cleaned_jobs import find_cleaned_jobs
from hsm.sync.request import SyncRequest
from hsm.sync.source import Inventories, check_choice, find_source, read_inventories
from hsm.sync.target_threads import serve_targets
from hsm.sync.verify.cleaned import CleanedVerdict, verify_cleaned
from hsm.sync.verify.comparison import Presence, count_skipped, find_gone, find_only_there, find_presence, make_fold
from hsm.sync.verify.report import VerifyReport, VerifyVerdict
from hsm.targets.apart import ApartEndpoint
from hsm.targets.connect import connect
from hsm.targets.contract import Connection, check_project_root, get_roots
from hsm.transfer.proof import compare_content


def verify(
    loaded: LoadedConfig,
    words: Sequence[str],
    targets: Mapping[str, TargetSettings],
    *,
    runner: Runner,
    reporter: Reporter,
    may_ask: bool = False,
    choice: RunChoice | None = None,
    session: Session | None = None,
) -> VerifyReport:
    """Compare sweeps with their targets. Changes nothing at either end, and needs no lock.

    Args:
        loaded: The configuration.
        words: Sweeps as typed.
        targets: By name.
        runner: Starts the processes.
        reporter: Told what happens.
        may_ask: ssh may ask in this terminal.
        choice: Runs, and files of them, that are compared; None for all.
        session: Opens the connections; by default each is closed after its use.

    Raises:
        UsageError: A sweep does not exist.
    """
    request = SyncRequest(tuple(words), targets, is_dry_run=True, may_ask=may_ask, choice=choice or RunChoice())
    work = _Verify(loaded, request, runner, reporter, session or Session())
    verdicts = serve_targets(list(targets), work.serve, read=work.read, runner=runner)
    return VerifyReport(
        {sweep.id: tuple(verdicts[name][index] for name in targets) for index, sweep in enumerate(work.source.sweeps)}
    )


class _Verify:
    def __init__(
        self, loaded: LoadedConfig, request: SyncRequest, runner: Runner, reporter: Reporter, session: Session
    ) -> None:
        self.source = find_source(loaded, LocalEndpoint(), request.sweeps, fresh=True)
        for said in self.source.said:
            reporter.report(WordUnderstood(said))
        self._request = request
        self._runner = runner
        self._reporter = reporter
        self._session = session
        self._settings = {
            (name, sweep.id): resolve_for_sweep(loaded, name, sweep.id, target)
            for name, target in request.targets.items()
            for sweep in self.source.sweeps
        }
        only = self.source.only
        self._options = {
            key: make_options(key[0], found, request, only=only.get(key[1], frozenset()))
            for key, found in self._settings.items()
        }

    def read(self) -> Inventories:
        """Read everything that the source has of every sweep."""
        inventories = read_inventories(
            self.source,
            depths=[options.max_depth for options in self._options.values()],
            roots=tuple(Root),
            with_versions=True,
            saves_cache=False,
            follow=list_followed([options.folder_links for options in self._options.values()]),
        )
        check_choice(self._request.choice, inventories.values())
        return inventories

    def serve(self, name: str, found: Future[Inventories]) -> list[VerifyVerdict]:
        """Compare every sweep with one target: one verdict per sweep, also where it fails."""
        try:
            with self._session.use(name, lambda: self._connect(name)) as connection:
                self._reporter.report(StepStarted(name, "login"))
                connection.login(may_ask=self._request.may_ask)
                inventories = found.result()
                verdicts = [
                    self._verify_sweep(connection, inventories[sweep.id, self._options[name, sweep.id].max_depth])
                    for sweep in self.source.sweeps
                ]
        except HsmError as error:
            return [VerifyVerdict(name, error.exit_code, error)] * len(self.source.sweeps)
        except CommandStoppedError:
            return [VerifyVerdict(name, ExitCode.INTERRUPTED)] * len(self.source.sweeps)
        self._reporter.report(TargetEnded(name, "verified"))
        return verdicts

    def _connect(self, name: str) -> Connection:
        settings = self._request.targets[name]
        return connect(name, settings, self._runner, self._reporter, layout=self.source.layout)

    def _verify_sweep(self, connection: Connection, inventory: SweepInventory) -> VerifyVerdict:
        try:
            options = self._options[connection.name, inventory.sweep]
            wanted = select(inventory, options.roots, folder_links=options.folder_links)
            return self._compare(connection, wanted, options)
        except HsmError as error:
            return VerifyVerdict(connection.name, error.exit_code, error, problems=inventory.problems)
        except CommandStoppedError:
            return VerifyVerdict(connection.name, ExitCode.INTERRUPTED)

    def _compare(self, connection: Connection, inventory: SweepInventory, options: ExchangeOptions) -> VerifyVerdict:
        known = self._read_known(connection.name, inventory.sweep, options.roots)
        there = self._survey(connection, inventory, options)
        record = ProjectFolder(self.source.project).file_systems(connection.name)
        file_systems = load_file_systems(record).find(there.destination)
        plan = _make_plan(inventory, there, options, file_systems)
        fold = make_fold(file_systems)
        presence = find_presence(plan, there.destination, fold)
        different, missing = self._read_content(connection, there, presence, options.n_workers)
        gone = self._verify_gone(connection, there.roots, inventory, known)
        n_equal = len(presence.there) - len(different) - len(missing) + gone.n_equal
        different |= presence.different | gone.different
        missing |= presence.missing | gone.missing
        # A conflict is told by its content here, not by its times.
        problems = (*(p for p in plan.problems if p.kind != CONFLICT), *find_gone(plan, known - gone.units))
        has_failed = missing or different or any(problem.is_failure for problem in problems)
        return VerifyVerdict(
            target=connection.name,
            exit_code=ExitCode.PARTIAL if has_failed else ExitCode.DONE,
            n_equal=n_equal,
            different=_sort_paths(different),
            missing=_sort_paths(missing),
            only_there=_sort_paths(find_only_there(plan, there.destination, fold) - gone.paths),
            left=count_skipped(plan),
            problems=problems,
        )

    def _survey(self, connection: Connection, inventory: SweepInventory, options: ExchangeOptions) -> DestinationState:
        settings = self._settings[connection.name, inventory.sweep]
        check_project_root(connection.name, settings, inventory.kind, inventory.place)
        roots, own = get_roots(settings, inventory.kind), settings.paths.sweeps
        self._reporter.report(StepStarted(connection.name, "check"))
        connection.check_roots(roots)
        end = ApartEndpoint(connection.endpoint, roots, self.source.layout, own=own)
        return survey_destination(end, roots, inventory, roots=options.roots, max_depth=options.max_depth, own=own)

    def _read_content(
        self, connection: Connection, there: DestinationState, presence: Presence, n_workers: int
    ) -> tuple[set[FileKey], set[FileKey]]:
        """Compare the content of the files that are there; returns those that differ, and those gone meanwhile."""
        if not presence.there:
            return set(), set()
        self._reporter.report(StepStarted(connection.name, "verify"))
        engine = connection.make_engine(there.roots, workspace="", update_only=False)
        answer = compare_content(engine, presence.there, n_workers=n_workers)
        return set(answer.different), set(answer.missing)

    def _read_known(self, name: str, sweep: str, roots: Collection[Root]) -> frozenset[str]:
        """Read the runs that the journal knows at a target, the sweep's folder under its empty name."""
        path = ProjectFolder(self.source.project).journal(name, sweep)
        route = make_route(self._settings[name, sweep], direction="push")
        journal, _ = load_journal(path, route, sets_aside=False)
        known = (run for run, record in journal.runs.items() if record.n_files)
        return frozenset(run for run in known if (Root.WANDB if run else Root.SWEEPS) in roots)

    def _verify_gone(
        self, connection: Connection, roots: Mapping[Root, str], inventory: SweepInventory, known: Collection[str]
    ) -> CleanedVerdict:
        """Compare what a clean removed here with its record."""
        sweep = inventory.sweep
        wanted = {*known} - {run.name for run in inventory.runs} - {file.run for file in inventory.files}
        cleaned = find_cleaned_runs(self.source.project, sweep, wanted, skips_denied=True) if wanted else {}
        units = {name: unit for name, unit in cleaned.items() if name in wanted}
        jobs = find_cleaned_jobs(self.source.project, sweep, skips_denied=True) if inventory.has_jobs or units else ()
        if not units and not jobs:
            return CleanedVerdict()
        self._reporter.report(StepStarted(connection.name, "verify"))
        return verify_cleaned(connection.endpoint, connection.contents(), roots, inventory, units, jobs)


def _make_plan(
    inventory: SweepInventory,
    there: DestinationState,
    options: ExchangeOptions,
    file_systems: Mapping[Root, FileSystem],
) -> SyncPlan:
    """Plan everything as a push would, and then take out what is not chosen."""
    # All first: a choice that made the inventory smaller would call everything else "only there".
    plan_options = replace(options.plan, file_systems=file_systems, choice=RunChoice())
    return choose(make_plan(inventory, there.destination, plan_options), options.plan.choice, leaves_same=True)


def _sort_paths(keys: Collection[FileKey]) -> tuple[str, ...]:
    return tuple(path for _, path in sorted(keys))
