"""The note beside a score file of its last pull."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.hosts.scores.pull import get_state_path, read_last_sync


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', '{"schema": 1, "pulled_at": "x"}'])
def test_a_damaged_note_says_nothing(tmp_path: Path, text: str) -> None:
    get_state_path(tmp_path / "a.db").write_text(text)
    assert read_last_sync(tmp_path / "a.db") is None
