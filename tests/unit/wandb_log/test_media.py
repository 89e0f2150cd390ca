"""Media that a log names, with logs of the real wandb and with records that it will not write on demand."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import RunVersions
from hsm.wandb_log.media import read_versions
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = "a" * 20, "b" * 20, "c" * 20


def named(*paths: str, incremental: tuple[str, ...] = ()) -> RunVersions:
    return RunVersions(frozenset(paths), frozenset(incremental))


def media(path: str, kind: str = "image-file") -> dict[str, Any]:
    return {"_type": kind, "size": 3, "path": path}


X1, X2, Y1 = f"media/images/x_1_{A}.png", f"media/images/x_2_{B}.png", f"media/images/y_1_{C}.png"
T1, T2 = f"media/table/eval/t_1_{A}.table.json", f"media/table/eval/t_2_{B}.table.json"
MASK = f"media/images/mask/x_2_{C}.mask.png"

VERSIONS = {
    "the later of two, as one object": ([w.history({"x": media(X1)}), w.history({"x": media(X2)})], named(X2)),
    "the later of two, field by field": (
        [w.history({("x", "path"): X1}), w.history({("x", "path"): X2, ("x", "size"): 3})],
        named(X2),
    ),
    "first in one form, then in the other": (
        [w.history({"x": media(X1)}), w.summary({("x", "path"): X2})],
        named(X2),
    ),
    "another key stays": (
        [w.history({"x": media(X1), "y": media(Y1)}), w.history({"x": media(X2)})],
        named(X2, Y1),
    ),
    "a scalar in between": ([w.history({"x": media(X1)}), w.history({"z": 1})], named(X1)),
    "only in the summary": ([w.summary({"x": media(X1)})], named(X1)),
    "a list of images": (
        [w.history({("x", "filenames"): [X1, Y1], ("x", "count"): 2}), w.history({("x", "filenames"): [X2]})],
        named(X2),
    ),
    "a mask of an image": ([w.history({"x": {**media(X2), "masks": {"m": media(MASK)}}})], named(X2, MASK)),
    "one name below two keys": (
        [w.history({"a": {"x": media(X1)}}), w.history({"b": {"x": media(X2)}})],
        named(X1, X2),
    ),
    "an incremental table as one object": (
        [
            w.history({"eval/t": media(T1, "incremental-table-file")}),
            w.history({"eval/t": media(T2, "table-file")}),
        ],
        named(T2, incremental=("eval/t",)),
    ),
    "an incremental table field by field": (
        [w.history({("eval/t", "_type"): "incremental-table-file", ("eval/t", "path"): T1})],
        named(T1, incremental=("eval/t",)),
    ),
    "an incremental table below a key": (
        [w.history({("a", "eval/t", "path"): T1, ("a", "eval/t", "_type"): "incremental-table-file"})],
        named(T1, incremental=("eval/t",)),
    ),
    "text that only speaks of media": ([w.history({"x": "see media/images", "note": "a media/ b"})], named()),
    "a value that is no JSON": ([w.record(2, w.field(1, w.field(1, "x") + w.field(16, b'{"media/')))], named()),
    "nothing": ([], named()),
}


@pytest.mark.parametrize(("records", "expected"), VERSIONS.values(), ids=VERSIONS)
def test_reads_what_the_last_summary_names(records: list[bytes], expected: RunVersions) -> None:
    found = read_versions(w.frame([w.run(), *records]))
    assert found.versions == expected
    assert not found.is_damaged


STEPS = {
    "the field": ([w.history({"x": 1}, 0), w.history({"x": 1}, 70), w.summary({"x": 1})], 70),
    "the key": ([w.history({"_step": 7})], 7),
    "the nested key": ([w.history({("_step",): 8})], 8),
    "no rows": ([], -1),
}


@pytest.mark.parametrize(("records", "expected"), STEPS.values(), ids=STEPS)
def test_reads_the_last_step(records: list[bytes], expected: int) -> None:
    assert read_versions(w.frame([w.run(), *records])).last_step == expected


def test_damage_in_the_middle_is_told() -> None:
    log = bytearray(w.frame([w.run(), *(w.history({"x": media(X1), "text": "y" * 900}) for _ in range(99))]))
    log[40_000] ^= 1
    assert read_versions(bytes(log)).is_damaged


def test_a_long_log_is_read_in_little_time() -> None:
    row = {f"metric {number}": random.random() for number in range(20)}
    log = w.frame([w.run(), *(w.history(row, step) for step in range(10_000))])
    assert len(log) > 5_000_000
    assert read_versions(log).last_step == 9_999


@given(st.data())
def test_broken_logs_never_raise_and_never_invent(data: st.DataObject) -> None:
    rows = [w.history({("x", "path"): f"media/table/x_{step}_{A}.table.json"}, step) for step in range(400)]
    log = bytearray(w.frame([w.run("r"), *rows, w.exit_code(0)])[: data.draw(st.integers(0, 60_000))])
    for _ in range(data.draw(st.integers(0, 5)) if log else 0):
        start = data.draw(st.integers(0, len(log) - 1))
        log[start : start + 3] = data.draw(st.binary(max_size=5))
        if not log:
            break
    assert read_versions(bytes(log)).last_step < 400


def test_reads_logs_of_the_real_wandb(real_project: Path) -> None:
    for path in sorted(real_project.glob("wandb/offline-run-*/run-*.wandb")):
        versions = read_versions(path.read_bytes())
        assert not versions.is_damaged
        assert versions.last_step >= 29
        assert {name.rsplit("_", 1)[0] for name in versions.versions.named} == {
            "media/html/samples_20",
            "media/table/eval/predictions_20",
        }
        assert all((path.parent / "files" / name).is_file() for name in versions.versions.named)


def test_reads_incremental_tables_of_the_real_wandb(media_run: Path) -> None:
    log = next(media_run.glob("run-*.wandb")).read_bytes()
    found = read_versions(log)
    names = {name.rsplit("_", 1)[0] for name in found.versions.named}
    assert found.versions.incremental == {"eval/rows"}
    assert found.last_step == 4
    assert names == {
        "media/html/last_summary",
        "media/html/page_4",
        "media/table/eval/rows_4",
        "media/table/plain_4",
    }
