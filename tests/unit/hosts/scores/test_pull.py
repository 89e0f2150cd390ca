"""The note beside a score file of its last pull."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.hosts.scores.pull import get_state_path, read_last_numbers, read_last_sync


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', '{"schema": 1, "pulled_at": "x"}'])
def test_a_damaged_note_says_nothing(tmp_path: Path, text: str) -> None:
    get_state_path(tmp_path / "a.db").write_text(text)
    assert read_last_sync(tmp_path / "a.db") is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ('{"schema": 1, "numbers": {"games": 7, "log": "x"}}', {"games": 7}),
        ('{"schema": 1, "pulled_at": 1}', None),
        ("{", {}),
    ],
)
def test_the_note_has_the_highest_numbers(tmp_path: Path, text: str, numbers: dict[str, int] | None) -> None:
    assert read_last_numbers(tmp_path / "a.db") == {}
    get_state_path(tmp_path / "a.db").write_text(text)
    assert read_last_numbers(tmp_path / "a.db") == numbers
