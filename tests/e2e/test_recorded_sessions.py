"""Terminal sessions on pages are what the program prints: they are recorded again, and compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from session_text import PageError, Rules, make_fixed, make_run_names, replace_sessions

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
RECORDER = REPOSITORY / "examples" / "demo" / "record_sessions.py"
SESSION = re.compile(r"^<!-- session: (\S+) -->\n(.*?)^<!-- end -->$", re.DOTALL | re.MULTILINE)
RUN = "offline-run-20261122_101112-abcdefgh"
SHOWN = "offline-run-20251020_212901-12345678"
RULES = Rules(date(2026, 11, 22), {"/tmp/x1/cluster": "/home/me/code"}, "a-long-name", "login1", {RUN: SHOWN})


def read_sessions(page: Path) -> dict[str, str]:
    return dict(SESSION.findall(page.read_text("utf-8")))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("SYNC.md", {"pull", "follow", "status", "choose", "resolved"}),
        ("QUICKSTART.md", {"first-pull", "first-push"}),
        ("LAYOUTS.md", {"loose", "groups", "agents", "parts", "outputs", "hydra", "folders", "old"}),
    ],
)
def test_a_page_shows_what_a_recording_shows(
    tmp_path: Path, name: str, known: set[str], require_program: Callable[..., None]
) -> None:
    require_program("rsync", "ssh", "ssh-keygen", "sshd")
    page = tmp_path / name
    shown = (DOCS / name).read_text("utf-8")
    page.write_text(SESSION.sub(r"<!-- session: \1 -->\n<!-- end -->", shown), "utf-8")
    completed = subprocess.run(
        [sys.executable, RECORDER, page],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    recorded = read_sessions(page)
    assert known <= recorded.keys()
    assert read_sessions(DOCS / name) == recorded, "`make sessions` brings the page up to date"


def test_the_first_sync_takes_two_commands_and_no_edited_file() -> None:
    """With the installation these are three; the third line of each session only looks."""
    sessions = read_sessions(DOCS / "QUICKSTART.md")
    for name, (begin, sync) in {"first-pull": ("init --pull", "from"), "first-push": ("init --push", "to")}.items():
        typed = re.findall(r"^\$ (.*)$", sessions[name], re.MULTILINE)
        assert [line.split()[:3] for line in typed[:2]] == [["hsm", "sync", "init"], ["hsm", "sync", sync]]
        assert begin in typed[0]
        assert typed[2:] == ["hsm"]


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        pytest.param("in /tmp/x1/cluster/P\n", "in /home/me/code/P\n", id="path"),
        pytest.param(f"{RUN} died\n", f"{SHOWN} died\n", id="run"),
        pytest.param("done: 3 files in 1 min 07 s\n", "done: 3 files in 0.5 s\n", id="duration"),
        pytest.param("Followed for 48 s, 31 passes\n", "Followed for 30 s, 9 passes\n", id="follow"),
        pytest.param("at 2026-11-23 00:01, x\n", "at 2025-10-22 04:06, x\n", id="day of the recording"),
        pytest.param("at 2025-10-20 23:59:50\n", "at 2025-10-20 23:59:50\n", id="day of a sweep"),
        pytest.param("11:12:13 a\n11:59:01 b\n", "04:06:00 a\n04:06:10 b\n", id="clock"),
        pytest.param("a\nhpc: 40 %: 1 of 2 files\nb\n", "a\nb\n", id="slow transfer"),
        pytest.param(
            "s\n  at                      runs\n  here, from a-long-name     2\n  from a-long-name:/p: x\n",
            "s\n  at                 runs\n  here, from login1     2\n  from login1:/p: x\n",
            id="machine in a table",
        ),
    ],
)
def test_what_is_the_recordings_own_is_replaced(text: str, fixed: str) -> None:
    assert make_fixed(text, RULES) == fixed


def test_a_run_without_a_name_to_show_is_an_error() -> None:
    with pytest.raises(PageError, match="nothing stands for offline-run-20261122_101112-zzzzzzzz"):
        make_fixed("offline-run-20261122_101112-zzzzzzzz", RULES)


def test_names_of_runs_keep_their_order_and_length() -> None:
    names = ["offline-run-20261122_101113-b", "offline-run-20261122_101112-c"]
    shown = make_run_names(names, "20251020")
    assert sorted(names, key=shown.__getitem__) == sorted(names)
    assert {len(name) for name in shown.values()} == {len(RUN)}


@pytest.mark.parametrize("page", ["no place\n", "<!-- session: a -->\n", "<!-- session: b -->\n<!-- end -->\n"])
def test_a_page_without_the_sessions_place_is_refused(page: str) -> None:
    with pytest.raises(PageError):
        replace_sessions(page, {"a": "$ hsm\n"})
