"""Locks: their holders, the dead ones among these, and the lock of this side."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import LockedError, TargetError
from hsm.records.lock import (
    STALE_MINUTES,
    Holder,
    abandon,
    hold_local_lock,
    is_dead_here,
    make_holder,
    make_lock_content,
    make_locked_error,
    parse_holder,
)

SINCE = "2025-10-20T21:28:36+00:00"


def list_names(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


@pytest.fixture
def living_pid() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid


def test_this_process_is_named_and_every_lock_is_another() -> None:
    one, two = make_holder("abc", SINCE), make_holder("abc", SINCE)
    assert (one.source_id, one.host, one.pid, one.since) == ("abc", socket.gethostname(), os.getpid(), SINCE)
    assert one.nonce != two.nonce
    assert parse_holder(make_lock_content(one)) == one


def test_the_content_is_one_line_that_holds_the_nonce() -> None:
    holder = make_holder("abc", SINCE)
    content = make_lock_content(holder)
    assert content.count(b"\n") == 1
    assert content.endswith(b"\n")
    assert holder.nonce.encode() in content


def change(**changes: Any) -> bytes:
    return json.dumps({**asdict(make_holder("abc", SINCE)), **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(change()[:-1], id="cut"),
        pytest.param(change(pid=0), id="every process of the group"),
        pytest.param(change(pid=-1), id="every process"),
        pytest.param(change(pid=True), id="true"),
        pytest.param(change(pid="1"), id="a word for a process"),
        pytest.param(change(pid=1.5), id="half a process"),
        pytest.param(change(pid=2**31), id="no process has it"),
        pytest.param(change(pid=10**30), id="far too large"),
        pytest.param(change(host=["x"]), id="a list for a host"),
        pytest.param(change(since=None), id="no time"),
        pytest.param(change(more=1), id="an unknown key"),
    ],
)
def test_a_damaged_lock_has_no_holder(content: bytes) -> None:
    assert parse_holder(content) is None


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_nothing_in_a_lock_ends_the_program(content: bytes) -> None:
    assert parse_holder(content) is None


def test_who_is_dead_here(dead_pid: int, living_pid: int) -> None:
    here = make_holder("abc", SINCE)
    assert not is_dead_here(here)
    assert not is_dead_here(replace(here, pid=living_pid))
    assert not is_dead_here(replace(here, pid=1))
    assert is_dead_here(replace(here, pid=dead_pid))
    assert not is_dead_here(replace(here, pid=dead_pid, host="elsewhere"))
    assert not is_dead_here(replace(here, pid=dead_pid, machine="another one of this name"))


def test_a_process_of_another_user_lives(monkeypatch: pytest.MonkeyPatch, living_pid: int) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)
    assert not is_dead_here(replace(make_holder("abc", SINCE), pid=living_pid))


def test_a_lock_that_this_process_gave_up_has_a_dead_holder_and_no_other_has() -> None:
    given_up, other = make_holder("abc", SINCE), make_holder("abc", SINCE)
    abandon(given_up.nonce)
    assert (is_dead_here(given_up), is_dead_here(other)) == (True, False)


def test_the_error_says_who_since_when_and_what_to_do() -> None:
    error = make_locked_error(Holder("n", "abc", "login1", 4711, SINCE), sweep="s", target="desktop")
    assert "process 4711 on login1 since 2025-10-20T21:28:36+00:00" in error.message
    assert "--break-lock" in error.hint
    assert "15 minutes" in error.hint
    assert (error.kind, int(error.exit_code)) == ("locked", 11)
    assert "somebody unknown" in make_locked_error(None, sweep="s", target="desktop").message


def hold(path: Path, *, breaks: bool = False) -> Any:
    return hold_local_lock(path, sweep="s", target="desktop", breaks=breaks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".hsm/sync/desktop/s.lock"


def test_the_local_lock_is_private_and_gone_afterwards(path: Path) -> None:
    with hold(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in path.parents[:3]] == [0o700] * 3
    assert list_names(path.parent) == []
    with pytest.raises(RuntimeError), hold(path):
        raise RuntimeError
    assert list_names(path.parent) == []


def start_holder(path: Path) -> subprocess.Popen[bytes]:
    program = (
        "import sys; from pathlib import Path; from hsm.records.lock import hold_local_lock\n"
        "with hold_local_lock(Path(sys.argv[1]), sweep='s', target='t', breaks=False): print(flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    return process


def test_a_second_process_is_told_who_holds_it_and_a_dead_one_is_taken_over(path: Path) -> None:
    with start_holder(path) as other:
        with pytest.raises(LockedError, match=f"process {other.pid} on ") as caught, hold(path):
            pass
        assert (caught.value.kind, int(caught.value.exit_code)) == ("locked", 11)
        assert "--break-lock" in caught.value.hint
        other.kill()
    assert path.exists()
    with hold(path):
        assert path.read_text().startswith(f"{os.getpid()}\n")
    assert list_names(path.parent) == []


def test_a_lock_can_be_broken_and_the_old_holder_leaves_the_new_one_alone(path: Path) -> None:
    with start_holder(path) as other, hold(path, breaks=True):
        other.communicate(b"\n", 20)
        assert path.read_text().startswith(f"{os.getpid()}\n")
    assert list_names(path.parent) == []


def test_a_lock_of_another_machine_stays(path: Path, dead_pid: int) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(f"{dead_pid}\nelsewhere\n")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    with pytest.raises(LockedError, match=f"process {dead_pid} on elsewhere"), hold(path):
        pass
    with hold(path, breaks=True):
        pass


def test_an_empty_lock_is_taken_over_once_it_is_old(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    for age_minutes in (0, STALE_MINUTES - 1):
        made_at = time.time() - age_minutes * 60
        os.utime(path, (made_at, made_at))
        with pytest.raises(LockedError, match="another process"), hold(path):
            pass
    made_at = time.time() - (STALE_MINUTES + 1) * 60
    os.utime(path, (made_at, made_at))
    with hold(path):
        pass
    assert list_names(path.parent) == []


def test_a_lock_that_cannot_be_made_is_an_error(path: Path) -> None:
    path.parents[1].mkdir(parents=True)
    path.parent.write_text("a file")
    with pytest.raises(TargetError) as caught, hold(path):
        pass
    assert caught.value.kind == "journal_unwritable"


class OlderLock(filelock.SoftFileLock):
    """As filelock before 4.2.4: it removes the lock of a dead process, and then says that it is held."""

    def acquire(self, *args: Any, **options: Any) -> Any:
        content = Path(self.lock_file).read_text("ascii") if Path(self.lock_file).exists() else ""
        if content.startswith("dead"):
            Path(self.lock_file).unlink()
            raise filelock.Timeout(self.lock_file)
        return super().acquire(*args, **options)


def test_the_lock_of_a_dead_process_is_taken_at_once_with_an_older_filelock_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelock, "SoftFileLock", OlderLock)
    path.parent.mkdir(parents=True)
    path.write_text("dead")
    with hold(path):
        assert path.read_text().startswith(f"{os.getpid()}\n")
    path.write_text("4711\nelsewhere\n")
    with pytest.raises(LockedError), hold(path):
        pass


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_what_is_no_lock_file_is_not_waited_for(make: Callable[[Path], None], path: Path) -> None:
    path.parent.mkdir(parents=True)
    make(path)
    with pytest.raises((LockedError, TargetError)), hold(path):
        pass
