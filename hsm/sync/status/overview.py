"""`hsm sync list --sweeps`: the sweeps of this project, or of targets, each in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from hsm.config.load import LoadedConfig
from hsm.config.schema import TargetSettings
from hsm.discover.index import RunIndex, load_index, save_index
from hsm.discover.membership import Candidate, Membership, decide_membership, iter_sweep_names, make_run
from hsm.discover.results import is_own
from hsm.discover.run_logs import read_facts
from hsm.discover.sweeps import WANDB_NAMES, Layout, SweepFolder, SweepsFound, is_run_name, look_for_sweeps
from hsm.discover.wandb_runs import find_candidates
from hsm.endpoint import Endpoint, Listing, Survey, Tree
from hsm.errors import ExitCode, HsmError, TargetError
from hsm.model import Entry, EntryKind, Problem, RunState
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import SilentReporter
from hsm.project_folder import ProjectFolder
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.far_source import make_far_layout
from hsm.sync.reports import make_error_document, make_problem_document, merge_exit_codes
from hsm.sync.source import make_layout
from hsm.sync.target_threads import serve_targets
from hsm.targets.connect import connect
from hsm.wandb_log.facts import LogFacts

SCHEMA = 1
HERE = "here"


@dataclass(frozen=True, slots=True)
class SweepOverview:
    """One sweep in numbers.

    Attributes:
        id: Its id.
        states: How many of its runs are in each state.
        n_files: Of its folder and its runs.
        n_bytes: Of them.
        newest_ns: The newest time of any of them; 0 where there is none.
    """

    id: str
    states: Mapping[RunState, int] = field(default_factory=dict)
    n_files: int = 0
    n_bytes: int = 0
    newest_ns: int = 0


@dataclass(frozen=True, slots=True)
class PlaceOverview:
    """The sweeps at one place.

    Attributes:
        name: The target's, or `here`.
        sweeps: Oldest first.
        error: Why it could not be told; None otherwise.
        problems: Found while looking.
    """

    name: str
    sweeps: tuple[SweepOverview, ...] = ()
    error: HsmError | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Sum:
    n_files: int = 0
    n_bytes: int = 0
    newest_ns: int = 0

    def add(self, n_files: int, n_bytes: int, newest_ns: int) -> None:
        self.n_files += n_files
        self.n_bytes += n_bytes
        self.newest_ns = max(self.newest_ns, newest_ns)


def list_sweeps_here(loaded: LoadedConfig) -> PlaceOverview:
    """The sweeps of this project."""
    return _read_place(LocalEndpoint(), make_layout(loaded), ProjectFolder(loaded.project).runs_cache(), name=HERE)


def list_sweeps_at(
    loaded: LoadedConfig, targets: Mapping[str, TargetSettings], *, runner: Runner, may_ask: bool
) -> tuple[PlaceOverview, ...]:
    """The sweeps that lie at targets, all looked at at the same time. Changes nothing there.

    Args:
        loaded: The project's configuration.
        targets: By name.
        runner: Starts the processes.
        may_ask: ssh may ask in this terminal.
    """

    def serve(name: str, _: Future[None]) -> PlaceOverview:
        try:
            connection = connect(name, targets[name], runner, SilentReporter(), layout=make_layout(loaded))
            with connection.keep_open():
                connection.login(may_ask=may_ask)
                layout = make_far_layout(targets[name])
                cache = ProjectFolder(loaded.project).runs_cache(name)
                return _read_place(connection.endpoint, layout, cache, name=name)
        except HsmError as error:
            return PlaceOverview(name, error=error)

    try:
        places = serve_targets(list(targets), serve, read=lambda: None, runner=runner)
    except CommandStoppedError as error:
        raise KeyboardInterrupt from error
    return tuple(places[name] for name in targets)


def make_overview_document(places: Iterable[PlaceOverview]) -> dict[str, object]:
    """The answer as JSON values."""
    places = list(places)
    codes = [place.error.exit_code if place.error is not None else ExitCode.DONE for place in places]
    return {
        "schema": SCHEMA,
        "command": "sync list",
        "exit_code": int(merge_exit_codes(codes)),
        "error": None,
        "places": [
            {
                "name": place.name,
                "error": make_error_document(place.error),
                "sweeps": [_make_sweep_document(sweep) for sweep in place.sweeps],
                "problems": [make_problem_document(problem) for problem in place.problems],
            }
            for place in places
        ],
    }


def format_time(time_ns: int) -> str:
    """A time as ISO 8601 in UTC; empty for 0."""
    if not time_ns:
        return ""
    return datetime.fromtimestamp(time_ns // 10**9, timezone.utc).isoformat(timespec="seconds")


def _make_sweep_document(sweep: SweepOverview) -> dict[str, object]:
    return {
        "sweep": sweep.id,
        "runs": {
            "total": sum(sweep.states.values()),
            **{state.value: sweep.states.get(state, 0) for state in RunState},
        },
        "files": sweep.n_files,
        "bytes": sweep.n_bytes,
        "newest": format_time(sweep.newest_ns) or None,
    }


def _read_place(endpoint: Endpoint, layout: Layout, cache: Path, *, name: str) -> PlaceOverview:
    found = look_for_sweeps(endpoint, layout)
    if len(found.missing) == 2 and name != HERE:
        raise TargetError(
            f"At {name} there is neither {found.layout.sweeps} nor {found.layout.wandb}.",
            hint="Mount them there, or correct `paths`.",
            kind="source_missing",
        )
    index, notices = load_index(cache)
    folders = [sweep for sweep in found.sweeps if sweep.path]
    survey = endpoint.survey([*(Tree(sweep.path) for sweep in folders), Tree(found.layout.wandb)])
    sweeps = _Reading(endpoint, found, survey, index).read(folders)
    return PlaceOverview(name, tuple(sweeps), problems=(*notices, *save_index(index, cache)))


class _Reading:
    """Makes overviews of all sweeps out of one survey, and the logs that the cache does not know."""

    def __init__(self, endpoint: Endpoint, found: SweepsFound, survey: Survey, index: RunIndex) -> None:
        self._endpoint = endpoint
        self._found = found
        self._survey = survey
        self._index = index
        self._wandb = survey.listings[-1]
        self._runs: dict[str, _Sum] = {}

    def read(self, folders: list[SweepFolder]) -> Iterator[SweepOverview]:
        listings = {sweep.path: listing for sweep, listing in zip(folders, self._survey.listings, strict=False)}
        own = {
            sweep.path: self._sum_up(listing, is_sweep=True)
            for sweep, listing in zip(folders, listings.values(), strict=True)
        }
        self._sum_up(self._wandb, is_sweep=False)
        shared, inside = self._find_candidates(listings)
        everything = [*shared, *(candidate for found in inside.values() for candidate in found)]
        facts = read_facts(self._endpoint, everything, index=self._index)
        known = {sweep.id for sweep in self._found.sweeps}
        members = self._sort_members(shared, inside, facts, known)
        for sweep in self._found.sweeps:
            whole = own.get(sweep.path, _Sum())
            states: Counter[RunState] = Counter()
            for candidate in members.get(sweep.id, {}).values():
                run = self._runs.get(candidate.path, _Sum())
                whole.add(run.n_files, run.n_bytes, run.newest_ns)
                now_ns = self._survey.machine.clock_ns
                states[make_run(candidate, facts[candidate.path], newest_ns=run.newest_ns, now_ns=now_ns).state] += 1
            yield SweepOverview(sweep.id, states, whole.n_files, whole.n_bytes, whole.newest_ns)

    def _sum_up(self, listing: Listing, *, is_sweep: bool) -> _Sum:
        """Add up the files of each run folder, and in a sweep folder those of no run."""
        rest = _Sum()
        for entry in listing.entries:
            if entry.kind is not EntryKind.FILE:
                continue
            parts = entry.path.split("/")
            depth = next((depth for depth, part in enumerate(parts[:-1]) if is_run_name(part)), None)
            if depth is not None and (not is_sweep or (depth and parts[depth - 1] in WANDB_NAMES)):
                path = "/".join([listing.base, *parts[: depth + 1]])
                self._runs.setdefault(path, _Sum()).add(1, entry.size, entry.mtime_ns)
            elif not is_own(parts) and WANDB_NAMES.isdisjoint(parts[:-1]):
                rest.add(1, entry.size, entry.mtime_ns)
        return rest

    def _find_candidates(
        self, listings: Mapping[str, Listing]
    ) -> tuple[tuple[Candidate, ...], dict[str, tuple[Candidate, ...]]]:
        """The run folders that lie where all sweeps' do, and those that lie with one sweep."""
        wandb = self._wandb
        by_top: dict[str, list[Entry]] = {}
        for entry in wandb.entries:
            top = entry.path.partition("/")[0]
            is_shared = is_run_name(top) or top in WANDB_NAMES
            by_top.setdefault("" if is_shared else top, []).append(entry)
        shared, _ = find_candidates("", Listing(wandb.base, wandb.kind, tuple(by_top.get("", ()))), None)
        inside: dict[str, tuple[Candidate, ...]] = {}
        for sweep in self._found.sweeps:
            part = Listing(wandb.base, wandb.kind, tuple(by_top.get(sweep.id, ())))
            found, _ = find_candidates(sweep.id, part, listings.get(sweep.path))
            inside[sweep.id] = found
        return shared, inside

    def _sort_members(
        self,
        shared: Iterable[Candidate],
        inside: Mapping[str, Iterable[Candidate]],
        facts: Mapping[str, LogFacts],
        known: set[str],
    ) -> dict[str, dict[str, Candidate]]:
        """By sweep and name, its runs; of two of one name one counts."""
        members: dict[str, dict[str, Candidate]] = {}
        for candidate in shared:
            for sweep in known.intersection(iter_sweep_names(facts[candidate.path])):
                members.setdefault(sweep, {})[candidate.name] = candidate
        for sweep, found in inside.items():
            for candidate in found:
                membership = decide_membership(candidate, facts[candidate.path], sweep=sweep, known_sweeps=known)
                if membership is Membership.YES:
                    members.setdefault(sweep, {})[candidate.name] = candidate
        return members
