"""Places that do not answer: a df and a statfs that hang stand for a mount whose server is away."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hsm.process.runner import Runner
from hsm.remote.local import LocalShell
from hsm.sync.doctor import silence
from hsm.sync.doctor.silence import (
    SilentPlaceError,
    check_answers_by_sftp,
    check_answers_here,
    check_answers_there,
)

HUNG = "/hung/project/sweeps"


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second, for what never answers: what does may take longer on a busy machine."""
    monkeypatch.setattr(silence, "ANSWER_SECONDS", 1)


@pytest.fixture(params=["timeout", "no timeout"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalShell:
    """A shell whose df hangs for some paths, with timeout(1) and without it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "sleep", *(["timeout"] if request.param == "timeout" else [])):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"there is no {name} here")
        (programs / name).symlink_to(found)
    df = programs / "df"
    df.write_text("#!/bin/sh\ncase $3 in /hung/*) exec sleep 50;; /none) exit 1;; esac\n")
    df.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    return LocalShell(Runner(), name="desktop")


def test_places_that_answer_or_are_missing_behind_a_shell(shell: LocalShell) -> None:
    check_answers_there(shell, ["/tmp", "/none", "~/project"])


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("paths", [[HUNG, "/tmp"], ["/none", HUNG]])
def test_one_that_does_not_answer_behind_a_shell(paths: list[str], shell: LocalShell) -> None:
    with pytest.raises(SilentPlaceError, match=f"^{HUNG} does not answer: desktop was asked") as caught:
        check_answers_there(shell, paths)
    assert "hsm sync doctor" in caught.value.hint


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    gate = threading.Event()
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: gate.wait() if path == HUNG else real(path))
    yield
    gate.set()


def test_places_of_this_machine_that_answer_or_are_missing(tmp_path: Path) -> None:
    check_answers_here([str(tmp_path), str(tmp_path / "none"), "~/x"])


@pytest.mark.usefixtures("hanging", "_quick")
def test_one_of_this_machine_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(SilentPlaceError, match="this machine was asked"):
        check_answers_here([str(tmp_path), HUNG])


class Sessions:
    """Sessions of a server that answers for all paths but one."""

    name = "nas"

    def use_sftp(self, call: Callable[[Any, Callable[[], None]], object]) -> object:
        def ask(request: Any, *, check: Callable[[], None]) -> None:
            while request.path == HUNG:
                check()

        return call(SimpleNamespace(ask=ask), lambda: None)


def test_places_behind_sftp_that_answer() -> None:
    check_answers_by_sftp(Sessions(), ["/tmp", "~/x"])  # type: ignore[arg-type]


@pytest.mark.usefixtures("_quick")
def test_one_behind_sftp_that_does_not_answer() -> None:
    with pytest.raises(SilentPlaceError, match="nas was asked"):
        check_answers_by_sftp(Sessions(), ["/tmp", HUNG])  # type: ignore[arg-type]
