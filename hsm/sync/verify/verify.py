"""`hsm sync verify`: compares by checksum what counts of a sweep here with what lies at its targets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from hsm.config.load import LoadedConfig
from hsm.config.resolve import resolve_for_sweep
from hsm.config.schema import TargetSettings
from hsm.errors import ExitCode, HsmError
from hsm.model import EntryKind, FileKey, Problem, Reason, Root, SourceFile, SweepInventory, SyncPlan
from hsm.plan.choice import RunChoice, choose
from hsm.plan.collisions import fold_name, folds_names
from hsm.plan.destination import Destination
from hsm.plan.planner import make_plan
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter, StepStarted, TargetEnded
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import find_cleaned
from hsm.records.journal import load_journal
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.exchange import Ends, make_push_ends
from hsm.sync.bring.options import ExchangeOptions, make_options
from hsm.sync.bring.survey import check_destination
from hsm.sync.reports import make_error_document, make_problem_document, merge_exit_codes
from hsm.sync.request import SyncRequest
from hsm.sync.source import Inventories, ProjectSource, find_source, read_inventories
from hsm.sync.target_threads import serve_targets
from hsm.sync.verify.cleaned import CleanedVerdict, verify_cleaned
from hsm.targets.connect import Connection, connect
from hsm.targets.contents import make_contents
from hsm.targets.route import make_route
from hsm.transfer.base import Engine
from hsm.transfer.batches import make_batches

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class VerifyVerdict:
    """How one sweep at one target compares with its source.

    Attributes:
        target: The target's name.
        exit_code: 0 where all that counts is equal, 1 where something differs or is missing.
        error: Why it could not be told; None otherwise.
        n_equal: Files whose content is the same at both ends.
        different: Destination paths of files with another content or type there.
        missing: Destination paths of files that are not there.
        only_there: Destination paths of files that the source does not have.
        left: How many files do not count, by reason; they were not compared.
        problems: Found while looking at the source.
    """

    target: str
    exit_code: ExitCode
    error: HsmError | None = None
    n_equal: int = 0
    different: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    only_there: tuple[str, ...] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """A whole call: verdicts by sweep, in the order of targets."""

    sweeps: Mapping[str, tuple[VerifyVerdict, ...]]

    @property
    def exit_code(self) -> ExitCode:
        """The common code if all agree, else 1; 130 if anything was interrupted."""
        return merge_exit_codes(verdict.exit_code for verdicts in self.sweeps.values() for verdict in verdicts)


def verify(
    loaded: LoadedConfig,
    words: Sequence[str],
    targets: Mapping[str, TargetSettings],
    *,
    runner: Runner,
    reporter: Reporter,
    may_ask: bool = False,
    choice: RunChoice | None = None,
) -> VerifyReport:
    """Compare sweeps with their targets. Changes nothing at either end, and needs no lock.

    Args:
        loaded: The configuration.
        words: Sweeps as typed.
        targets: By name.
        runner: Starts the processes.
        reporter: Told what happens.
        may_ask: ssh may ask in this terminal.
        choice: Which runs, and which files of them, are compared; None for all.

    Raises:
        UsageError: A sweep does not exist.
    """
    source = find_source(loaded, LocalEndpoint(), words)
    request = SyncRequest(tuple(words), targets, is_dry_run=True, may_ask=may_ask, choice=choice or RunChoice())
    settings = {
        (name, sweep.id): resolve_for_sweep(loaded.layers, name, sweep.id, target)
        for name, target in targets.items()
        for sweep in source.sweeps
    }
    work = _Verify(source, request, settings, runner, reporter)
    verdicts = serve_targets(list(targets), work.serve, read=work.read, runner=runner)
    return VerifyReport(
        {sweep.id: tuple(verdicts[name][index] for name in targets) for index, sweep in enumerate(source.sweeps)}
    )


def make_verify_document(report: VerifyReport) -> dict[str, object]:
    """The report as JSON values (docs/SYNC.md)."""
    return {
        "schema": SCHEMA,
        "command": "sync verify",
        "direction": "push",
        "dry_run": False,
        "exit_code": int(report.exit_code),
        "error": None,
        "sweeps": [
            {"sweep": sweep, "targets": [_make_verdict_document(verdict) for verdict in verdicts]}
            for sweep, verdicts in report.sweeps.items()
        ],
    }


def _make_verdict_document(verdict: VerifyVerdict) -> dict[str, object]:
    return {
        "name": verdict.target,
        "exit_code": int(verdict.exit_code),
        "error": make_error_document(verdict.error),
        "equal": verdict.n_equal,
        "different": list(verdict.different),
        "missing": list(verdict.missing),
        "only_there": list(verdict.only_there),
        "left": dict(verdict.left),
        "problems": [make_problem_document(problem) for problem in verdict.problems],
    }


class _Verify:
    def __init__(
        self,
        source: ProjectSource,
        request: SyncRequest,
        settings: Mapping[tuple[str, str], TargetSettings],
        runner: Runner,
        reporter: Reporter,
    ) -> None:
        self._source = source
        self._request = request
        self._runner = runner
        self._reporter = reporter
        self._settings = settings
        self._options = {key: make_options(key[0], found, request) for key, found in settings.items()}

    def read(self) -> Inventories:
        return read_inventories(
            self._source,
            depths=[options.max_depth for options in self._options.values()],
            roots=tuple(Root),
            with_versions=True,
            saves_cache=False,
        )

    def serve(self, name: str, found: Future[Inventories]) -> list[VerifyVerdict]:
        settings = self._request.targets[name]
        try:
            connection = connect(name, settings, self._runner, self._reporter, layout=self._source.layout)
            self._reporter.report(StepStarted(name, "login"))
            connection.login(may_ask=self._request.may_ask)
            inventories = found.result()
        except HsmError as error:
            return [VerifyVerdict(name, error.exit_code, error)] * len(self._source.sweeps)
        except CommandStoppedError:
            return [VerifyVerdict(name, ExitCode.INTERRUPTED)] * len(self._source.sweeps)
        verdicts = []
        for sweep in self._source.sweeps:
            options = self._options[name, sweep.id]
            inventory = inventories[sweep.id, options.max_depth]
            verdicts.append(self._verify_sweep(connection, inventory, options))
        self._reporter.report(TargetEnded(name, "verified"))
        return verdicts

    def _make_ends(self, connection: Connection, sweep: str) -> Ends:
        settings = self._settings[connection.name, sweep]
        return make_push_ends(connection, settings, source=self._source.endpoint, runner=self._runner)

    def _read_known(self, name: str, sweep: str) -> frozenset[str]:
        """The runs that the journal knows at a target."""
        path = ProjectFolder(self._source.project).journal(name, sweep)
        route = make_route(self._settings[name, sweep], direction="push")
        journal, _ = load_journal(path, route, sets_aside=False)
        return frozenset(run for run, record in journal.runs.items() if record.n_files)

    def _verify_gone(
        self, connection: Connection, roots: Mapping[Root, str], inventory: SweepInventory, known: Collection[str]
    ) -> CleanedVerdict:
        """Compare what a clean removed here with its record."""
        sweep = inventory.sweep
        wanted = {*known} - {run.name for run in inventory.runs} - {file.run for file in inventory.files}
        units = {name: unit for name, unit in find_cleaned(self._source.project, sweep).items() if name in wanted}
        if not units:
            return CleanedVerdict()
        self._reporter.report(StepStarted(connection.name, "verify"))
        contents = make_contents(connection, self._runner)
        return verify_cleaned(connection.endpoint, contents, roots, sweep, units)

    def _verify_sweep(
        self, connection: Connection, inventory: SweepInventory, options: ExchangeOptions
    ) -> VerifyVerdict:
        ends = self._make_ends(connection, inventory.sweep)
        known = self._read_known(ends.name, inventory.sweep)
        try:
            self._reporter.report(StepStarted(ends.name, "check"))
            ends.check_roots(ends.roots)
            check = check_destination(
                ends.destination, ends.roots, inventory, roots=options.roots, max_depth=options.max_depth
            )
            fold = fold_name if folds_names(check.system) else str
            plan_options = replace(options.plan, folds_names=folds_names(check.system), choice=RunChoice())
            plan = choose(make_plan(inventory, check.destination, plan_options), options.plan.choice, leaves_same=True)
            there, missing, different = _sort_by_presence(plan, check.destination, fold)
            if there:
                self._reporter.report(StepStarted(ends.name, "verify"))
                engine = ends.make_engine(check.roots, sweep=plan.sweep, skips_newer=False)
                found_different, found_missing = _compare(engine, there, n_workers=options.n_workers)
                different |= found_different
                missing |= found_missing
            n_equal = len(there) - (len(found_different) + len(found_missing) if there else 0)
            gone = self._verify_gone(connection, check.roots, inventory, known)
            different |= gone.different
            missing |= gone.missing
        except HsmError as error:
            return VerifyVerdict(ends.name, error.exit_code, error, problems=inventory.problems)
        except CommandStoppedError:
            return VerifyVerdict(ends.name, ExitCode.INTERRUPTED)
        problems = (*(p for p in plan.problems if p.kind != "conflict"), *_find_gone(plan, known - gone.units))
        return VerifyVerdict(
            target=ends.name,
            exit_code=ExitCode.PARTIAL if missing or different or _has_failure(problems) else ExitCode.DONE,
            n_equal=n_equal + gone.n_equal,
            different=_sort_paths(different),
            missing=_sort_paths(missing),
            only_there=_sort_paths(_find_only_there(plan, check.destination, fold) - gone.paths),
            left=_count_left(plan),
            problems=problems,
        )


def _sort_by_presence(
    plan: SyncPlan, destination: Destination, fold: Callable[[str], str]
) -> tuple[list[SourceFile], set[FileKey], set[FileKey]]:
    """The files that count: those that lie there, those that are missing, those of another type there."""
    entries = {
        (root, fold(path)): entry for root, listed in destination.items() for path, entry in listed.entries.items()
    }
    there: list[SourceFile] = []
    missing: set[FileKey] = set()
    different: set[FileKey] = set()
    for item in plan.items:
        if not (item.reason.is_send or item.reason in (Reason.SAME, Reason.CONFLICT)):
            continue
        entry = entries.get((item.file.root, fold(item.file.path)))
        key = item.file.key
        if entry is None:
            missing.add(key)
        elif entry.kind is EntryKind.FILE:
            there.append(item.file)
        else:
            different.add(key)
    return there, missing, different


def _compare(engine: Engine, files: Sequence[SourceFile], *, n_workers: int) -> tuple[set[FileKey], set[FileKey]]:
    batches = make_batches(files, n_streams=n_workers, max_name_bytes=engine.capabilities.max_name_bytes)
    with ThreadPoolExecutor(min(n_workers, engine.capabilities.max_workers)) as executor:
        found = list(executor.map(engine.compare, batches))
    different = {(batch.root, path) for batch, answer in zip(batches, found, strict=True) for path in answer.different}
    missing = {(batch.root, path) for batch, answer in zip(batches, found, strict=True) for path in answer.missing}
    return different, missing


def _find_only_there(plan: SyncPlan, destination: Destination, fold: Callable[[str], str]) -> set[FileKey]:
    known = {(item.file.root, fold(item.file.path)) for item in plan.items}
    return {
        (root, path)
        for root, listed in destination.items()
        for path, entry in listed.entries.items()
        if entry.kind is not EntryKind.FOLDER and (root, fold(path)) not in known
    }


def _find_gone(plan: SyncPlan, known: Collection[str]) -> list[Problem]:
    """The runs that were proven there and are no longer here: they cannot be compared."""
    message = "It was proven there and is no longer here, so it was not compared."
    here = {run.name for run in plan.runs}
    return [Problem(name, "gone_here", message) for name in sorted(known) if name and name not in here]


def _has_failure(problems: Sequence[Problem]) -> bool:
    return any(problem.is_failure for problem in problems)


def _count_left(plan: SyncPlan) -> dict[str, int]:
    left = {"deeper": sum(plan.deeper.values())} if plan.deeper else {}
    for item in plan.items:
        if not (item.reason.is_send or item.reason in (Reason.SAME, Reason.CONFLICT)):
            left[item.reason.value] = left.get(item.reason.value, 0) + 1
    return left


def _sort_paths(keys: set[FileKey]) -> tuple[str, ...]:
    return tuple(path for _, path in sorted(keys))


def describe_verdicts(report: VerifyReport) -> list[str]:
    """The report as lines for people; paths are not escaped yet."""
    lines = []
    for sweep, verdicts in report.sweeps.items():
        for verdict in verdicts:
            lines.append(f"{sweep} at {verdict.target}: {_describe(verdict)}")
            for words, paths in (
                ("differs", verdict.different),
                ("is missing there", verdict.missing),
                ("is only there", verdict.only_there),
            ):
                lines += [f"  {path} {words}" for path in paths]
            lines += [f"  {problem.path}: {problem.message}" for problem in verdict.problems]
    return lines


def _describe(verdict: VerifyVerdict) -> str:
    if verdict.error is not None:
        hint = f" {verdict.error.hint}" if verdict.error.hint else ""
        return f"could not be verified. {verdict.error.message}{hint}"
    if verdict.exit_code is ExitCode.INTERRUPTED:
        return "interrupted, nothing is known."
    left = ", ".join(f"{n} {reason}" for reason, n in verdict.left.items())
    files = "1 file is" if verdict.n_equal == 1 else f"{verdict.n_equal:,} files are"
    words = f"{files} equal, by checksum of what was read from disk at both ends"
    if verdict.exit_code is not ExitCode.DONE:
        words = f"{words}; {len(verdict.different)} differ, {len(verdict.missing)} are missing there"
    return f"{words}{f'; not compared: {left}' if left else ''}."
