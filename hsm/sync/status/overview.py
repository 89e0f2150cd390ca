"""`hsm sync list --sweeps`: the sweeps of this project, or of targets, each in a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from hsm.config.load import LoadedConfig
from hsm.config.schema import TargetSettings
from hsm.discover.index import load_index, save_index
from hsm.discover.sweeps import Layout, look_for_sweeps
from hsm.endpoint import Endpoint, Tree
from hsm.errors import ExitCode, HsmError, TargetError
from hsm.model import Problem, RunState
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import SilentReporter
from hsm.project_folder import ProjectFolder
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.far_source import make_far_layout
from hsm.sync.places import make_layout
from hsm.sync.reports import make_error_document, make_problem_document, merge_exit_codes
from hsm.sync.status.census import take_census
from hsm.sync.target_threads import serve_targets
from hsm.targets.connect import connect

SCHEMA = 1
HERE = "here"


@dataclass(frozen=True, slots=True)
class SweepOverview:
    """One sweep in numbers.

    Attributes:
        id: Its id.
        states: The number of its runs in each state.
        n_files: Number of files in its folder and its runs.
        n_bytes: Of these files.
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
        error: The reason why it could not be told; None otherwise.
        problems: Found while looking.
    """

    name: str
    sweeps: tuple[SweepOverview, ...] = ()
    error: HsmError | None = None
    problems: tuple[Problem, ...] = ()


def list_sweeps_here(loaded: LoadedConfig) -> PlaceOverview:
    """List the sweeps of this project."""
    return _read_place(LocalEndpoint(), make_layout(loaded), ProjectFolder(loaded.project).runs_cache(), name=HERE)


def list_sweeps_at(
    loaded: LoadedConfig, targets: Mapping[str, TargetSettings], *, runner: Runner, may_ask: bool
) -> tuple[PlaceOverview, ...]:
    """List the sweeps that lie at targets, all looked at at the same time. Changes nothing there.

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
    """Make the document of `hsm sync list --sweeps` (docs/SYNC.md) as JSON values."""
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
    """Format a time as ISO 8601 in UTC; empty for 0, and for one that has no such form (after the year 9999)."""
    if not time_ns:
        return ""
    try:
        return datetime.fromtimestamp(time_ns // 10**9, timezone.utc).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return ""


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
    # A project may be empty; a target without either folder is most likely one whose disk is not mounted.
    if len(found.missing) == 2 and name != HERE:
        raise TargetError(
            f"At {name} there is neither {found.layout.sweeps} nor {found.layout.wandb}.",
            hint="Mount them there, or correct `paths`.",
            kind="source_missing",
        )
    index, notices = load_index(cache)
    folders = [sweep for sweep in found.sweeps if sweep.path]
    survey = endpoint.survey([*(Tree(sweep.path) for sweep in folders), Tree(found.layout.wandb)])
    listings = dict(zip([sweep.path for sweep in folders], survey.listings, strict=False))
    counts = take_census(endpoint, found.sweeps, listings, survey.listings[-1], index, now_ns=survey.machine.clock_ns)
    sweeps = [
        SweepOverview(sweep, count.states, count.files.n_files, count.files.n_bytes, count.files.newest_ns)
        for sweep, count in counts
    ]
    return PlaceOverview(name, tuple(sweeps), problems=(*notices, *save_index(index, cache)))
