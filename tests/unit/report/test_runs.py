"""Runs put together of their folders, and the last lines of their output."""

from __future__ import annotations

from typing import Any

import pytest

from hsm.model import Run, RunState
from hsm.report.runs import MOST_LINES, RunPart, merge_parts, parse_last_lines
from hsm.wandb_log.history import RunLog


def make_part(folder: str, *, state: RunState = RunState.FINISHED, **log: Any) -> RunPart:
    return RunPart(Run(folder, "/p/wandb", state=state, exit_code=None), RunLog(**log))


def test_folders_of_one_id_are_one_run_the_later_values_win() -> None:
    first = make_part(
        "run-1",
        state=RunState.UNKNOWN,
        run_id="a",
        name="old",
        host="node1",
        started=10.0,
        runtime_seconds=100.0,
        config={("lr",): 1, ("only",): "first"},
        summary={("loss",): 5, ("v", "min"): 1, ("w", "max"): 1, ("free", "min"): 1},
        own_summaries=frozenset({"v", "w"}),
    )
    second = make_part(
        "run-2",
        run_id="a",
        started=20.0,
        runtime_seconds=30.0,
        config={("lr",): 2},
        summary={("loss",): 4, ("v", "min"): 3, ("w", "max"): 3, ("free", "min"): 3},
        own_summaries=frozenset({"v", "w"}),
    )
    other = make_part("run-0", run_id="b", started=15.0)
    runs = merge_parts([second, other, first])
    assert [run.id for run in runs] == ["a", "b"]
    run = runs[0]
    assert [part.run.name for part in run.parts] == ["run-1", "run-2"]
    assert (run.name, run.host, run.state, run.started) == ("old", "node1", RunState.FINISHED, 10.0)
    assert run.config == {("lr",): 2, ("only",): "first"}
    assert run.summary == {("loss",): 4, ("v", "min"): 1, ("w", "max"): 3, ("free", "min"): 3}
    assert run.duration_seconds == 130.0


@pytest.mark.parametrize(
    ("runtimes", "wanted"),
    [
        pytest.param([(100.0, 0.0), (30.0, 0.1)], 130.0, id="each begins at zero"),
        pytest.param([(100.0, 0.0), (130.0, 101.0)], 130.0, id="the second counts on"),
        pytest.param([(None, 0.0), (30.0, 0.0)], 30.0, id="the first tells nothing"),
        pytest.param([(None, 0.0)], None, id="nothing tells"),
    ],
)
def test_durations(runtimes: list[tuple[float | None, float]], wanted: float | None) -> None:
    parts = [
        make_part(f"run-{n}", run_id="a", started=float(n), runtime_seconds=end, first_runtime_seconds=first)
        for n, (end, first) in enumerate(runtimes)
    ]
    assert merge_parts(parts)[0].duration_seconds == wanted


def test_a_run_without_a_log_is_called_by_its_folder() -> None:
    (run,) = merge_parts([make_part("run-x", state=RunState.UNKNOWN)])
    assert (run.id, run.name, run.has_ended_badly) == ("run-x", "run-x", True)


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        pytest.param("one\ntwo\n\n", ["one", "two"], id="plain"),
        pytest.param("a\r\nb\r\n", ["a", "b"], id="line ends of Windows"),
        pytest.param(" 10%\r 50%\r100%\ndone", ["100%", "done"], id="a progress bar"),
        pytest.param(" 10%\r 50%\r", [" 50%"], id="a progress bar that was not finished"),
        pytest.param("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07", ["red link"], id="colours and links"),
        pytest.param("", [], id="nothing"),
        pytest.param("x" * 1000, ["x" * 300], id="a long line"),
    ],
)
def test_last_lines(output: str, lines: list[str]) -> None:
    assert list(parse_last_lines(output)) == lines


def test_only_the_last_lines_are_kept() -> None:
    found = parse_last_lines("\n".join(map(str, range(100))))
    assert found == tuple(str(n) for n in range(100 - MOST_LINES, 100))
