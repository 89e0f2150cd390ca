"""Modes of files that arrive."""

from __future__ import annotations

import pytest

from hsm.config.settings import ReceiveMode
from hsm.transfer.modes import choose_mode


@pytest.mark.parametrize(
    ("source", "there", "receive_mode", "expected"),
    [
        pytest.param(0o100600, None, "private", 0o600, id="a private file stays private"),
        pytest.param(0o100644, None, "private", 0o644, id="an open file stays open"),
        pytest.param(0o100444, None, "private", 0o644, id="its owner may write to it"),
        pytest.param(0o104755, None, "private", 0o755, id="nothing arrives setuid"),
        pytest.param(0o100600, None, "umask", 0o666, id="what the umask leaves"),
        pytest.param(0o100700, None, "umask", 0o777, id="a program stays one"),
        pytest.param(0o100644, 0o100600, "private", 0o600, id="what is replaced keeps its mode"),
        pytest.param(0o100600, 0o100640, "umask", 0o640, id="what is replaced keeps its mode, with the umask too"),
        pytest.param(0o100644, 0o100444, "umask", 0o644, id="its owner may write to what replaces it"),
    ],
)
def test_a_mode_is_chosen(source: int, there: int | None, receive_mode: ReceiveMode, expected: int) -> None:
    assert choose_mode(source, there, receive_mode) == expected
