"""Files of somebody else at a destination: a conflict until the user decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.plan.planner import PlanOptions
from hsm.sync.bring.ledger.strangers import KnownStrangers
from hsm.sync.reports import State
from tests.unit.sync.bring.exchange.test_exchange import LOG, Bench, T


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_older_file_that_came_after_the_check_stays_a_conflict_until_the_user_decides(bench: Bench) -> None:
    def come() -> None:
        bench.write(LOG, b"theirs!", mtime_ns=T - 10**12, root=bench.there)

    bench.script.at("send", come, None)
    for _ in range(3):
        report = bench.exchange()
        assert bench.place(bench.there, LOG).read_bytes() == b"theirs!"
        assert ({problem.kind for problem in report.problems}, report.exit_code.value) == ({"conflict"}, 1)
    assert bench.exchange(plan=PlanOptions(overwrite=True)).state is State.DONE
    assert bench.place(bench.there, LOG).read_bytes() == b"content"
    assert bench.exchange().state is State.NOTHING_TO_DO


def test_one_that_was_changed_since_is_looked_at_as_any_other(bench: Bench) -> None:
    bench.script.at("send", lambda: bench.write(LOG, b"theirs!", mtime_ns=T - 10**12, root=bench.there), None)
    bench.exchange()
    bench.place(bench.there, LOG).unlink()
    assert bench.exchange().state is State.DONE


@pytest.mark.parametrize("content", ["", "{", '{"schema": 1, "files": [[1]]}', '{"schema": 1, "files": 3}'])
def test_a_record_that_cannot_be_used_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "record").write_text(content)
    assert KnownStrangers(tmp_path / "record").find({}) == {}
