"""Runs for the report's tests, without any log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hsm.model import Run, RunState
from hsm.report.runs import ReportRun, RunPart
from hsm.wandb_log.history import RunLog

Nested = Mapping[Any, Any]


def make_keys(values: Nested) -> dict[tuple[str, ...], Any]:
    """Make keys of names; a tuple is a nested one."""
    return {key if isinstance(key, tuple) else (key,): value for key, value in values.items()}


def make_run(name: str, config: Nested | None = None, summary: Nested | None = None, **fields: Any) -> ReportRun:
    """Make a finished run."""
    part = RunPart(Run(f"run-{name}", "/p/wandb"), RunLog(run_id=name))
    values = {"state": RunState.FINISHED, "exit_code": 0, "host": "node1", **fields}
    return ReportRun(
        id=values.pop("id", name),
        name=name,
        parts=(part,),
        config=make_keys(config or {}),
        summary=make_keys(summary or {}),
        **values,
    )
