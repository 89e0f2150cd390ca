"""Values that wandb saves in files beside a run's log: configuration, last metrics, machine and end. Pure.

Since 0.10 they lie in the run's `files/`: `config.yaml` and `wandb-summary.json` of online runs, and
`wandb-metadata.json`. Up to 0.9 there was no log, they lay in the run's folder itself, and the metadata said how the
run ended. Source: `wandb/wandb_config.py`, `wandb/summary.py`, `wandb/meta.py` and `wandb/run_manager.py` of 0.8.

Anybody may have written them, so nothing in them is believed to have a shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from hsm.model import RunState
from hsm.wandb_log.history import RunLog
from hsm.wandb_log.nested import as_amount, make_leaves
from hsm.wandb_log.plain_yaml import parse_plain_yaml
from hsm.wandb_log.records import ValueKey

VALUE_FILES = CONFIG_FILE, SUMMARY_FILE, METADATA_FILE = "config.yaml", "wandb-summary.json", "wandb-metadata.json"

# 0.10 to 0.17 leave `running` there for ever, so nothing but an end is believed.
_ENDS = {
    "finished": RunState.FINISHED,
    "failed": RunState.FAILED,
    "killed": RunState.FAILED,
    "crashed": RunState.FAILED,
}
_EXIT_CODES = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True)
class SavedValues:
    """Values of one run, as its files have them; each may be missing.

    Attributes:
        config: Leaves, as of a `RunLog`.
        summary: Likewise.
        step: The last step that the summary knows.
        runtime_seconds: From the run's beginning to when the summary was saved.
        host: The machine it ran on.
        started: Seconds since 1970; 0 where unknown.
        state: How it ended; None where the files do not say that it has.
        exit_code: Of a run that has ended.
    """

    config: Mapping[ValueKey, object] = field(default_factory=dict)
    summary: Mapping[ValueKey, object] = field(default_factory=dict)
    step: float | None = None
    runtime_seconds: float | None = None
    host: str = ""
    started: float = 0.0
    state: RunState | None = None
    exit_code: int | None = None


def parse_saved_values(files: Mapping[str, bytes]) -> tuple[SavedValues, tuple[str, ...]]:
    """Parse the files of a run.

    Args:
        files: The content of those that are there, by name. An empty file holds nothing: a full disk leaves such.

    Returns:
        The values, and the names of the files that could not be understood.
    """
    values, damaged = SavedValues(), []
    for name, add in _READERS.items():
        content = files.get(name, b"").strip()
        try:
            values = add(values, content) if content else values
        except (ValueError, RecursionError):
            damaged.append(name)
    return values, tuple(damaged)


def complete_log(log: RunLog, saved: SavedValues) -> RunLog:
    """Complete what a log says by what the files say, which is the newer of the two."""
    runtimes = [seconds for seconds in (log.runtime_seconds, saved.runtime_seconds) if seconds is not None]
    return replace(
        log,
        host=log.host or saved.host,
        started=log.started or saved.started,
        runtime_seconds=max(runtimes, default=None),
        config={**log.config, **saved.config},
        summary={**log.summary, **saved.summary},
    )


def _add_config(values: SavedValues, content: bytes) -> SavedValues:
    """Add the configuration, of which each key has an object with its `value`."""
    parsed = _check_object(parse_plain_yaml(content.decode()))
    config = {key: inner["value"] for key, inner in parsed.items() if isinstance(inner, dict) and "value" in inner}
    return replace(values, config=make_leaves(config))


def _add_summary(values: SavedValues, content: bytes) -> SavedValues:
    parsed = _check_object(json.loads(content))
    internal = parsed.get("_wandb")
    runtimes = (parsed.get("_runtime"), internal.get("runtime") if isinstance(internal, dict) else None)
    runtime = max((seconds for seconds in map(as_amount, runtimes) if seconds is not None), default=None)
    return replace(values, summary=make_leaves(parsed), step=as_amount(parsed.get("_step")), runtime_seconds=runtime)


def _add_metadata(values: SavedValues, content: bytes) -> SavedValues:
    parsed = _check_object(json.loads(content))
    host, exit_code = parsed.get("host"), parsed.get("exitcode")
    state = _ENDS.get(str(parsed.get("state")))
    if state is None or isinstance(exit_code, bool) or not isinstance(exit_code, int) or exit_code not in _EXIT_CODES:
        exit_code = None
    if exit_code:
        state = RunState.FAILED
    return replace(
        values,
        host=host if isinstance(host, str) else "",
        started=_read_moment(parsed.get("startedAt")),
        state=state,
        exit_code=exit_code,
    )


_READERS = {CONFIG_FILE: _add_config, SUMMARY_FILE: _add_summary, METADATA_FILE: _add_metadata}


def _check_object(parsed: object) -> dict[str, object]:
    if not isinstance(parsed, dict):
        raise ValueError("it holds no object")
    return parsed


def _read_moment(value: object) -> float:
    """Read a time such as `2025-01-01T00:00:00.123456Z`, of UTC as all of wandb's, to a second."""
    try:
        moment = datetime.strptime(str(value)[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return 0.0
