"""Runs of a report: one for each id, of one or several folders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.model import Run, RunState
from hsm.report.values import Value, as_number, join_key
from hsm.wandb_log.history import RunLog
from hsm.wandb_log.records import ValueKey

MOST_LINES = 20
_MOST_LINE_CHARACTERS = 300
_EXTREMES: Mapping[str, Callable[..., Value]] = {"min": min, "max": max}
# Control sequences of terminals (ECMA-48): CSI, OSC up to BEL or ST, and single ones.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class RunPart:
    """One folder of a run.

    Attributes:
        run: The folder, with its state.
        log: What is known of it.
        is_from_files: Not all of that is from its log.
    """

    run: Run
    log: RunLog
    is_from_files: bool = False

    @property
    def path(self) -> str:
        """The folder's absolute path."""
        return f"{self.run.prefix}/{self.run.name}"


@dataclass(frozen=True, slots=True)
class ReportRun:
    """One run of the sweep.

    Attributes:
        id: wandb's; the folder's name where the log does not tell it.
        name: As wandb displays it; the id where there is none.
        parts: Its folders, oldest first; several for a run that was resumed, none for a job of Hydra's by itself.
        state: Of the last one.
        exit_code: Of the last one; None where it has not ended, or was killed.
        started: Seconds since 1970; 0 where unknown.
        duration_seconds: Of all folders together; None where no log tells.
        host: The last machine it ran on.
        config: Of all folders; a later value wins.
        summary: Likewise, but of what `define_metric` keeps the lowest or the highest of, that of all folders.
        goals: Of metrics that the script gave one: True for higher is better.
        is_job: It is a job of Hydra's.
    """

    id: str
    name: str
    parts: tuple[RunPart, ...]
    state: RunState
    exit_code: int | None = None
    started: float = 0.0
    duration_seconds: float | None = None
    host: str = ""
    config: Mapping[ValueKey, Value] = field(default_factory=dict)
    summary: Mapping[ValueKey, Value] = field(default_factory=dict)
    goals: Mapping[str, bool] = field(default_factory=dict)
    is_job: bool = False

    @property
    def has_ended_badly(self) -> bool:
        """True where it failed, or was killed as far as anybody can tell."""
        # Of a job without a run nobody says how it ended.
        return self.state is RunState.FAILED or (self.state is RunState.UNKNOWN and bool(self.parts))


def merge_parts(parts: Iterable[RunPart]) -> tuple[ReportRun, ...]:
    """Make the report's runs, oldest first. Pure."""
    groups: dict[str, list[RunPart]] = {}
    # A folder's name has the time of its beginning to a second, the log to a nanosecond.
    for part in sorted(parts, key=lambda part: (part.log.started, part.run.name)):
        # A run that is resumed offline goes on in a second folder, under the same id.
        groups.setdefault(part.log.run_id or part.run.name, []).append(part)
    return tuple(_merge(name, group) for name, group in groups.items())


def _merge(run_id: str, parts: Sequence[RunPart]) -> ReportRun:
    logs = [part.log for part in parts]
    last = parts[-1].run
    config: dict[ValueKey, Value] = {}
    summary: dict[ValueKey, Value] = {}
    goals: dict[str, bool] = {}
    for log in logs:
        config.update(log.config)
        summary.update(_merge_extremes(summary, log))
        goals.update(log.goals)
    return ReportRun(
        id=run_id,
        name=next((log.name for log in reversed(logs) if log.name), run_id),
        parts=tuple(parts),
        state=last.state,
        exit_code=last.exit_code,
        started=logs[0].started,
        duration_seconds=_add_durations(logs),
        host=next((log.host for log in reversed(logs) if log.host), ""),
        config=config,
        summary=summary,
        goals=goals,
    )


def _merge_extremes(earlier: Mapping[ValueKey, Value], log: RunLog) -> dict[ValueKey, Value]:
    """Merge the summary of a resumed run's next folder, which begins its lowest and highest values anew."""
    merged = dict(log.summary)
    for key, value in log.summary.items():
        choose = _EXTREMES.get(key[-1])
        numbers = (as_number(earlier.get(key)), as_number(value))
        # `loss.min` is such a value only if `define_metric` says so: a script may have named a metric like that.
        if choose and join_key(key[:-1]) in log.own_summaries and None not in numbers:
            merged[key] = choose((earlier[key], value), key=as_number)
    return merged


def _add_durations(logs: Sequence[RunLog]) -> float | None:
    """Add up the times of all folders; one whose rows begin where the last ended goes on counting from there."""
    total: float | None = None
    for log in logs:
        if log.runtime_seconds is not None:
            counts_on = total is not None and total > 0 and log.first_runtime_seconds >= total
            total = log.runtime_seconds if total is None or counts_on else total + log.runtime_seconds
    return total


def parse_last_lines(output: str) -> tuple[str, ...]:
    """Parse the last lines of a run's output, as a terminal would show them.

    Without colours, with the last state of a progress bar, without empty lines at the end and the end of long lines.
    """
    plain = _ESCAPES.sub("", output).replace("\r\n", "\n").rstrip()
    lines = plain.split("\n")[-MOST_LINES:] if plain else []
    return tuple(line.rstrip("\r").rpartition("\r")[2][:_MOST_LINE_CHARACTERS] for line in lines)
