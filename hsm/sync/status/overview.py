"""`hsm sync list --sweeps`: the sweeps of this project, or of targets, each in a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timezone

from hsm.config.loaded import LoadedConfig
from hsm.config.settings import TargetSettings
from hsm.discover.index import load_index, save_index
from hsm.discover.sweeps import Layout
from hsm.discover.words.meanings import GROUP_PREFIX
from hsm.errors import ExitCode, HsmError, TargetError
from hsm.model import Problem, RunState, SweepKind
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import SilentReporter
from hsm.project_folder import ProjectFolder
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.far_source import make_far_layout
from hsm.sync.places import ProjectPlaces, find_far_places, find_places, make_layout
from hsm.sync.reports import make_error_document, make_problem_document, merge_exit_codes
from hsm.sync.status.census import SweepCount, take_census
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
        kind: What makes its runs one.
        place: Its folder relative to the project, or absolute where it lies elsewhere; empty where it has none.
        began: The time in its id, else of its newest run, as digits that compare like times; empty where unknown.
        word: The word that means it, whatever other sweeps there are.
    """

    id: str
    states: Mapping[RunState, int] = field(default_factory=dict)
    n_files: int = 0
    n_bytes: int = 0
    newest_ns: int = 0
    kind: SweepKind = SweepKind.FOLDER
    place: str = ""
    began: str = ""
    word: str = ""


@dataclass(frozen=True, slots=True)
class PlaceOverview:
    """The sweeps at one place.

    Attributes:
        name: The target's, or `here`.
        sweeps: The folders, oldest first, then the others, oldest first; the loose runs last.
        error: The reason why it could not be told; None otherwise.
        problems: Found while looking.
        loose: The folders in which the loose runs lie, relative to the project or absolute.
    """

    name: str
    sweeps: tuple[SweepOverview, ...] = ()
    error: HsmError | None = None
    problems: tuple[Problem, ...] = ()
    loose: tuple[str, ...] = ()


def list_sweeps_here(loaded: LoadedConfig) -> PlaceOverview:
    """List the sweeps of this project; its wandb folders are searched for anew."""
    places = find_places(loaded, LocalEndpoint(), fresh=True)
    places.remember()
    return _read_place(places, name=HERE)


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
                cache = ProjectFolder(loaded.project).runs_cache(name)
                return _read_place(
                    find_far_places(connection.endpoint, make_far_layout(targets[name]), cache), name=name
                )
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
        "kind": sweep.kind.value,
        "place": sweep.place or None,
        "runs": {
            "total": sum(sweep.states.values()),
            **{state.value: sweep.states.get(state, 0) for state in RunState},
        },
        "files": sweep.n_files,
        "bytes": sweep.n_bytes,
        "newest": format_time(sweep.newest_ns) or None,
    }


def _read_place(places: ProjectPlaces, *, name: str) -> PlaceOverview:
    layout = places.layout
    # A project may be empty; a target without either folder is most likely one whose disk is not mounted.
    if len(places.missing) == 2 and name != HERE:
        raise TargetError(
            f"At {name} there is neither {layout.sweeps} nor {layout.wandb}.",
            hint="Mount them there, or correct `paths`.",
            kind="source_missing",
        )
    index, notices = load_index(places.cache)
    counts = take_census(places.endpoint, layout, places.sweeps, index, synced=places.list_synced())
    notices = (*places.problems, *notices, *save_index(index, places.cache))
    loose = next((count.wandb for count in counts if count.sweep.kind is SweepKind.LOOSE), ())
    return PlaceOverview(
        name,
        tuple(_make_overview(count, layout) for count in counts),
        problems=notices,
        loose=tuple(_make_relative(folder, layout) for folder in loose),
    )


def _make_overview(count: SweepCount, layout: Layout) -> SweepOverview:
    sweep, files = count.sweep, count.files
    # Of a sweep that is no folder there may be one that holds its receipts.
    folder = "" if sweep.kind in (SweepKind.WANDB, SweepKind.LOOSE) else sweep.path or f"{layout.wandb}/{sweep.id}"
    return SweepOverview(
        sweep.id,
        count.states,
        files.n_files,
        files.n_bytes,
        files.newest_ns,
        kind=sweep.kind,
        place=_make_relative(folder, layout) if folder else "",
        began=count.began,
        word=f"{GROUP_PREFIX}{sweep.name}" if sweep.name and not sweep.path else sweep.id,
    )


def _make_relative(folder: str, layout: Layout) -> str:
    return folder.removeprefix(f"{layout.project.rstrip('/')}/")
