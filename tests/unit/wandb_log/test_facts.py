"""Facts of a run in its log, with logs of the real wandb and with records that it will not write on demand."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.endpoint import FileEnds
from hsm.wandb_log.facts import LogFacts, read_log
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from pathlib import Path

A = "a" * 20

FACTS = {
    "a group": ([w.run("r", group="s")], LogFacts("r", group="s")),
    "a sweep of wandb's own": ([w.run("r", sweep_id="s")], LogFacts("r", sweep_id="s")),
    "a key of the configuration": ([w.run("r", config={"sweep_id": "s"})], LogFacts("r", config_sweep_id="s")),
    "a number as sweep id": ([w.run("r", config={"sweep_id": 7})], LogFacts("r", config_sweep_id="7")),
    "no sweep id": ([w.run("r", config={"sweep_id": None})], LogFacts("r")),
    "a configuration given later": ([w.run("r"), w.config("sweep_id", "s")], LogFacts("r", config_sweep_id="s")),
    "a key within another is not it": ([w.run("r", config={"a": {"sweep_id": "s"}})], LogFacts("r")),
    "a key of a nested path is not it": ([w.run("r"), w.record(5, w.item(("a", "sweep_id"), "s"))], LogFacts("r")),
    "arguments": ([w.run("r"), w.environment("a", "+wandb.group=s")], LogFacts("r", args=("a", "+wandb.group=s"))),
    "a later record without arguments": (
        [w.run("r"), w.environment("a"), w.environment()],
        LogFacts("r", args=("a",)),
    ),
    "no record of the run yet": ([w.environment("a")], LogFacts(args=("a",))),
    "exit code 0": ([w.run("r"), w.exit_code(0)], LogFacts("r", exit_code=0)),
    "exit code 3": ([w.run("r"), w.exit_code(3)], LogFacts("r", exit_code=3)),
    "a negative exit code": ([w.run("r"), w.exit_code(-1)], LogFacts("r", exit_code=-1)),
    "records after the exit": ([w.run("r"), w.exit_code(0), w.FOOTER], LogFacts("r", exit_code=0)),
    "a name that is no UTF-8": ([w.run("r", group="\udcff")], LogFacts("r", group="\udcff")),
}


@pytest.mark.parametrize(("records", "expected"), FACTS.values(), ids=FACTS)
def test_reads_facts(records: list[bytes], expected: LogFacts) -> None:
    assert read_log(w.cut(w.frame(records))) == expected


@pytest.mark.parametrize("log", [b"", w.HEADER])
def test_a_young_log_says_nothing(log: bytes) -> None:
    assert read_log(w.cut(log)) == LogFacts(is_empty=True)


@pytest.mark.parametrize("n_rows", [0, 30, 300, 3000])
def test_facts_of_a_log_of_any_length_stand_at_its_two_ends(n_rows: int) -> None:
    rows = [w.history({"x": 0.123, "text": "y" * 70}, step) for step in range(n_rows)]
    log = w.frame([w.run("r", group="s"), *rows, w.exit_code(1)])
    assert read_log(w.cut(log)) == LogFacts("r", group="s", exit_code=1)


def test_an_exit_record_before_a_long_summary_takes_a_second_look() -> None:
    rows = [w.history({"text": "y" * 1000}, step) for step in range(200)]
    last = w.summary({f"key {number}": "z" * 1000 for number in range(100)})
    log = w.frame([w.run("r"), *rows, w.exit_code(0), last, w.FOOTER])
    first = read_log(w.cut(log))
    assert (first.exit_code, first.is_whole) == (None, False)
    assert read_log(w.cut(log, n_blocks=5)) == LogFacts("r", exit_code=0)


def test_a_run_record_longer_than_the_head_takes_a_second_look() -> None:
    rows = [w.history({"text": "y" * 1000}, step) for step in range(200)]
    log = w.frame([w.run("r", group="s", config={"big": "x" * 80_000}), *rows])
    assert not read_log(w.cut(log)).is_whole
    assert read_log(w.cut(log, n_blocks=4)) == LogFacts("r", group="s")


@pytest.mark.parametrize("n_blocks", [1, 2])
def test_a_record_across_the_place_where_the_two_ends_meet_is_read(n_blocks: int) -> None:
    room = n_blocks * w.BLOCK
    log = w.frame([w.run("r", group="s"), w.history({"text": "y" * (room - 200)}), w.config("sweep_id", "c" * 400)])
    ends = w.cut(log + bytes(2 * room - len(log)), n_blocks=n_blocks)
    assert ends.tail_offset == len(ends.head)
    assert read_log(ends) == LogFacts("r", group="s", config_sweep_id="c" * 400)


def test_a_short_head_that_the_tail_has_too_is_read_once() -> None:
    log = w.frame([w.run("r", group="s"), w.history({"text": "y" * 20_000}), w.exit_code(1)])
    ends = FileEnds("/log", len(log), head=log[:8192], tail=log, tail_offset=0)
    assert read_log(ends) == LogFacts("r", group="s", exit_code=1)


def test_a_killed_run_needs_no_second_look() -> None:
    rows = [w.history({"text": "y" * 1000}, step) for step in range(200)]
    facts = read_log(w.cut(w.frame([w.run("r"), *rows])[:-100]))
    assert facts == LogFacts("r")


@given(st.data())
def test_broken_logs_never_raise_and_never_invent(data: st.DataObject) -> None:
    rows = [w.history({("x", "path"): f"media/table/x_{step}_{A}.table.json"}, step) for step in range(400)]
    records = [w.run("r", group="s"), w.environment("a"), *rows, w.exit_code(0), w.FOOTER]
    log = bytearray(w.frame(records)[: data.draw(st.integers(0, 60_000))])
    for _ in range(data.draw(st.integers(0, 5)) if log else 0):
        start = data.draw(st.integers(0, len(log) - 1))
        log[start : start + 3] = data.draw(st.binary(max_size=5))
        if not log:
            break
    facts = read_log(w.cut(bytes(log)))
    assert facts.group in ("", "s")
    assert facts.exit_code in (None, 0)


def test_reads_logs_of_the_real_wandb(real_project: Path) -> None:
    found = []
    for path in sorted(real_project.glob("wandb/offline-run-*/run-*.wandb")):
        log = path.read_bytes()
        facts = read_log(w.cut(log))
        assert facts.run_id == path.stem.removeprefix("run-")
        assert facts.group == "sweep_20251020_212836"
        assert facts.is_whole
        found.append(facts.exit_code)
    assert sorted(found, key=str) == [0] * 15 + [None] * 3


def test_every_byte_at_which_a_real_log_can_be_cut(real_project: Path) -> None:
    log = next(real_project.glob("wandb/offline-run-*/run-*.wandb")).read_bytes()
    whole = read_log(w.cut(log))
    ends = [*range(400), *range(400, len(log), 97), *range(len(log) - 200, len(log))]
    for end in ends:
        facts = read_log(w.cut(log[:end]))
        assert facts.exit_code is None, end
        assert facts in (
            LogFacts(is_empty=True),
            LogFacts(),
            dataclasses.replace(whole, exit_code=None),
            dataclasses.replace(whole, exit_code=None, args=()),
        ), end


FOREIGN = {
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", True),
    "a text": (b"hello, this is no log", False),
    "a text as long as a header": (b"broken\n", False),
    "two bytes": (b"x\n", False),
    "zeros": (bytes(100_000), False),
    "a header of another kind": (b":W&B\xe1\xbe\x01" + bytes(100), False),
    "a version of another thing": (b"version https://example.com", False),
}


@pytest.mark.parametrize(("content", "is_pointer"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_log_says_so(content: bytes, is_pointer: bool) -> None:
    assert read_log(w.cut(content)) == LogFacts(is_foreign=True, is_pointer=is_pointer)


def test_a_log_that_is_damaged_behind_its_header_is_a_log() -> None:
    facts = read_log(w.cut(w.HEADER + b"x" * 1000))
    assert not facts.is_foreign
    assert not facts.is_empty
