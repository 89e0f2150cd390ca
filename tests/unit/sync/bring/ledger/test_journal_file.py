"""The journal's file: what is read before the lock is held is only a guess, and what is written is what counts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.errors import TargetError
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Journal, Route, load_journal, save_journal
from hsm.records.record import RunRecord
from hsm.sync.bring.ledger.journal_file import JournalFile

ROUTE = Route("push", "desktop", None, None, "/s", "/w")
BEFORE = Journal(ROUTE, generation=3, receipt="12 345", runs={"run-1": RunRecord(n_files=1)})
MEANWHILE = replace(BEFORE, generation=4)  # as many bytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = ProjectFolder(tmp_path).journal("desktop", "sweep_1")
    save_journal(path, BEFORE)
    return path


def test_what_another_process_wrote_after_the_peek_is_read_under_the_lock(path: Path) -> None:
    file = JournalFile(path, ROUTE)
    assert file.peek() == ("run-1",)
    save_journal(path, MEANWHILE)
    file.load(sets_aside=True)
    assert file.journal == MEANWHILE


def test_what_another_process_wrote_during_the_peek_is_read_under_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes at the very moment at which the file's stamp is read: simulated in the system call."""
    stat, others = os.stat, iter([MEANWHILE])

    def write_and_stat(asked: Any, **options: Any) -> os.stat_result:
        if asked == path:
            for journal in others:
                save_journal(path, journal)
        return stat(asked, **options)

    file = JournalFile(path, ROUTE)
    monkeypatch.setattr(os, "stat", write_and_stat)
    file.peek()
    file.load(sets_aside=True)
    assert next(others, None) is None
    assert file.journal == MEANWHILE


@pytest.mark.parametrize("peeks", [False, True], ids=["read once", "peeked at before"])
def test_one_that_is_not_used_is_told_and_set_aside_with_the_lock_held(path: Path, peeks: bool) -> None:
    path.write_text("{")
    file = JournalFile(path, ROUTE)
    assert not peeks or file.peek() == ()
    assert path.exists()
    file.load(sets_aside=True)
    assert [notice.kind for notice in file.notices] == ["damaged_journal"]
    assert (file.journal, path.exists()) == (Journal(ROUTE), False)


def test_one_that_cannot_be_written_is_an_error_and_is_known_all_the_same(path: Path) -> None:
    file = JournalFile(path, ROUTE)
    file.load(sets_aside=True)
    path.unlink()
    path.mkdir()
    with pytest.raises(TargetError, match="cannot be written"):
        file.save(MEANWHILE)
    assert file.journal == MEANWHILE


def test_what_was_saved_is_what_the_next_call_reads(path: Path) -> None:
    file = JournalFile(path, ROUTE)
    file.peek()
    file.load(sets_aside=True)
    file.save(MEANWHILE)
    assert load_journal(path, ROUTE, sets_aside=False) == (MEANWHILE, ())
