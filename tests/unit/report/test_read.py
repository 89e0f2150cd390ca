"""Reader of many logs, alone and by several processes, and logs that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.model import Run, RunState
from hsm.report.read import read_curves, read_last_lines, read_runs
from tests.unit.wandb_log import log_writer as w

LARGE_BYTES = 20_000_000


def write_run(folder: Path, name: str, *, n_bytes: int = 0) -> Run:
    """Write a run, with zeros at the end of its log up to so many bytes."""
    log = folder / name / f"run-{name}.wandb"
    log.parent.mkdir(parents=True)
    rows = [record for step in range(3) for record in (w.summary({("a",): step}), w.history({("a",): step}, step))]
    log.write_bytes(w.frame([w.run(name), *rows, w.exit_code(0)]))
    if n_bytes:
        with log.open("r+b") as stream:
            stream.truncate(n_bytes)
    return Run(name, str(folder), log=log.name, state=RunState.FINISHED, exit_code=0)


@pytest.mark.parametrize("n_bytes", [pytest.param(0, id="alone"), pytest.param(LARGE_BYTES, id="several processes")])
def test_runs_come_back_in_order_with_their_values(tmp_path: Path, n_bytes: int) -> None:
    written = [write_run(tmp_path, f"r{number:02d}", n_bytes=n_bytes) for number in range(20 if not n_bytes else 4)]
    runs, problems = read_runs(written)
    assert [run.id for run in runs] == [run.name for run in written]
    assert {run.summary["a",] for run in runs} == {2}
    assert {problem.kind for problem in problems} == ({"damaged_log"} if n_bytes else set())
    curves = read_curves(runs, ("a",))
    assert [curve.values for (curve,) in curves] == [(0, 1, 2)] * len(runs)


def test_a_run_whose_log_is_gone_or_is_not_yet_there_has_a_row(tmp_path: Path) -> None:
    gone = write_run(tmp_path, "gone")
    (tmp_path / "gone" / gone.log).unlink()
    young = Run("young", str(tmp_path), state=RunState.RUNNING)
    runs, problems = read_runs([gone, young])
    assert {run.id: run.state for run in runs} == {"gone": RunState.FINISHED, "young": RunState.RUNNING}
    assert [(problem.path, problem.kind, problem.is_failure) for problem in problems] == [
        ("gone", "unreadable_log", True)
    ]
    assert read_curves(runs, ("a",)) == ((*read_curves([runs[0]], ("a",))[0],),) * 2


def test_the_last_lines_come_from_the_log_or_from_wandbs_file(tmp_path: Path) -> None:
    run = write_run(tmp_path, "r")
    ((read,), _) = read_runs([run])
    assert read_last_lines(read) == ()
    output = tmp_path / "r" / "files" / "output.log"
    output.parent.mkdir()
    output.write_bytes(b"x" * 100_000 + b"\nlast \xff line\n")
    assert read_last_lines(read)[-1] == "last \ufffd line"
    log = tmp_path / "r" / run.log
    log.write_bytes(w.frame([w.run("r"), w.record(13, w.field(3, "from the log\n"))]))
    ((read,), _) = read_runs([run])
    assert read_last_lines(read) == ("from the log",)
