"""`hsm sync clean`, end to end: what goes, what stays and why, and how it comes back."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.clean_project import (
    FINISHED,
    assert_nothing_lost,
    clean,
    list_aside,
    make_clean_project,
    make_folder_target,
    read_tree,
    send,
    write_killed_run,
)
from tests.e2e.synthetic import write_file, write_project, write_run
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project

ANSWER_SECONDS = 60

RUN = FINISHED[0]
OTHERS = set(FINISHED[1:])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_clean_project(tmp_path)


def test_all_goes_is_told_and_comes_back(project: Project) -> None:
    before = read_tree(project.folder)
    send(project)
    preview = clean(project, "--dry-run")
    assert (preview.code, preview.going, preview.removed) == (0, {*FINISHED, ""}, set())
    assert read_tree(project.folder) == before
    assert not (project.folder / ".hsm/cleaned").exists()

    done = clean(project)
    assert (done.code, done.removed) == (0, {*FINISHED, ""})
    assert [name for name in read_tree(project.folder) if not name.startswith(".hsm")] == []
    assert read_tree(project.target_root) == before
    assert list_aside(project) == []

    status = json.loads(project.hsm("sync", "status", SWEEP, "--json").stdout)["sweeps"][0]
    assert status["cleaned"]["runs"] == FINISHED
    assert (status["cleaned"]["files"], status["cleaned"]["copies"]) == (len(before), {"nas": 4})
    assert "removed here by clean: 3 runs and the sweep's folder" in project.hsm("sync", "status").stdout
    again = project.hsm("sync", "to", SWEEP)
    assert again.returncode == 0, again.stdout
    verified = json.loads(project.hsm("sync", "verify", SWEEP, "--json").stdout)["sweeps"][0]["targets"][0]
    assert (verified["exit_code"], verified["equal"], verified["only_there"]) == (0, len(before), [])

    back = project.hsm("sync", "from", SWEEP, "-t", "nas")
    assert back.returncode == 0, back.stdout
    assert read_tree(project.folder) == before
    send(project)
    assert clean(project).removed == {*FINISHED, ""}
    assert [name for name in read_tree(project.folder) if not name.startswith(".hsm")] == []


def test_the_record_names_every_file_with_its_checksum(project: Project) -> None:
    link = project.folder / "elsewhere.txt"
    link.write_text("saved by the user")
    (project.folder / "wandb" / RUN / "files/saved.txt").symlink_to(link)
    (project.folder / "wandb" / RUN / "tmp/code").mkdir(parents=True)
    (project.folder / "wandb" / RUN / "logs").mkdir()
    (project.folder / "wandb" / RUN / "logs/debug-core.log").symlink_to("/nowhere/core.log")
    before = read_tree(project.folder / "wandb" / RUN)
    send(project)
    assert RUN in clean(project).removed
    assert link.read_text() == "saved by the user"
    (path,) = (project.folder / ".hsm/cleaned" / SWEEP).glob("*.json")
    document = json.loads(path.read_text())
    assert document["places"]["nas"]["wandb"] == str(project.target_wandb)
    (unit,) = (unit for unit in document["units"] if unit["name"] == RUN)
    sums = {name: file["sha256"] for name, file in unit["files"].items()}
    assert sums.pop("files/saved.txt") == read_tree(project.target_wandb / RUN)["files/saved.txt"]
    assert sums == {name: content for name, content in before.items() if not content.startswith("->")}
    assert unit["links"] == {"files/saved.txt": str(link), "logs/debug-core.log": "/nowhere/core.log"}
    assert (unit["copies"], unit["folders"]) == (["nas"], ["tmp/code"])
    assert path.stat().st_mode & 0o077 == 0


def test_a_damaged_copy_is_found_when_the_source_is_gone(project: Project) -> None:
    send(project)
    clean(project)
    there = project.target_wandb / RUN / "files/config.yaml"
    status = there.stat()
    there.write_bytes(b"a: 2\n")
    os.utime(there, ns=(status.st_atime_ns, status.st_mtime_ns))
    (project.target_wandb / FINISHED[1] / "files/config.yaml").unlink()
    verified = json.loads(project.hsm("sync", "verify", SWEEP, "--json").stdout)["sweeps"][0]["targets"][0]
    assert verified["exit_code"] == 1
    assert verified["different"] == [f"{RUN}/files/config.yaml"]
    assert verified["missing"] == [f"{FINISHED[1]}/files/config.yaml"]


# What keeps a run: each is put there after the sync, or is never sent.


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def _touch(path: Path) -> None:
    os.utime(path, ns=(1_700_000_000 * 10**9,) * 2)


def _rewrite_in_place(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


KEEPERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a new file": (lambda run: write_file(run / "files/new.txt", b"x"), "files/new.txt"),
    "a hidden file": (lambda run: write_file(run / ".secret-plan", b"x"), ".secret-plan"),
    "an empty folder": (lambda run: (run / "files/kept").mkdir(), "files/kept"),
    "a symlink to a folder": (lambda run: (run / "files/data").symlink_to("/usr"), "files/data"),
    "a symlink that leads nowhere": (lambda run: (run / "files/gone").symlink_to("nowhere"), "files/gone"),
    "a socket": (lambda run: _make_socket(run / "files/s"), "files/s"),
    "a pipe": (lambda run: os.mkfifo(run / "files/p"), "files/p"),
    "a file that has another time": (lambda run: _touch(run / "files/output.log"), "changed here since"),
    "a file rewritten with its old time": (lambda run: _rewrite_in_place(run / "files/output.log"), "output.log"),
    "a file of HSM's own name": (lambda run: write_file(run / ".hsm-partial/x", b"x"), ".hsm-partial"),
    "a folder named as wandb's links": (lambda run: (run / "logs/debug.log").mkdir(parents=True), "logs/debug.log"),
    "a file that is gone": (lambda run: (run / "files/output.log").unlink(), "changed here since"),
}


@parametrize("name", KEEPERS, quick=["a new file", "a symlink to a folder", "a file rewritten with its old time"])
def test_what_a_target_does_not_have_keeps_its_run(project: Project, name: str) -> None:
    send(project)
    put, word = KEEPERS[name]
    put(project.folder / "wandb" / RUN)
    before = read_tree(project.folder / "wandb" / RUN)
    done = clean(project, "--wandb-only")
    assert (done.code, done.removed) == (1, OTHERS)
    assert word in done.say(RUN)
    assert read_tree(project.folder / "wandb" / RUN) == before


def test_an_excluded_and_a_secret_file_keep_their_run(project: Project) -> None:
    project.set_options(exclude=["*.ckpt"])
    write_file(project.folder / "wandb" / RUN / "files/model.ckpt", b"x")
    write_file(project.folder / "wandb" / FINISHED[1] / "files/id_rsa", b"x")
    send(project)
    done = clean(project)
    assert done.removed == {FINISHED[2]}
    assert "files/model.ckpt" in done.say(RUN)
    assert "excluded" in done.say(RUN)
    assert "files/id_rsa" in done.say(FINISHED[1])
    assert "secret" in done.say(FINISHED[1])
    assert "2 runs of the sweep stay" in done.say("")


@pytest.mark.slow
def test_what_is_deeper_than_max_depth_keeps_the_sweeps_folder(project: Project) -> None:
    project.set_options(max_depth=1)
    send(project)
    done = clean(project)
    assert (done.code, done.removed) == (1, set(FINISHED))
    assert "deeper than max_depth" in done.say("")
    assert (project.folder / "sweeps/outputs" / SWEEP / "logs/task_1.out").is_file()


MEDIA = {f"media/images/x_{step}_{'0' * 19}{step}.png": bytes([step]) for step in (1, 2)}


@pytest.mark.slow
def test_superseded_media_keep_their_run_unless_waived(project: Project) -> None:
    project.set_options(latest_only=True)
    write_run(project.folder / "wandb", "media", files=MEDIA)
    name = "run-20251020_212836-media"
    send(project)
    kept = clean(project, "--wandb-only")
    assert kept.removed == set(FINISHED)
    assert "superseded" in kept.say(name)
    done = clean(project, "--wandb-only", "--allow-superseded")
    assert (done.code, done.removed, done.units[name]["superseded"]) == (0, {name}, 1)
    records = [json.loads(path.read_text()) for path in (project.folder / ".hsm/cleaned").rglob("*.json")]
    (unit,) = (unit for record in records for unit in record["units"] if unit["name"] == name)
    assert list(unit["superseded"]) == [f"files/{next(iter(MEDIA))}"]


@pytest.mark.slow
def test_a_run_that_has_not_ended_stays_and_with_it_the_sweeps_folder(project: Project) -> None:
    dead = write_killed_run(project)
    send(project)
    done = clean(project)
    assert (done.code, done.removed) == (0, set(FINISHED))
    assert "has not ended" in done.say(dead.name)
    assert "1 run of the sweep stays" in done.say("")
    assert clean(project, "--sweep-only").removed == set()


@pytest.mark.slow
def test_a_log_that_was_written_to_this_moment_keeps_its_run(project: Project) -> None:
    send(project)
    now = time.time_ns()
    os.utime(project.folder / "wandb" / RUN / "run-r0000.wandb", ns=(now, now))
    done = clean(project)
    assert RUN not in done.removed
    assert "last 10 seconds" in done.say(RUN)


@pytest.mark.slow
def test_older_than_keeps_what_is_young(project: Project) -> None:
    send(project)
    old = time.time_ns() - 40 * 86_400 * 10**9
    young = time.time_ns() - 20 * 86_400 * 10**9
    for path in (project.folder / "wandb").rglob("*"):
        if path.is_file():
            moment = young if RUN in str(path) else old
            os.utime(path, ns=(moment, moment))
    send(project)
    done = clean(project, "--older-than", "30d", "--wandb-only")
    assert (done.code, done.removed) == (0, OTHERS)
    assert "--older-than" in done.say(RUN)
    assert project.hsm("sync", "clean", SWEEP, "-n", "--older-than", "soon").returncode == 2


@pytest.mark.slow
def test_sweep_only_and_wandb_only(project: Project) -> None:
    send(project)
    assert clean(project, "--sweep-only").removed == {""}
    assert len(list((project.folder / "wandb").iterdir())) == 3
    assert clean(project, "--wandb-only").removed == set(FINISHED)
    assert project.hsm("sync", "clean", SWEEP, "-n", "--sweep-only", "--wandb-only").returncode == 2


# What a copy is.


def test_a_target_that_was_damaged_or_emptied_is_no_copy(project: Project) -> None:
    send(project)
    _rewrite_in_place(project.target_wandb / RUN / "files/output.log")
    (project.target_wandb / FINISHED[1] / "files/output.log").unlink()
    quick = clean(project, "--dry-run", "--quick", "--wandb-only")
    assert quick.going == {RUN, FINISHED[2]}  # the price of --quick
    done = clean(project, "--wandb-only")
    assert done.removed == {FINISHED[2]}
    assert "differs there" in done.say(RUN)
    assert "is not there" in done.say(FINISHED[1])
    shutil.rmtree(project.target_root)
    gone = clean(project)
    assert (gone.code, gone.removed, gone.failed_targets) == (12, set(), {"nas": "destination-gone"})


@pytest.mark.slow
def test_files_that_no_sync_brought_are_not_complete_by_the_journal(project: Project) -> None:
    send(project)
    (project.folder / ".hsm/sync/nas" / f"{SWEEP}.json").unlink()
    assert clean(project).error == "never_synced"
    shutil.copytree(project.target_root, project.target_root.with_name("other"))
    config = project.read_config()
    config["sync_targets"]["other"] = make_folder_target(project.target_root.with_name("other"))
    project.write_config(config)
    assert clean(project, "-t", "other").failed_targets == {"other": "nothing_there"}
    assert len(list((project.folder / "wandb").iterdir())) == 3


def test_two_copies_are_two_places(tmp_path: Path) -> None:
    project = make_clean_project(tmp_path, targets=("nas", "usb"))
    send(project, "nas")
    assert clean(project, "--copies", "2").removed == set()
    send(project, "usb")
    done = clean(project, "--copies", "2")
    assert (done.code, done.removed) == (0, {*FINISHED, ""})
    assert all(unit["copies"] == ["nas", "usb"] for unit in done.units.values())


@parametrize("how", ["the same words", "a symlink", "hard links", "one folder of two"], quick=["a symlink"])
def test_one_place_of_two_names_is_one_copy(tmp_path: Path, how: str) -> None:
    project = make_clean_project(tmp_path, targets=("nas", "usb"))
    nas, usb = tmp_path / "nas", tmp_path / "usb"
    config = project.read_config()
    if how == "the same words":
        config["sync_targets"]["usb"] = {**config["sync_targets"]["nas"]}
    elif how == "one folder of two":
        config["sync_targets"]["usb"]["paths"]["wandb"] = str(nas / "wandb")
    project.write_config(config)
    send(project, "nas")
    if how == "a symlink":
        usb.symlink_to(nas)
    elif how == "hard links":
        shutil.copytree(nas, usb, copy_function=os.link)
    send(project, "usb")
    for arguments in (("--dry-run",), ()):
        found = clean(project, "--copies", "2", "--wandb-only", *arguments)
        assert (found.code, found.going) == (1, set()), arguments
    assert len(list((project.folder / "wandb").iterdir())) == 3
    assert list(tmp_path.rglob(".hsm-mark-*")) == []


def test_the_project_by_another_name_is_no_copy(tmp_path: Path) -> None:
    """Hard links to the project's own files, brought there by nobody: the journal is forged."""
    project = make_clean_project(tmp_path)
    send(project)
    shutil.rmtree(project.target_root)
    for name in ("sweeps", "wandb"):
        shutil.copytree(project.folder / name, project.target_root / name, copy_function=os.link)
    found = clean(project)
    assert (found.code, found.removed) == (1, set())
    assert "not a copy" in found.say(RUN)


@parametrize("how", ["its own words", "symlinks", "the runs alone"], quick=["symlinks"])
def test_the_project_itself_over_ssh_is_refused(make_project: MakeProject, require_program: Any, how: str) -> None:
    require_program("rsync", "ssh", "sshd")
    project = make_project(options={"latest_only": False, "max_depth": None})
    write_project(project.folder)
    other = project.folder.parent / "other"
    other.symlink_to(project.folder)
    root = project.folder if how == "its own words" else other
    sweeps = project.target_sweeps if how == "the runs alone" else root / "sweeps"
    project.set_target(paths={"sweeps": str(sweeps), "wandb": str(root / "wandb")})
    before = {name: each for name, each in read_tree(project.folder).items() if not name.startswith(".hsm")}
    for words in (
        ("to", SWEEP),
        ("to", SWEEP, "--dry-run"),
        ("from", SWEEP, "-t", "desktop"),
        ("verify", SWEEP),
        ("status", SWEEP, "--check", "-t", "desktop"),
        ("doctor", "desktop"),
    ):
        refused = project.hsm("sync", *words, "--json")
        assert refused.returncode == 1, words
        assert "desktop is this project itself" in refused.stdout, words
    assert {name: each for name, each in read_tree(project.folder).items() if not name.startswith(".hsm")} == before


@parametrize("how", ["symlinks", "the runs alone"], quick=["symlinks"])
def test_a_target_that_has_become_the_project_is_no_copy(
    make_project: MakeProject, require_program: Any, how: str
) -> None:
    require_program("rsync", "ssh", "sshd")
    project = make_project(options={"latest_only": False, "max_depth": None})
    write_project(project.folder)
    other = project.folder.parent / "other"
    sweeps = project.target_sweeps if how == "the runs alone" else other / "sweeps"
    project.set_target(paths={"sweeps": str(sweeps), "wandb": str(other / "wandb")})
    before = {name: each for name, each in read_tree(project.folder).items() if not name.startswith(".hsm")}
    sent = project.hsm("sync", "to", SWEEP)
    assert sent.returncode == 0, sent.stdout
    shutil.rmtree(other)
    other.symlink_to(project.folder)
    assert clean(project, "--dry-run", "--wandb-only").going == set()
    found = clean(project, "--wandb-only")
    assert (found.code, found.removed, found.failed_targets) == (1, set(), {"desktop": "same_place"})
    assert before.items() <= read_tree(project.folder).items()


@pytest.mark.slow
def test_a_target_in_the_source_is_no_copy(project: Project) -> None:
    send(project)
    path = project.folder / ".hsm/sync/nas" / f"{SWEEP}.json"
    inside = make_folder_target(project.folder / "sweeps/outputs" / SWEEP / "backup")
    config = project.read_config()
    config["sync_targets"]["nas"] = inside
    project.write_config(config)
    path.write_text(
        path.read_text().replace(str(project.target_root), inside["paths"]["sweeps"].removesuffix("/sweeps"))
    )
    found = clean(project)
    assert (found.removed, found.failed_targets) == (set(), {"nas": "destination_in_source"})


def test_a_symlink_that_stays_keeps_what_it_leads_into(project: Project) -> None:
    dead = write_killed_run(project)
    (dead / "files/best.yaml").symlink_to(f"../../{RUN}/files/config.yaml")
    send(project)
    done = clean(project, "--wandb-only")
    assert done.removed == OTHERS
    assert "a symlink that stays leads into it" in done.say(RUN)


def test_a_run_folder_that_is_a_symlink_is_never_followed(project: Project) -> None:
    send(project)
    run = project.folder / "wandb" / RUN
    run.rename(project.folder / "moved")
    run.symlink_to(project.folder / "moved")
    before = read_tree(project.folder / "moved")
    assert RUN not in clean(project).units
    assert read_tree(project.folder / "moved") == before
    assert run.is_symlink()


@pytest.mark.slow
def test_a_wandb_folder_behind_a_symlink_is_cleaned_where_it_lies(project: Project) -> None:
    (project.folder / "wandb").rename(project.folder.parent / "scratch")
    (project.folder / "wandb").symlink_to(project.folder.parent / "scratch")
    send(project)
    assert clean(project).removed == {*FINISHED, ""}
    assert list((project.folder.parent / "scratch").iterdir()) == []


@parametrize("place", ["sweeps/outputs/{}/tasks/1/wandb", "wandb/{}/wandb", "wandb/{}"], quick=["wandb/{}"])
def test_runs_that_lie_with_their_sweep(project: Project, place: str) -> None:
    wandb = project.folder / place.format(SWEEP)
    run = write_run(wandb, "nested")
    (wandb / "latest-run").symlink_to(run.name)
    (wandb / "debug.log").symlink_to(f"{run.name}/logs/debug.log")
    send(project)
    done = clean(project)
    assert (done.code, done.removed) == (0, {*FINISHED, run.name, ""}), done.document
    assert not (project.folder / "wandb" / SWEEP).exists()
    assert not (project.folder / "sweeps/outputs" / SWEEP).exists()
    assert (project.target_wandb / run.name).is_dir()


@pytest.mark.slow
def test_a_run_that_stays_in_the_sweeps_folder_keeps_it(project: Project) -> None:
    run = write_run(project.folder / "sweeps/outputs" / SWEEP / "tasks/1/wandb", "nested")
    send(project)
    write_file(run / "note.txt", b"only here")
    done = clean(project)
    assert (done.code, done.removed) == (1, set(FINISHED))
    assert clean(project, "--sweep-only").removed == set()
    assert (run / "note.txt").is_file()


# Locks, questions, errors.


def test_a_sync_at_the_same_time_keeps_everything(project: Project) -> None:
    send(project)
    lock = project.folder / ".hsm/sync/nas" / f"{SWEEP}.lock"
    lock.write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
    held = clean(project)
    assert (held.code, held.error) == (11, "locked")
    lock.unlink()
    there = project.target_sweeps / "outputs" / SWEEP / ".hsm-sync/lock"
    there.write_text(json.dumps({"nonce": "n", "source_id": "s", "host": "h", "pid": 1, "since": "s", "machine": "m"}))
    held_there = clean(project)
    assert (held_there.code, held_there.failed_targets) == (11, {"nas": "locked"})
    there.unlink()
    assert clean(project).code == 0


def test_without_a_terminal_it_asks_for_yes(project: Project) -> None:
    send(project)
    before = read_tree(project.folder)
    for arguments in ((), ("--json",)):
        refused = project.hsm("sync", "clean", SWEEP, *arguments)
        assert refused.returncode == 2
        assert "--yes" in refused.stdout + refused.stderr
    assert read_tree(project.folder) == before


@parametrize(
    ("answer", "code", "words"),
    [("n\n", 1, "Nothing was removed."), ("y\n", 0, "Removed"), ("\n", 1, "Nothing was removed."), ("\x03", 130, "")],
    quick=[("y\n", 0, "Removed"), ("\x03", 130, "")],
)
def test_in_a_terminal_it_asks_with_the_size(project: Project, answer: str, code: int, words: str) -> None:
    send(project)
    before = read_tree(project.folder)
    found, shown = answer_in_terminal(project, answer)
    assert found == code, shown
    assert f"Remove {len(before)} files" in shown
    assert words in shown.partition("[y/N]")[2]
    here = {name for name in read_tree(project.folder) if not name.startswith(".hsm")}
    assert here == (set() if code == 0 else set(before))
    assert list((project.folder / ".hsm").rglob("*.lock")) == []
    assert list(project.target_root.rglob("lock")) == []


def answer_in_terminal(project: Project, answer: str) -> tuple[int, str]:
    """Call `hsm sync clean` in a terminal of its own, and answer its question."""
    ours, theirs = os.openpty()
    argv = [sys.executable, "-c", _IN_TERMINAL, "sync", "clean", SWEEP]
    with subprocess.Popen(
        argv, cwd=project.folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            shown = talk(ours, answer)
            process.wait(ANSWER_SECONDS)
        finally:
            process.kill()
            os.close(ours)
    return process.returncode, shown


def talk(terminal: int, answer: str) -> str:
    """Read what is shown in a terminal until its other end is closed, and answer the question in between."""
    shown = ""
    while select.select([terminal], [], [], ANSWER_SECONDS)[0]:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # how the end of a terminal is told
            return shown
        if not chunk:
            return shown
        shown += chunk.decode()
        if "[y/N]" in shown and answer:
            os.write(terminal, answer.encode())
            answer = ""
    pytest.fail(f"nothing more for {ANSWER_SECONDS} s after:\n{shown}")


_IN_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from hsm.cli.entry import main
sys.argv[0] = "hsm"
main()
"""


def test_a_record_that_cannot_be_written_removes_nothing(project: Project) -> None:
    send(project)
    before = read_tree(project.folder)
    (project.folder / ".hsm/cleaned").write_text("in the way")
    refused = clean(project)
    assert (refused.code, refused.error) == (1, "clean_unwritable")
    assert read_tree(project.folder) == before


@pytest.mark.slow
def test_a_damaged_record_is_said_and_stops_a_clean(project: Project) -> None:
    send(project)
    clean(project, "--wandb-only")
    (path,) = (project.folder / ".hsm/cleaned").rglob("*.json")
    path.write_text("{")
    refused = clean(project)
    assert (refused.code, refused.error) == (2, "bad_clean_record")
    assert "record of a clean" in project.hsm("sync", "status", SWEEP).stdout


@pytest.mark.slow
def test_what_it_shows(project: Project) -> None:
    hostile = write_killed_run(project, "\x1b[2J")
    send(project)
    shown = project.hsm("sync", "clean", SWEEP, "--yes")
    assert shown.returncode == 0, shown.stderr
    assert "removed  at nas" in shown.stdout
    assert "has not ended" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert hostile.is_dir()
    assert_nothing_lost(project, read_tree(project.folder), stays=(hostile.name,))


# Over ssh, with runs that the real wandb wrote.


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "sftp"])
def test_after_a_clean_a_target_behind_ssh_has_nothing_to_do(
    make_project: MakeProject, require_program: Any, engine: str
) -> None:
    require_program("rsync", "ssh", "sshd")
    project = make_project(options={"latest_only": False, "max_depth": None})
    project.set_target(engine=engine)
    write_project(project.folder)
    send(project)
    assert clean(project).removed == {*FINISHED, ""}
    again = project.hsm("sync", "to", SWEEP, "--json")
    assert (again.returncode, json.loads(again.stdout)["sweeps"][0]["targets"][0]["state"]) == (0, "nothing_to_do")


@parametrize("client", ["openssh", "sftp"], quick=["openssh"])
def test_real_runs_over_ssh(make_project: MakeProject, require_program: Any, client: str) -> None:
    require_program("rsync", "ssh", "sshd")
    project = make_project(real=True, options={"latest_only": False, "max_depth": None})
    if client == "sftp":
        project.set_target(engine="sftp")
    before = read_tree(project.folder)
    assert project.hsm("sync", "to", SWEEP, timeout=120).returncode == 0
    done = clean(project)
    killed = {name for name, unit in done.units.items() if "has not ended" in json.dumps(unit["reasons"])}
    assert (done.code, len(done.removed), len(killed)) == (0, 15, 3), done.document
    here = read_tree(project.folder)
    there = read_tree(project.target_root)
    gone = {name: content for name, content in before.items() if name not in here}
    assert len(gone) > 100
    assert all(there[name] == content for name, content in gone.items() if not content.startswith("->"))
    assert {name for name, content in gone.items() if content.startswith("->")} == {
        name for name in gone if name.endswith("debug-core.log")
    }
    back = project.hsm("sync", "from", SWEEP, "-t", "desktop", timeout=120)
    assert back.returncode == 0, back.stdout + back.stderr
    restored = read_tree(project.folder)
    assert {name for name in before if name not in restored} == {
        name for name in gone if name.endswith("debug-core.log")
    }


def test_where_no_command_may_run(
    start_sshd: Callable[..., PrivateSshd], make_project: MakeProject, require_program: Any
) -> None:
    require_program("ssh", "sshd")
    project = make_project(start_sshd(settings={"ForceCommand": "internal-sftp"}))
    project.set_options(latest_only=False, max_depth=None)
    write_project(project.folder)
    before = {name for name in read_tree(project.folder) if not name.startswith(".hsm")}
    assert project.hsm("sync", "to", SWEEP).returncode == 0
    (project.target_wandb / RUN / "files/output.log").write_bytes(b"Done\n" * 50)
    done = clean(project)
    assert (done.code, done.removed) == (1, OTHERS), done.document
    assert "differs there" in done.say(RUN)
    assert before <= {*read_tree(project.folder), *read_tree(project.target_root)}
    verified = json.loads(project.hsm("sync", "verify", SWEEP, "--json").stdout)["sweeps"][0]["targets"][0]
    assert verified["missing"] == []
    assert verified["different"] == [f"{RUN}/files/output.log"]


@pytest.mark.slow
def test_a_target_out_of_reach_counts_for_nothing(make_project: MakeProject, require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")
    project = make_project(real=True, options={"latest_only": False})
    assert project.hsm("sync", "to", SWEEP, timeout=120).returncode == 0
    before = read_tree(project.folder)
    project.sshd.stop()
    project.hsm("sync", "logout")
    found = clean(project)
    assert (found.code, found.removed) == (10, set())
    assert read_tree(project.folder) == before
