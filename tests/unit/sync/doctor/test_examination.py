"""What the doctor finds at a target, row by row: over OpenSSH, over SFTP, in a folder, and on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.errors import (
    ExitCode,
    HostUnknownError,
    HsmError,
    LoginRefusedError,
    NoAnswerError,
    NoShellError,
    NoSshError,
    SessionsRefusedError,
    TargetError,
    UnknownHostKeyError,
)
from hsm.model import Root
from hsm.process.runner import Completed, Runner
from hsm.remote.local import LocalShell
from hsm.remote.openssh.host_keys import StoredKey
from hsm.sync.doctor.doctor import examine
from hsm.sync.doctor.findings import CheckState, Checkup, DoctorRow
from hsm.sync.doctor.here import examine_here
from hsm.sync.doctor.openssh import OpenSshExamination
from hsm.sync.doctor.rows import NAMES, Rows
from hsm.sync.doctor.sftp import SftpExamination

LAYOUT = Layout("/nowhere", "/nowhere/sweeps", "/nowhere/wandb")

OK, WARNING, FAILED, NOT_CHECKED = CheckState
NEW, OLD = "rsync  version 3.5.0  protocol version 32", "rsync  version 2.6.3  protocol version 28"


def write_rsync(folder: Path, version: str) -> Path:
    """Write a program that says that it is some rsync."""
    folder.mkdir(exist_ok=True)
    path = folder / "rsync"
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def rsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a new rsync into this machine's path; the program is the answer."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return write_rsync(tmp_path / "bin", NEW)


def make_settings(tmp_path: Path, **changes: Any) -> TargetSettings:
    folders = {root.value: str(tmp_path / "there" / root.value) for root in Root}
    given = {"host": "127.0.0.1", "paths": folders, **changes}
    return parse_target({name: value for name, value in given.items() if value is not None})


def list_states(rows: Rows | Checkup) -> dict[str, CheckState]:
    checkup = rows.make_checkup() if isinstance(rows, Rows) else rows
    return {row.name: row.state for row in checkup.checks}


def find_row(rows: Rows | Checkup, name: str) -> DoctorRow:
    checkup = rows.make_checkup() if isinstance(rows, Rows) else rows
    return next(row for row in checkup.checks if row.name == name)


# -- OpenSSH ---------------------------------------------------------------------------------------------------------


@dataclass
class FakeSsh:
    """A target behind OpenSSH that is this machine; each moment may fail.

    Attributes:
        errors: What is raised by `resolve`, `login`, and `run`.
        n_sessions: That are open at once at most.
        calls: Of all kinds, in their order.
    """

    errors: Mapping[str, HsmError] = field(default_factory=dict)
    noise: bytes = b""
    jump: str = ""
    n_sessions: int = 99
    keys: list[StoredKey] = field(default_factory=lambda: [StoredKey("/known", 7, "ED25519 SHA256:x")])
    calls: list[str] = field(default_factory=list)
    name: str = "cluster"

    def __post_init__(self) -> None:
        self._shell = LocalShell(Runner(), name=self.name)
        self.program = SimpleNamespace(
            resolve=self._resolve, jump=self.jump, list_known_keys=lambda: self.keys, command_line="ssh cluster"
        )

    def _reach(self, moment: str) -> None:
        self.calls.append(moment)
        if moment in self.errors:
            raise self.errors[moment]

    def _resolve(self) -> dict[str, str]:
        self._reach("resolve")
        return {"user": "me", "hostname": "127.0.0.1", "port": "2222"}

    def login(self, *, may_ask: bool = False) -> None:
        self._reach("login asks" if may_ask else "login")

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        if program.startswith("sleep "):
            self._reach("session")
            if self.calls.count("session") > self.n_sessions:
                raise SessionsRefusedError("too many")
            return Completed(0, b"", b"")
        self._reach("run")
        return self._shell.run(program, stdin=stdin)


class NoSftp:
    """An examination over SFTP that only notes what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def __call__(self, reason: str) -> Any:
        def note(what: str) -> Callable[[], None]:
            return lambda: self.calls.append((what, reason))

        return SimpleNamespace(fill=note("all"), fill_engine=note("engine"))


def fill(ssh: FakeSsh, settings: TargetSettings) -> tuple[Rows, list[tuple[str, str]]]:
    rows, sftp = Rows("cluster", LAYOUT), NoSftp()
    OpenSshExamination(ssh, settings, Runner(), None, rows, sftp).fill()  # type: ignore[arg-type]
    return rows, sftp.calls


@pytest.fixture
def settings(tmp_path: Path, rsync: Path) -> TargetSettings:
    return make_settings(tmp_path, rsync_path=str(rsync))


def test_a_target_that_is_ready(settings: TargetSettings) -> None:
    ssh = FakeSsh()
    rows, sftp = fill(ssh, settings)
    assert list_states(rows) == dict.fromkeys(NAMES, OK)
    assert find_row(rows, "settings").found == "me@127.0.0.1 port 2222, as ssh's settings have it"
    assert find_row(rows, "host_key").found == "known: ED25519 SHA256:x in /known:7"
    assert (ssh.calls.count("login"), sftp) == (1, [])
    assert not Path(settings.paths.sweeps).exists(), "nothing is written"


FAILURES = {
    "ssh's settings": ({"resolve": LoginRefusedError("bad option")}, "settings", 2),
    "an unknown name": ({"login": HostUnknownError("no such host")}, "name", 10),
    "no answer": ({"login": NoAnswerError("silence")}, "connection", 10),
    "an unknown key": ({"login": UnknownHostKeyError("who is that")}, "host_key", 10),
    "a refused login": ({"login": LoginRefusedError("no")}, "login", 10),
    "a session that breaks": ({"run": NoAnswerError("gone")}, "shell", 10),
    "a shell that refuses": ({"run": TargetError("no", kind="odd")}, "shell", 1),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_is_a_row_and_ends_it(settings: TargetSettings, name: str) -> None:
    errors, failed, code = FAILURES[name]
    rows, sftp = fill(FakeSsh(errors), settings)
    states = list_states(rows)
    place = NAMES.index(failed)
    assert states == {row: OK if n < place else FAILED if n == place else NOT_CHECKED for n, row in enumerate(NAMES)}
    assert find_row(rows, NAMES[-1]).found == f"because of {failed.replace('_', ' ')}"
    assert int(rows.make_checkup().exit_code) == code
    assert sftp == []


TURNS = {
    "no ssh here": ({"resolve": NoSshError("none")}, {}, "There is no ssh on this machine."),
    "no shell there": ({"run": NoShellError("sftp only")}, {}, "The target runs no commands."),
    "no ssh, and none but rsync wanted": ({"resolve": NoSshError("none")}, {"engine": "rsync"}, None),
    "no shell, and OpenSSH wanted": ({"run": NoShellError("no")}, {"ssh": {"client": "openssh"}}, None),
}


@pytest.mark.parametrize("name", TURNS)
def test_sftp_does_all_where_a_sync_would_turn_to_it(tmp_path: Path, rsync: Path, name: str) -> None:
    errors, changes, reason = TURNS[name]
    rows, sftp = fill(FakeSsh(errors), make_settings(tmp_path, rsync_path=str(rsync), **changes))
    assert sftp == ([] if reason is None else [("all", reason)])
    assert (FAILED in list_states(rows).values()) is (reason is None)


@pytest.mark.parametrize(
    ("version", "engine", "state", "tries"),
    [
        (NEW, "auto", OK, []),
        (OLD, "auto", WARNING, ["engine"]),
        (OLD, "rsync", FAILED, []),
        ("", "auto", WARNING, ["engine"]),
        ("", "rsync", FAILED, []),
    ],
)
def test_without_a_usable_rsync_there_sftp_carries_the_files(
    tmp_path: Path, rsync: Path, version: str, engine: str, state: CheckState, tries: list[str]
) -> None:
    there = write_rsync(tmp_path / "there-bin", version) if version else tmp_path / "none"
    rows, sftp = fill(FakeSsh(), make_settings(tmp_path, rsync_path=str(there), engine=engine))
    assert rsync.is_file()
    assert find_row(rows, "rsync").state is state
    assert [what for what, _ in sftp] == tries
    assert find_row(rows, "engine").state is (OK if state is OK else NOT_CHECKED)
    assert find_row(rows, "sessions").state is OK


def test_a_shell_that_prints_is_a_failure_and_the_rest_is_looked_at(settings: TargetSettings) -> None:
    rows, _ = fill(FakeSsh(noise=b"Welcome\x1b[1m!\n"), settings)
    row = find_row(rows, "shell")
    assert (row.state, row.exit_code) == (FAILED, ExitCode.PARTIAL)
    assert "`ssh cluster true` must print nothing" in row.hint
    assert "\x1b" not in row.found
    assert find_row(rows, "sessions").state is OK


@pytest.mark.parametrize(("n_sessions", "state"), [(4, OK), (2, WARNING), (0, WARNING)])
def test_sessions_that_are_refused_are_counted(tmp_path: Path, rsync: Path, n_sessions: int, state: CheckState) -> None:
    settings = make_settings(tmp_path, rsync_path=str(rsync), options={"parallel_transfers": 4})
    rows, _ = fill(FakeSsh(n_sessions=n_sessions), settings)
    row = find_row(rows, "sessions")
    assert (row.state, row.found.startswith(f"{n_sessions} at once")) == (state, True)


def test_behind_a_jump_host_the_name_is_looked_up_there(settings: TargetSettings) -> None:
    rows, _ = fill(FakeSsh(jump="gate"), settings)
    assert find_row(rows, "name").state is NOT_CHECKED
    assert find_row(rows, "connection").found == "127.0.0.1 port 2222 answers through gate"


@pytest.mark.parametrize(("n_keys", "words"), [(0, "not by a file"), (2, "in /k:1 and 1 more")])
def test_the_host_key_is_named_with_its_place(settings: TargetSettings, n_keys: int, words: str) -> None:
    keys = [StoredKey("/k", 1 + number, "ED25519 SHA256:x") for number in range(n_keys)]
    rows, _ = fill(FakeSsh(keys=keys), settings)
    assert find_row(rows, "host_key").state is OK
    assert words in find_row(rows, "host_key").found


# -- SFTP ------------------------------------------------------------------------------------------------------------


class FakeSftpSession:
    """A session that answers any question."""

    def ask(self, packet: object, check: Callable[[], None]) -> None:  # noqa: ARG002
        check()


@dataclass
class FakeClient:
    """The second client at a target that is this machine.

    Attributes:
        errors: What is raised by `login` and `open`.
        n_channels: That are open at once at most.
    """

    can_run: bool = True
    errors: Mapping[str, HsmError] = field(default_factory=dict)
    n_channels: int = 99
    n_open: int = 0
    calls: list[str] = field(default_factory=list)
    name: str = "nas"

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("logout")

    def login(self, *, may_ask: bool = False) -> None:
        self.calls.append("login asks" if may_ask else "login")
        if "login" in self.errors:
            raise self.errors["login"]

    @contextlib.contextmanager
    def open_sftp(self) -> Iterator[FakeSftpSession]:
        if "open" in self.errors:
            raise self.errors["open"]
        if self.n_open == self.n_channels:
            raise SessionsRefusedError("too many")
        self.n_open += 1
        try:
            yield FakeSftpSession()
        finally:
            self.n_open -= 1

    def use_sftp(self, call: Callable[[FakeSftpSession, Callable[[], None]], object]) -> object:
        with self.open_sftp() as session:
            return call(session, lambda: None)

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        assert self.can_run
        return LocalShell(Runner(), name=self.name).run(program, stdin=stdin)


def fill_sftp(client: FakeClient, settings: TargetSettings, reason: str = "") -> Rows:
    rows = Rows("nas", LAYOUT)
    SftpExamination(client, settings, Runner(), None, rows, reason).fill()  # type: ignore[arg-type]
    return rows


def test_a_target_that_sftp_serves(settings: TargetSettings) -> None:
    client = FakeClient()
    states = list_states(fill_sftp(client, settings))
    assert states == {**dict.fromkeys(NAMES, OK), "rsync": NOT_CHECKED}
    assert client.calls == ["login", "logout"]


def test_the_reason_why_sftp_is_used_is_told(settings: TargetSettings) -> None:
    found = find_row(fill_sftp(FakeClient(), settings, "There is no rsync."), "engine").found
    assert found.startswith("There is no rsync. SFTP carries the files: ")


SFTP_FAILURES = {
    "a refused login": ({"login": LoginRefusedError("no")}, "login"),
    "an unknown key": ({"login": UnknownHostKeyError("who")}, "host_key"),
    "no SFTP": ({"open": TargetError("no subsystem", kind="no_sftp")}, "engine"),
}


@pytest.mark.parametrize("name", SFTP_FAILURES)
def test_what_fails_over_sftp_ends_it_and_the_login(settings: TargetSettings, name: str) -> None:
    errors, failed = SFTP_FAILURES[name]
    client = FakeClient(errors=errors)
    states = list_states(fill_sftp(client, settings))
    assert [row for row, state in states.items() if state is FAILED] == [failed]
    assert states["sessions"] is NOT_CHECKED
    assert client.calls[-1] == "logout"


def test_the_engine_alone_beside_another_client(settings: TargetSettings) -> None:
    for errors, state in (({}, OK), ({"login": NoAnswerError("away")}, FAILED)):
        rows, client = Rows("nas", LAYOUT), FakeClient(errors=errors)
        SftpExamination(client, settings, Runner(), None, rows, "No rsync.").fill_engine()  # type: ignore[arg-type]
        states = list_states(rows)
        assert states.pop("engine") is state
        assert set(states.values()) == {NOT_CHECKED}
        assert client.calls == ["login", "logout"]


@pytest.mark.parametrize(("n_channels", "state"), [(8, OK), (1, WARNING)])
def test_channels_that_are_refused_are_counted(settings: TargetSettings, n_channels: int, state: CheckState) -> None:
    client = FakeClient(n_channels=n_channels)
    assert find_row(fill_sftp(client, settings), "sessions").state is state
    assert client.n_open == 0


# -- a folder, this machine, and all together ------------------------------------------------------------------------


def examine_all(tmp_path: Path, targets: dict[str, TargetSettings]) -> dict[str, Checkup]:
    project = str(tmp_path / "project")
    layout = Layout(project, f"{project}/sweeps", f"{project}/wandb")
    report = examine(targets, layout=layout, runner=Runner())
    return {checkup.name: checkup for checkup in report.targets}


def test_a_folder_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    settings = make_settings(tmp_path, host=None, engine="copy")
    found = examine_all(tmp_path, {"disk": settings})["disk"]
    assert set(list_states(found).values()) == {OK}
    assert list((tmp_path / "there").iterdir()) == []


def test_a_folder_in_the_project_is_wrong(tmp_path: Path) -> None:
    paths = {root.value: str(tmp_path / "project" / root.value) for root in Root}
    found = examine_all(tmp_path, {"disk": make_settings(tmp_path, host=None, paths=paths)})["disk"]
    assert list_states(found) == {
        "place": FAILED,
        **dict.fromkeys(("engine", "sweeps_folder", "sweeps_space", "wandb_folder", "wandb_space"), NOT_CHECKED),
    }
    assert found.exit_code is ExitCode.USAGE


def test_a_folder_that_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")
    found = examine_all(tmp_path, {"disk": make_settings(tmp_path, host=None, engine="copy")})["disk"]
    assert list_states(found)["sweeps_folder"] is FAILED
    assert found.exit_code is ExitCode.PARTIAL


def test_targets_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    settings = make_settings(tmp_path, host=None, engine="copy")
    assert list(examine_all(tmp_path, {"b": settings, "a": settings})) == ["b", "a"]


@pytest.mark.parametrize(
    ("changes", "has_ssh", "has_rsync", "expected"),
    [
        pytest.param([{}], True, True, (OK, OK), id="both"),
        pytest.param([{}], False, False, (WARNING, WARNING), id="SFTP stands in for both"),
        pytest.param([{"engine": "rsync"}], False, False, (FAILED, FAILED), id="rsync is wanted"),
        pytest.param([{}, {"engine": "rsync"}], True, False, (OK, FAILED), id="rsync is wanted of one"),
        pytest.param([{"engine": "sftp"}], False, False, (NOT_CHECKED, NOT_CHECKED), id="only SFTP"),
        pytest.param([{"host": None}], False, False, (NOT_CHECKED, NOT_CHECKED), id="a folder"),
        pytest.param([{"host": None, "engine": "rsync"}], False, True, (NOT_CHECKED, OK), id="a folder by rsync"),
    ],
)
def test_this_machine_is_asked_for_what_the_targets_need(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: list[dict[str, Any]],
    has_ssh: bool,
    has_rsync: bool,
    expected: tuple[CheckState, CheckState],
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if has_rsync:
        write_rsync(folder, NEW)
    if has_ssh:
        (folder / "ssh").write_text("#!/bin/sh\necho 'OpenSSH_9.9p1' >&2\n")
        (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    rows = {row.name: row for row in examine_here(Runner(), [make_settings(tmp_path, **change) for change in changes])}
    assert list(rows) == ["hsm", "python", "ssh", "rsync"]
    assert (rows["ssh"].state, rows["rsync"].state) == expected
    if has_ssh:
        assert rows["ssh"].found == "OpenSSH_9.9p1"
