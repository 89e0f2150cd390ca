"""What CI does about a test that fails now and then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / ".ci" / "run_tests.py"

FLAKY = """
from pathlib import Path
def test_flaky():
    seen = Path("seen")
    assert seen.exists() or seen.touch()
"""
BROKEN = """
def test_broken():
    raise AssertionError
"""
MANY = """
import pytest
@pytest.mark.parametrize("number", range(5))
def test_many(number):
    raise AssertionError
"""


@pytest.mark.parametrize(
    ("text", "code", "flaky", "n_runs"),
    [
        pytest.param("def test_right(): pass", 0, [], 1, id="all pass"),
        pytest.param(FLAKY, 0, ["test_flaky"], 2, id="one fails once"),
        pytest.param(BROKEN, 1, [], 2, id="one fails twice"),
        pytest.param(FLAKY + BROKEN, 1, ["test_flaky"], 2, id="one of each"),
        pytest.param(FLAKY + MANY, 1, [], 1, id="too many fail"),
        pytest.param("import nowhere", 2, [], 1, id="nothing could be run"),
    ],
)
def test_what_fails_is_tried_once_more(text: str, code: int, flaky: list[str], n_runs: int, tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_it.py").write_text(text)
    argv = [sys.executable, PROGRAM, "--", "-q"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == code, done.stdout
    said = [line for line in done.stdout.splitlines() if line.startswith("=== ")]
    assert said[n_runs - 1 :] == [f"=== flaky: test_it.py::{name} passed only at its second try ===" for name in flaky]
    assert len(said) == n_runs - 1 + len(flaky)
