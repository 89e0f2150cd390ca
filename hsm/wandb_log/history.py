"""What a run recorded, from its whole `.wandb` log: configuration, summary, end, output, and curves.

How wandb writes it: from 0.19 on each history row is preceded by a summary record with the same values, or with
what `define_metric` made of them; before that the summary comes once, at the end, and until then the history alone
tells it. Keys of `run.summary` that are set by hand come as records of their own, at any time. What is written later
wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hsm.wandb_log.format import iter_fields, parse_records
from hsm.wandb_log.records import (
    CONFIG,
    EXIT,
    HISTORY,
    METRIC,
    OUTPUT_RAW,
    REMOVED,
    RUN,
    SUMMARY,
    ItemReader,
    LastItems,
    ValueKey,
    decode_text,
    iter_items,
    iter_removed,
    parse_exit_code,
    parse_json,
    split_record,
)

_RUN_ID, _RUN_CONFIG, _RUN_NAME, _RUN_HOST, _RUN_START = 1, 4, 8, 13, 17
_SECONDS, _NANOS = 1, 2
_EXIT_RUNTIME = 2
_METRIC_NAME, _METRIC_SUMMARY, _METRIC_GOAL = 1, 7, 8
_SUMMARY_MIN, _SUMMARY_MAX = 1, 2
_MINIMIZE, _MAXIMIZE = 1, 2
_OUTPUT_LINE = 3
_LAST_OUTPUTS = 400
_RUNTIME, _STEP = ("_runtime",), ("_step",)
_INTERNAL = "_wandb"
_TYPE = "_type"
_MOST_NESTED = 50
_TOO_DEEP = "(nested too deeply)"


@dataclass(frozen=True, slots=True)
class RunLog:
    """What one log says.

    Attributes:
        run_id: Empty when nothing could be read.
        name: What wandb displays.
        host: The machine it ran on.
        started: Seconds since 1970; 0 where unknown.
        runtime_seconds: How long it ran, as far as the log tells; None where it does not.
        first_runtime_seconds: The run's time at its first row, which is high where a resumed run counts on.
        exit_code: None without an exit record.
        config: Its leaves: numbers, texts, True, False, None, lists. wandb's own entries are left out.
        summary: Likewise; media, tables and histograms are left out.
        goals: Of metrics for which the script said so: True for higher is better.
        own_summaries: Metrics that `define_metric` gave a summary of their own, such as `min`.
        output: What it printed last, where wandb kept it in the log; raw, with escapes.
        is_damaged: Something in the middle of the log could not be read.
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
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric over the steps of one log, in the order in which they were written."""

    steps: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


def read_run_log(log: bytes) -> RunLog:
    """Read everything but the curves of a run. Pure; torn and damaged logs give what can be read."""
    records = parse_records(log)
    found = _Found()
    for payload in records.payloads:
        found.add(*split_record(payload))
    runtimes = [runtime for row in found.end_rows for runtime in [_find_number(row, _RUNTIME)] if runtime is not None]
    runtimes_at_end = [*runtimes[-1:], *([] if found.exit_runtime is None else [found.exit_runtime])]
    return RunLog(
        run_id=found.run_id,
        name=found.name,
        host=found.host,
        started=found.started,
        runtime_seconds=max(runtimes_at_end, default=None),
        first_runtime_seconds=runtimes[0] if runtimes else 0.0,
        exit_code=found.exit_code,
        config=_make_leaves(found.config),
        summary=_make_leaves(_read_summary(found)),
        goals=found.goals,
        own_summaries=frozenset(found.own_summaries),
        output="".join(found.outputs[-_LAST_OUTPUTS:]),
        is_damaged=records.is_damaged,
    )


def read_curve(log: bytes, key: ValueKey) -> Curve:
    """Read the rows of a log in which a metric has a number; NaN and infinities are numbers. Pure."""
    reader = ItemReader()
    steps: list[float] = []
    values: list[float] = []
    for payload in parse_records(log).payloads:
        number, message = split_record(payload)
        if number != HISTORY:
            continue
        row = reader.read(message)
        value = _find_number(row, key)
        if value is not None:
            step = _find_number(row, _STEP)
            steps.append(_parse_step(message) if step is None else step)
            values.append(value)
    return Curve(tuple(steps), tuple(values))


class _Found:
    """Collects what the records say; a later record wins."""

    def __init__(self) -> None:
        self.run_id = self.name = self.host = ""
        self.started = 0.0
        self.exit_code: int | None = None
        self.exit_runtime: float | None = None
        self.config: dict[str, object] = {}
        self.goals: dict[str, bool] = {}
        self.outputs: list[str] = []
        self.own_summaries: set[str] = set()
        self.rows: list[bytes] = []
        self.summaries: list[bytes] = []
        self.has_summary_rows = False
        self._reader = ItemReader()

    def add(self, number: int, message: bytes) -> None:
        if number == HISTORY:
            self.rows.append(message)
            self.has_summary_rows = self.has_summary_rows or bool(self.summaries)
        elif number == SUMMARY:
            self.summaries.append(message)
        elif number == CONFIG:
            self._add_config(message)
        elif number == RUN:
            self._add_run(message)
        elif number == EXIT:
            self.exit_code = parse_exit_code(message)
            self.exit_runtime = float(next((v for n, v in iter_fields(message) if n == _EXIT_RUNTIME), 0))
        elif number == METRIC:
            self._add_metric(message)
        elif number == OUTPUT_RAW:
            self.outputs.extend(decode_text(value) for field, value in iter_fields(message) if field == _OUTPUT_LINE)

    @property
    def end_rows(self) -> list[list[tuple[ValueKey, bytes]]]:
        """The first and the last row of the history."""
        return [self._reader.read(row) for row in (*self.rows[:1], *self.rows[-1:])]

    def _add_config(self, message: bytes) -> None:
        for key, value in iter_items(message):
            _put(self.config, key, parse_json(value))
        for key in iter_removed(message):
            _drop(self.config, key)

    def _add_run(self, message: bytes) -> None:
        for number, value in iter_fields(message):
            if number == _RUN_ID:
                self.run_id = decode_text(value)
            elif number == _RUN_NAME:
                self.name = decode_text(value)
            elif number == _RUN_HOST:
                self.host = decode_text(value)
            elif number == _RUN_START and isinstance(value, bytes):
                parts = {part: content for part, content in iter_fields(value) if isinstance(content, int)}
                self.started = parts.get(_SECONDS, 0) + parts.get(_NANOS, 0) / 1e9
            elif number == _RUN_CONFIG and isinstance(value, bytes):
                self._add_config(value)

    def _add_metric(self, message: bytes) -> None:
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
        elif len(summary & {_SUMMARY_MIN, _SUMMARY_MAX}) == 1:
            self.goals[name] = _SUMMARY_MAX in summary


def _read_summary(found: _Found) -> dict[str, object]:
    """Find the last state of the summary.

    From the end backwards, so that only the last value of each key is ever parsed. Rows count only where no summary
    goes with them, and never for a key that `define_metric` gave a summary of its own.
    """
    last = LastItems()
    for message in reversed(found.summaries):
        last.add(message, has_removals=True)
    rows = LastItems()
    for message in () if found.has_summary_rows else reversed(found.rows):
        rows.add(message, has_removals=False)
    by_rows = {key: value for key, value in rows.values.items() if ".".join(key) not in found.own_summaries}
    state: dict[str, object] = {}
    for key, value in (*reversed(by_rows.items()), *reversed(last.values.items())):
        if value == REMOVED:
            _drop(state, key)
        else:
            _put(state, key, parse_json(value))
    return state


def _put(state: dict[str, object], key: ValueKey, value: object) -> None:
    for name in key[:-1]:
        inner = state.get(name)
        if not isinstance(inner, dict):
            inner = state[name] = {}
        state = inner
    state[key[-1]] = value


def _drop(state: dict[str, object], key: ValueKey) -> None:
    for name in key[:-1]:
        inner = state.get(name)
        if not isinstance(inner, dict):
            return
        state = inner
    state.pop(key[-1], None)


def _make_leaves(state: Mapping[str, object]) -> dict[ValueKey, object]:
    """Flatten a state; wandb's own entries and objects that carry a type, such as media, are left out."""
    leaves: dict[ValueKey, object] = {}
    pending: list[tuple[ValueKey, object]] = [((name,), value) for name, value in state.items() if name != _INTERNAL]
    while pending:
        key, value = pending.pop(0)
        if not isinstance(value, dict):
            leaves[key] = _TOO_DEEP if _is_too_deep(value) else value
        elif _TYPE not in value:
            pending = [((*key, name), inner) for name, inner in value.items()] + pending
    return leaves


def _is_too_deep(value: object) -> bool:
    """Whether a list is nested so deeply that nothing could write it out again."""
    level = [value]
    for _ in range(_MOST_NESTED):
        level = [
            part
            for one in level
            if isinstance(one, (list, dict))
            for part in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _find_number(row: Iterable[tuple[ValueKey, bytes]], key: ValueKey) -> float | None:
    """Find a number in a row: an item of its own, or, as before 0.19, within the object of its first name."""
    for found, value in row:
        if found == key[: len(found)]:
            return _parse_number(value, key[len(found) :])
    return None


def _parse_number(value: bytes, rest: ValueKey) -> float | None:
    parsed = parse_json(value)
    for name in rest:
        if not isinstance(parsed, dict):
            return None
        parsed = parsed.get(name)
    if isinstance(parsed, bool) or not isinstance(parsed, (int, float)):
        return None
    try:
        return float(parsed)
    except OverflowError:
        return None


def _parse_step(message: bytes) -> float:
    for number, value in iter_fields(message):
        if number == HISTORY and isinstance(value, bytes):
            return float(next((step for field, step in iter_fields(value) if field == 1), 0))
    return 0.0
