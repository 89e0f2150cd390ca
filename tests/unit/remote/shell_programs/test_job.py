"""Commands that outlive the session that started them, run by the shells of this machine."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from hsm.errors import TargetError
from hsm.process.runner import Completed, Runner
from hsm.remote.local import LocalShell
from hsm.remote.shell_programs.job import JobEnd, run_job


class OtherShell(LocalShell):
    """Runs programs by another shell than /bin/sh, or by one that does not find setsid(1)."""

    def __init__(self, program: str, before: str = "") -> None:
        super().__init__(Runner())
        self._program = program
        self._before = before

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        return self._runner.run([self._program, "-c", self._before + program], stdin=stdin, timeout_seconds=60)


HIDE = 'command() { if [ "$2" = setsid ]; then return 1; fi; return 0; }\n'


@pytest.fixture(params=["/bin/sh", "bash", "bash without setsid"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalShell:
    """Return a shell whose temporary files lie in the test's folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    name, _, without = str(request.param).partition(" without ")
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return OtherShell(name, HIDE if without else "")


def list_left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("hsm-job")]


def test_its_end_and_its_output_are_told(shell: LocalShell, tmp_path: Path) -> None:
    program = "echo it\\'s out; printf 'bad \\377' >&2; cat; exit 3"
    assert run_job(shell, program) == JobEnd(3, "it's out\nbad �")
    assert list_left(tmp_path) == []


def test_of_much_output_the_end_is_kept(shell: LocalShell) -> None:
    end = run_job(shell, "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done")
    assert len(end.output) == 64 * 1024
    assert end.output.endswith("19998\n19999\n")


def test_what_takes_too_long_is_ended_with_all_that_it_started(shell: LocalShell, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    for limit in (1, 5, 50):  # on a busy machine it may not have begun so soon
        end = run_job(shell, f"sleep 300 & echo $! >{pid_file}; wait", limit_seconds=limit)
        assert end.status is None
        if pid_file.exists():
            break
    assert list_left(tmp_path) == []
    stat = Path(f"/proc/{pid_file.read_text().strip()}/stat")
    deadline = time.monotonic() + 20
    while stat.exists() and ") Z" not in stat.read_text():
        assert time.monotonic() < deadline, "what it started still runs"
        time.sleep(0.02)


def test_a_program_that_arrives_cut_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cutting(LocalShell):
        def run(self, program: str, *, stdin: bytes = b"") -> Completed:
            return super().run(program, stdin=stdin[:-5])

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(TargetError, match="No command could be begun"):
        run_job(Cutting(Runner()), f"touch {tmp_path}/begun\n#####")
    assert list(tmp_path.glob("[!h]*")) == []


def test_no_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(TargetError, match="No command could be begun") as caught:
        run_job(LocalShell(Runner()), "true")
    assert caught.value.kind == "no_room_for_command"
