"""Cache of logs: the same answers as reading again, and never an error."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from hsm.discover.index import SCHEMA, RunIndex, load_index, save_index
from hsm.model import RunVersions
from hsm.wandb_log.facts import LogFacts
from hsm.wandb_log.media import LogMedia

if TYPE_CHECKING:
    from pathlib import Path

LOG = "/p/wandb/run-1/run-1.wandb"
FACTS = LogFacts("r\udcff", group="g", sweep_id="s", config_sweep_id="c", args=("a", "b"), exit_code=3)
MEDIA = LogMedia(RunVersions(frozenset({"media/x"}), frozenset({"t"})), last_step=7, is_damaged=True)


def make_index() -> RunIndex:
    index = RunIndex()
    index.put_facts(LOG, size=100, mtime_ns=5, facts=FACTS)
    index.put_media(LOG, size=100, mtime_ns=5, media=MEDIA)
    return index


def test_gives_back_what_was_put_after_a_save_and_a_load(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "runs.json"
    assert save_index(make_index(), path) == ()
    index, problems = load_index(path)
    assert problems == ()
    assert index.get_facts(LOG, size=100, mtime_ns=5) == FACTS
    assert index.get_media(LOG, size=100, mtime_ns=5) == MEDIA
    assert not index.is_changed


@pytest.mark.parametrize(("size", "mtime_ns"), [(101, 5), (100, 6)])
def test_knows_nothing_of_a_log_that_has_changed(size: int, mtime_ns: int) -> None:
    index = make_index()
    assert index.get_facts(LOG, size=size, mtime_ns=mtime_ns) is None
    assert index.get_media(LOG, size=size, mtime_ns=mtime_ns) is None


def test_a_changed_log_takes_its_old_media_along() -> None:
    index = make_index()
    index.put_facts(LOG, size=200, mtime_ns=9, facts=FACTS)
    assert index.get_media(LOG, size=100, mtime_ns=5) is None
    assert index.get_media(LOG, size=200, mtime_ns=9) is None


def test_drops_vanished_logs_of_listed_folders_alone() -> None:
    index = RunIndex()
    for log in ("/p/wandb/run-1/run-1.wandb", "/p/wandb/run-2/run-2.wandb", "/other/run-3/run-3.wandb"):
        index.put_facts(log, size=1, mtime_ns=1, facts=FACTS)
    index.drop_vanished({"/p/wandb"}, {"/p/wandb/run-1/run-1.wandb"})
    assert len(index.make_document()["logs"]) == 2
    assert index.get_facts("/p/wandb/run-2/run-2.wandb", size=1, mtime_ns=1) is None


def test_a_missing_cache_is_empty(tmp_path: Path) -> None:
    index, problems = load_index(tmp_path / "runs.json")
    assert (len(index.make_document()["logs"]), problems) == (0, ())


DAMAGED = {
    "no JSON": "{",
    "another schema": json.dumps({"schema": SCHEMA + 1, "hsm": "9", "logs": {}}),
    "no object": "[]",
    "no UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_cache_is_ignored_with_a_notice(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "runs.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    index, (problem,) = load_index(path)
    assert len(index.make_document()["logs"]) == 0
    assert (problem.kind, problem.is_failure) == ("damaged_cache", False)


@pytest.mark.parametrize("record", [None, 5, [], [100, 5], [100, 5, 7, 7], [100, 5, [1], [1]], {"a": 1}])
def test_a_damaged_entry_is_no_entry(tmp_path: Path, record: object) -> None:
    path = tmp_path / "runs.json"
    path.write_text(json.dumps({"schema": SCHEMA, "hsm": "1", "logs": {LOG: record}}))
    index, problems = load_index(path)
    assert problems == ()
    assert index.get_facts(LOG, size=100, mtime_ns=5) is None
    assert index.get_media(LOG, size=100, mtime_ns=5) is None
    index.put_facts(LOG, size=100, mtime_ns=5, facts=FACTS)
    assert index.get_facts(LOG, size=100, mtime_ns=5) == FACTS


def test_a_cache_that_cannot_be_written_is_a_notice(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    (problem,) = save_index(make_index(), tmp_path / "cache" / "runs.json")
    assert (problem.kind, problem.is_failure) == ("unwritable_cache", False)


def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    assert save_index(RunIndex(), tmp_path / "runs.json") == ()
    assert not (tmp_path / "runs.json").exists()


def test_ten_thousand_known_runs_load_and_match_quickly(tmp_path: Path) -> None:
    index = RunIndex()
    logs = [f"/p/wandb/run-{number}/run-{number}.wandb" for number in range(10_000)]
    for log in logs:
        index.put_facts(log, size=1, mtime_ns=1, facts=FACTS)
    save_index(index, tmp_path / "runs.json")
    began = time.process_time()
    loaded, _ = load_index(tmp_path / "runs.json")
    assert all(loaded.get_facts(log, size=1, mtime_ns=1) for log in logs)
    assert time.process_time() - began < 1


def test_facts_of_an_older_version_are_read_anew() -> None:
    """It did not know whether a file is a log at all."""
    index = RunIndex({LOG: [100, 5, ["r", "g", "s", "c", ["a"], 3, False, True, False], None]})
    assert index.get_facts(LOG, size=100, mtime_ns=5) is None
    index.put_facts(LOG, size=100, mtime_ns=5, facts=FACTS)
    assert index.get_facts(LOG, size=100, mtime_ns=5) == FACTS


@pytest.mark.parametrize("facts", [LogFacts(is_foreign=True), LogFacts(is_foreign=True, is_pointer=True)])
def test_a_file_that_is_no_log_stays_none(facts: LogFacts) -> None:
    index = RunIndex()
    index.put_facts(LOG, size=100, mtime_ns=5, facts=facts)
    assert index.get_facts(LOG, size=100, mtime_ns=5) == facts
