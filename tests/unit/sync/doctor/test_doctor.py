"""How the doctor judges what it finds."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm.endpoint import Listing, Space
from hsm.errors import (
    BadSshConfigError,
    ConnectionDroppedError,
    ExitCode,
    HostKeyError,
    HostUnknownError,
    LoginRefusedError,
    NoAnswerError,
    NotSshError,
    SessionsRefusedError,
    TargetError,
    UnexplainedError,
    UnknownHostKeyError,
    UnreachableError,
)
from hsm.model import EntryKind
from hsm.process.runner import Completed, Runner
from hsm.remote.shell import quote
from hsm.sync.doctor.findings import (
    CheckState,
    Checkup,
    DoctorReport,
    DoctorRow,
    check_clock,
    check_rsync,
    check_sessions,
    check_sessions_speed,
    check_space,
    make_doctor_document,
    make_failed,
    make_failed_finding,
    make_not_checked,
    make_ok,
    make_warning,
    measure_skew,
)
from hsm.sync.doctor.folders import judge_folder, make_probe_program
from hsm.sync.doctor.openssh import PatientShell
from hsm.sync.doctor.rows import NAMES, find_row
from hsm.sync.doctor.sftp import judge_listing
from hsm.transfer.rsync.versions import RsyncVersion

SECOND = 10**9
OK, WARNING, FAILED = CheckState.OK, CheckState.WARNING, CheckState.FAILED


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 4, 3), OK), ((3, 5, 0), OK), ((3, 4, 2), WARNING), ((3, 2, 7), WARNING), ((3, 4), WARNING)],
)
def test_an_rsync_with_known_holes_is_a_warning(version: tuple[int, ...], state: CheckState) -> None:
    check = check_rsync("rsync", RsyncVersion(version, 31))
    assert check.state is state
    assert "protocol 31" in check.found
    assert ("unless your distribution backported" in check.hint) is (state is WARNING)


@pytest.mark.parametrize(
    ("there", "before", "after", "skew"),
    [
        pytest.param(100, 100.2, 100.4, 0, id="equal"),
        pytest.param(100, 100.9, 101.3, 0, id="the second ended meanwhile"),
        pytest.param(100, 99.5, 105.0, 0, id="a slow answer"),
        pytest.param(7300, 100.2, 100.4, 7200, id="two hours ahead"),
        pytest.param(100, 7300.2, 7300.4, -7199, id="two hours behind"),
    ],
)
def test_a_skew_is_what_the_length_of_the_question_does_not_explain(
    there: int, before: float, after: float, skew: int
) -> None:
    times = {"before_ns": round(before * SECOND), "after_ns": round(after * SECOND)}
    assert measure_skew(there * SECOND, **times) == skew


@pytest.mark.parametrize(
    ("skew", "state", "words"),
    [
        (0, OK, "agrees"),
        (-5, OK, "agrees"),
        (6, WARNING, "6 s ahead of"),
        (-600, WARNING, "10 min behind"),
        (7260, WARNING, "2 h 1 min ahead of"),
    ],
)
def test_a_clock_is_judged(skew: int, state: CheckState, words: str) -> None:
    check = check_clock("clock", skew)
    assert (check.state, words in check.found, bool(check.hint)) == (state, True, state is WARNING)


@pytest.mark.parametrize(
    ("space", "state", "words"),
    [
        (Space(5 * 10**12, 10**6), OK, "5.0 TB free, 1,000,000 inodes free"),
        (Space(), OK, "free space unknown, free inodes unknown"),
        (Space(5 * 10**12, None), OK, "free inodes unknown"),
        (Space(5 * 10**8, 10**6), WARNING, "500.0 MB free"),
        (Space(5 * 10**12, 500), WARNING, "500 inodes free"),
        (Space(0, 10**6), FAILED, "0 B free"),
        (Space(5 * 10**12, 0), FAILED, "0 inodes free"),
    ],
)
def test_room_is_judged(space: Space, state: CheckState, words: str) -> None:
    check = check_space("wandb_space", space)
    assert (check.state, words in check.found, bool(check.hint)) == (state, True, state is not OK)


@pytest.mark.parametrize(("n_allowed", "state"), [(4, OK), (3, WARNING), (1, WARNING)])
def test_sessions_are_judged(n_allowed: int, state: CheckState) -> None:
    assert check_sessions("sessions", n_allowed, n_wanted=4).state is state


def test_one_slow_session_of_many_does_not_count() -> None:
    assert check_sessions_speed("round_trip", [0.1, 9.0, 0.12]).found.startswith("120 ms")
    assert check_sessions_speed("round_trip", [2.5, 9.0, 0.12]).state is WARNING


UNREACHABLE = make_failed_finding("connection", UnreachableError("away", hint="wait", detail="raw"))
BAD_SETTINGS = make_failed_finding("settings", UnreachableError("wrong"), ExitCode.USAGE)
NO_RSYNC = make_failed_finding("rsync", TargetError("none"))
NOISY = make_failed("shell", "prints", "silence it")
HARMLESS = (make_ok("a", "good"), make_warning("b", "odd", "look"), make_not_checked("c", "because"))


@pytest.mark.parametrize(
    ("here", "targets", "code"),
    [
        pytest.param((), ((*HARMLESS,),), 0, id="warnings"),
        pytest.param((), ((UNREACHABLE, *HARMLESS),), 10, id="away"),
        pytest.param((), ((BAD_SETTINGS,),), 2, id="settings"),
        pytest.param((), ((NO_RSYNC, NOISY),), 1, id="failures"),
        pytest.param((), ((NO_RSYNC, UNREACHABLE),), 10, id="away in the middle"),
        pytest.param((), ((UNREACHABLE,), (UNREACHABLE,)), 10, id="all away"),
        pytest.param((), ((UNREACHABLE,), HARMLESS), 1, id="one away"),
        pytest.param((NO_RSYNC,), (HARMLESS,), 1, id="nothing here"),
        pytest.param((NO_RSYNC,), ((UNREACHABLE,),), 1, id="nothing here and away"),
    ],
)
def test_the_exit_code(here: tuple[DoctorRow, ...], targets: tuple[tuple[DoctorRow, ...], ...], code: int) -> None:
    report = DoctorReport(here, tuple(Checkup(f"target-{number}", checks) for number, checks in enumerate(targets)))
    assert report.exit_code == make_doctor_document(report)["exit_code"] == code


def test_the_document_holds_every_row_and_no_raw_lines() -> None:
    document = make_doctor_document(DoctorReport((HARMLESS[0],), (Checkup("desktop", (UNREACHABLE,)),)))
    assert document == {
        "schema": 1,
        "command": "sync doctor",
        "exit_code": 10,
        "error": None,
        "here": {"checks": [{"name": "a", "state": "ok", "found": "good", "hint": ""}]},
        "targets": [
            {
                "name": "desktop",
                "checks": [{"name": "connection", "state": "failed", "found": "away", "hint": "wait"}],
            }
        ],
    }


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (BadSshConfigError, "settings"),
        (HostUnknownError, "name"),
        (NoAnswerError, "connection"),
        (ConnectionDroppedError, "connection"),
        (NotSshError, "connection"),
        (UnexplainedError, "connection"),
        (UnknownHostKeyError, "host_key"),
        (HostKeyError, "host_key"),
        (LoginRefusedError, "login"),
        (UnreachableError, "login"),
    ],
)
def test_a_failed_login_belongs_to_a_row(kind: type[UnreachableError], row: str) -> None:
    assert find_row(kind("refused")) == row
    assert row in NAMES


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that everybody may enter and write to."""
    folder = Path(f"/tmp/hsm-probe-{os.getpid()}-{os.urandom(3).hex()}")
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def probe(*paths: str) -> list[tuple[str, str, str]]:
    """Run the doctor's program without the superuser's rights."""
    argv = ["/bin/sh", "-c", make_probe_program(paths)]
    user = None if os.geteuid() else "nobody"
    completed = subprocess.run(argv, check=True, capture_output=True, text=True, user=user, cwd="/")
    assert completed.stderr == ""
    fields = iter(completed.stdout.split("\0"))
    return list(zip(fields, fields, fields, strict=False))


def test_a_folder_is_judged_by_its_nearest_parent(open_folder: Path) -> None:
    there, closed = open_folder / "a b'$(x)", open_folder / "closed"
    for folder in (there, closed):
        folder.mkdir()
    closed.chmod(0o555)
    there.chmod(0o777)
    (open_folder / "file").write_text("")
    (open_folder / "link").symlink_to(there)
    (open_folder / "dangling").symlink_to("nowhere")
    before = sorted(open_folder.rglob("*"))
    paths = [
        str(there),
        f"{there}/x/y",
        f"{open_folder}/link/x",
        f"{closed}/x",
        str(closed),
        f"{open_folder}/file/x",
        f"{open_folder}/dangling",
        f"{open_folder}/dangling/x",
    ]
    found = probe(*paths)
    assert found == [
        (str(there), "y", "y"),
        (str(there), "y", "y"),
        (f"{open_folder}/link", "y", "y"),
        (str(closed), "y", "n"),
        (str(closed), "y", "n"),
        (f"{open_folder}/file", "n", "n"),
        (f"{open_folder}/dangling", "n", "n"),
        (f"{open_folder}/dangling", "n", "n"),
    ]
    assert sorted(open_folder.rglob("*")) == before
    rows = [judge_folder("wandb_folder", path, *fields) for path, fields in zip(paths, found, strict=True)]
    assert [row.state for row in rows] == [OK, OK, OK, FAILED, FAILED, FAILED, FAILED, FAILED]
    assert rows[0].found == f"{there} is there"
    assert rows[1].found == f"{there}/x/y can be made in {there}"
    assert rows[3].found == f"{closed} may not be written to, so {closed}/x cannot be made"
    assert rows[4].found == f"{closed} may not be written to"
    assert all(row.found.endswith("is in the way: it is no folder") for row in rows[5:])


def test_folders_below_the_home_folder(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(open_folder))
    (open_folder / "there").mkdir()
    (open_folder / "there").chmod(0o777)
    found = probe("~/there", "~/new/deep")
    assert found == [(f"{open_folder}/there", "y", "y"), (str(open_folder), "y", "y")]
    rows = [judge_folder("f", path, *fields) for path, fields in zip(("~/there", "~/new/deep"), found, strict=True)]
    assert [row.found for row in rows] == ["~/there is there", f"~/new/deep can be made in {open_folder}"]


def test_a_path_is_quoted_for_the_other_end() -> None:
    assert quote("/a b'$(x)") in make_probe_program(["/a b'$(x)"])


class BusyShell:
    """A shell whose server refuses the first sessions."""

    name = "desktop"

    def __init__(self, *refusals: type[UnreachableError]) -> None:
        self.refusals = list(refusals)

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        if self.refusals:
            raise self.refusals.pop(0)("refused")
        return Completed(0, program.encode() + stdin, b"")


def test_a_session_that_is_refused_once_is_asked_for_again() -> None:
    shell = PatientShell(BusyShell(SessionsRefusedError, SessionsRefusedError), Runner())
    assert (shell.name, shell.run("a", stdin=b"b").stdout) == ("desktop", b"ab")


def test_whatever_else_fails_is_not_tried_again() -> None:
    busy = BusyShell(SessionsRefusedError, ConnectionDroppedError, UnreachableError)
    with pytest.raises(ConnectionDroppedError):
        PatientShell(busy, Runner()).run("a")
    assert busy.refusals == [UnreachableError]


@pytest.mark.parametrize(
    ("kind", "nearest", "state", "words"),
    [
        pytest.param(EntryKind.FOLDER, EntryKind.FOLDER, CheckState.OK, "is there;", id="there"),
        pytest.param(None, EntryKind.FOLDER, CheckState.OK, "is missing;", id="missing"),
        pytest.param(EntryKind.FILE, EntryKind.FOLDER, CheckState.FAILED, "/far/wandb is in the way", id="a file"),
        pytest.param(None, EntryKind.FILE, CheckState.FAILED, "above /far/wandb is in the way", id="below a file"),
    ],
)
def test_a_folder_behind_sftp_is_judged(
    kind: EntryKind | None, nearest: EntryKind, state: CheckState, words: str
) -> None:
    check = judge_listing("wandb_folder", "/far/wandb", Listing("/far/wandb", kind, nearest=nearest))
    assert (check.name, check.state) == ("wandb_folder", state)
    assert words in check.found
