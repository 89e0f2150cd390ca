"""Reader of a whole `.wandb` log for what its run recorded: configuration, summary, end and output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hsm.wandb_log.format import iter_fields, parse_records
from hsm.wandb_log.nested import as_amount, drop_value, make_leaves, put_value
from hsm.wandb_log.records import (
    CONFIG,
    EXIT,
    HISTORY,
    METRIC,
    OUTPUT_RAW,
    RUN,
    SUMMARY,
    ValueKey,
    decode_text,
    iter_items,
    iter_removed,
    parse_exit_code,
    parse_json,
    split_record,
)
from hsm.wandb_log.rows import LoggedRows

_RUN_ID, _RUN_CONFIG, _RUN_NAME, _RUN_HOST, _RUN_START = 1, 4, 8, 13, 17
_SECONDS, _NANOS = 1, 2
_EXIT_RUNTIME = 2
_METRIC_NAME, _METRIC_SUMMARY, _METRIC_GOAL = 1, 7, 8
_SUMMARY_MIN, _SUMMARY_MAX = 1, 2
_MINIMIZE, _MAXIMIZE = 1, 2
_OUTPUT_LINE = 3
_STEP = ("_step",)
_LAST_OUTPUTS = 400  # pieces of output, several of which may make a line; a report shows its last 20 lines


@dataclass(frozen=True, slots=True)
class RunLog:
    """Record of one run, as its log has it.

    Attributes:
        run_id: Empty when nothing could be read.
        name: As wandb displays it.
        host: The machine it ran on.
        started: Seconds since 1970; 0 where unknown.
        runtime_seconds: From its beginning to its end, as far as the log tells; None where it does not.
        first_runtime_seconds: The run's time at its first row, which is high where a resumed run counts on.
        exit_code: None without an exit record.
        config: Its leaves: numbers, texts, True, False, None, lists. wandb's own entries are left out.
        summary: Likewise; media, tables and histograms are left out.
        goals: Of metrics that the script gave one: True for higher is better.
        own_summaries: Metrics that `define_metric` gave a summary of their own, such as `min`.
        output: The last that it printed, where wandb kept it in the log; raw, with escapes.
        last_step: The last that a row or the summary knows; None where there is none.
        is_damaged: Something in the middle of the log could not be read.
        is_empty: Not one record could be read.
    """

    run_id: str = ""
    name: str = ""
    host: str = ""
    started: float = 0.0
    runtime_seconds: float | None = None
    first_runtime_seconds: float = 0.0
    exit_code: int | None = None
    config: Mapping[ValueKey, object] = field(default_factory=dict)
    summary: Mapping[ValueKey, object] = field(default_factory=dict)
    goals: Mapping[str, bool] = field(default_factory=dict)
    own_summaries: frozenset[str] = frozenset()
    output: str = ""
    last_step: float | None = None
    is_damaged: bool = False
    is_empty: bool = False


def read_run_log(log: bytes) -> RunLog:
    """Read everything but the curves of a run. Pure; torn and damaged logs give what can be read."""
    records = parse_records(log)
    found = _Found()
    for payload in records.payloads:
        found.add(*split_record(payload))
    summary = make_leaves(found.rows.read_summary(found.metrics.own_summaries))
    # A summary is written before its row, so a torn log may end between the two.
    steps = (found.rows.read_last_step(), as_amount(summary.get(_STEP)))
    runtimes = found.rows.read_runtimes()
    # The exit record has whole seconds, rounded down; the last row is finer, and may be much older.
    runtimes_at_end = [*runtimes[-1:], *([] if found.exit_runtime is None else [found.exit_runtime])]
    return RunLog(
        run_id=found.run.id,
        name=found.run.name,
        host=found.run.host,
        started=found.run.started,
        runtime_seconds=max(runtimes_at_end, default=None),
        first_runtime_seconds=runtimes[0] if runtimes else 0.0,
        exit_code=found.exit_code,
        config=make_leaves(found.config),
        summary=summary,
        goals=found.metrics.goals,
        own_summaries=frozenset(found.metrics.own_summaries),
        output="".join(found.outputs[-_LAST_OUTPUTS:]),
        last_step=max((step for step in steps if step is not None), default=None),
        is_damaged=records.is_damaged,
        is_empty=not records.payloads,
    )


class _Found:
    """Collects what the records say; a later record wins."""

    def __init__(self) -> None:
        self.run = _Identity()
        self.config: dict[str, object] = {}
        self.metrics = _Metrics()
        self.rows = LoggedRows()
        self.outputs: list[str] = []
        self.exit_code: int | None = None
        self.exit_runtime: float | None = None

    def add(self, number: int, message: bytes) -> None:
        if number == HISTORY:
            self.rows.add_row(message)
        elif number == SUMMARY:
            self.rows.add_summary(message)
        elif number == CONFIG:
            self._add_config(message)
        elif number == RUN:
            self.run.read(message)
            for field_, value in iter_fields(message):
                if field_ == _RUN_CONFIG and isinstance(value, bytes):
                    self._add_config(value)
        elif number == EXIT:
            self.exit_code = parse_exit_code(message)
            # protobuf leaves out a 0, so a record without the field is a run of less than a second.
            self.exit_runtime = float(next((v for n, v in iter_fields(message) if n == _EXIT_RUNTIME), 0))
        elif number == METRIC:
            self.metrics.add(message)
        # Offline runs of 0.22 to 0.28 leave no output.log.
        elif number == OUTPUT_RAW:
            self.outputs.extend(decode_text(value) for number, value in iter_fields(message) if number == _OUTPUT_LINE)

    def _add_config(self, message: bytes) -> None:
        for key, value in iter_items(message):
            put_value(self.config, key, parse_json(value))
        for key in iter_removed(message):
            drop_value(self.config, key)


class _Identity:
    """Name, machine and beginning of the run."""

    def __init__(self) -> None:
        self.id = self.name = self.host = ""
        self.started = 0.0

    def read(self, message: bytes) -> None:
        for number, value in iter_fields(message):
            if number == _RUN_ID:
                self.id = decode_text(value)
            elif number == _RUN_NAME:
                self.name = decode_text(value)
            elif number == _RUN_HOST:
                self.host = decode_text(value)
            elif number == _RUN_START and isinstance(value, bytes):
                parts = {part: content for part, content in iter_fields(value) if isinstance(content, int)}
                self.started = parts.get(_SECONDS, 0) + parts.get(_NANOS, 0) / 1e9


class _Metrics:
    """Definitions of metrics that the script gave wandb (`define_metric`)."""

    def __init__(self) -> None:
        self.goals: dict[str, bool] = {}
        self.own_summaries: set[str] = set()

    def add(self, message: bytes) -> None:
        name, goal, summary = "", 0, frozenset[int]()
        for number, value in iter_fields(message):
            if number == _METRIC_NAME:
                name = decode_text(value)
            elif number == _METRIC_GOAL and isinstance(value, int):
                goal = value
            elif number == _METRIC_SUMMARY and isinstance(value, bytes):
                summary = frozenset(number for number, is_set in iter_fields(value) if is_set)
        if summary:
            self.own_summaries.add(name)
        if goal in (_MINIMIZE, _MAXIMIZE):
            self.goals[name] = goal == _MAXIMIZE
        # `define_metric(summary="min")` tells what is better as a goal does; "min,max" tells nothing.
        elif len(summary & {_SUMMARY_MIN, _SUMMARY_MAX}) == 1:
            self.goals[name] = _SUMMARY_MAX in summary
