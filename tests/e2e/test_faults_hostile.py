"""Names and targets that mean harm: everything arrives or is named, nothing is run, nothing leaves `paths`."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import (
    SWEEP,
    assert_all_arrived,
    assert_end,
    assert_nothing_left,
    list_arrived,
    list_runs,
    sync,
)
from tests.e2e.archive import OLD_RSYNC, get_from_archive
from tests.e2e.synthetic import T, write_file, write_project, write_run, write_sweep_folder
from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeProject, Project

HOSTILE = [
    "two words",
    " begins and ends with a blank ",
    "it's",
    'say "so"',
    "$(touch PWNED)",
    "`touch PWNED`",
    "; touch PWNED ;",
    "&& touch PWNED",
    "$HOME",
    "~",
    "*",
    "[a-z]?",
    "{a,b}",
    "back\\slash",
    "back\\#012slash",
    "%s%n",
    "new\nline",
    "carriage\rreturn",
    "tab\there",
    "\x1b]0;title\x07\x1b[31mred\x1b[2J",
    "\x7f\x01",
    "\x9b31mC1",
    "-rf",
    "--delete",
    "#comment",
    ";comment",
    "@host:path",
    "host:path",
    "...",
    "ü",
    "\u202egnp.exe",
    "日本語" * 27,
    os.fsdecode(b"invalid \xff\xfe UTF-8"),
    "n" * 255,
    ":(top)",
    "!negated",
]
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make_project(options={"latest_only": False})
    write_project(made.folder)
    return made


@pytest.fixture(params=["installed", pytest.param("3.2.7", marks=pytest.mark.slow)])
def by_rsync(request: pytest.FixtureRequest, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose target has the installed rsync, and one that has an older one."""
    if request.param == "3.2.7":
        project.set_target(rsync_path=str(get_from_archive(OLD_RSYNC, tmp_path_factory)))
    return project


def assert_calm(*texts: str) -> None:
    """No name reaches the terminal as it is, but for what is only text."""
    for text in texts:
        assert CONTROLS.findall(text) == []
        assert "new\nline" not in text


def assert_nothing_ran(tmp_path: Path) -> None:
    assert not [path for path in tmp_path.rglob("*") if path.name == "PWNED"]
    assert not Path("PWNED").exists()


# Case 20.


def test_hostile_names_of_files_arrive(by_rsync: Project, tmp_path: Path) -> None:
    project = by_rsync
    for folder in (list_runs(project)[0] / "files", project.folder / "sweeps/outputs" / SWEEP):
        for name in HOSTILE:
            write_file(folder / name, name.encode("utf-8", "surrogateescape"))
    for name in HOSTILE:
        write_file(list_runs(project)[1] / "files" / name / "inside", b"x")
    dry = project.hsm("sync", "to", SWEEP, "--dry-run", "-v")
    plain = project.hsm("sync", "to", SWEEP, "-v")
    assert (dry.returncode, plain.returncode) == (0, 0), plain.stdout
    assert_all_arrived(project)
    assert_calm(dry.stdout, dry.stderr, plain.stdout, plain.stderr)
    assert_end(sync(project), "nothing_to_do", 0)
    assert_nothing_ran(tmp_path)


@pytest.mark.slow
def test_hostile_names_of_runs_arrive(project: Project, tmp_path: Path) -> None:
    for number, name in enumerate(HOSTILE):
        write_run(project.folder / "wandb", f"h{number}", name=f"run-{name}"[:255] if name.isascii() else f"run-{name}")
    plain = project.hsm("sync", "to", SWEEP, "-v")
    assert plain.returncode == 0, plain.stdout
    assert_all_arrived(project)
    assert_calm(plain.stdout, plain.stderr)
    again = sync(project)
    assert_end(again, "nothing_to_do", 0)
    assert again.target["runs"]["unchanged"] == 3 + len(HOSTILE)
    assert_nothing_ran(tmp_path)


def is_refused_as_a_sweep(name: str) -> bool:
    return (
        name.startswith(("-", "."))
        or ".." in name
        or any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in name)
    )


@pytest.mark.slow
def test_sweeps_of_hostile_names_arrive(project: Project, tmp_path: Path) -> None:
    names = [name for name in HOSTILE if not is_refused_as_a_sweep(name)]
    assert len(names) > 20
    for number, name in enumerate(names):
        write_sweep_folder(project.folder, name)
        write_run(project.folder / "wandb", f"h{number}", sweep=name)
    plain = project.hsm("sync", "to", *names)
    assert_calm(plain.stdout, plain.stderr)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert {path.name for path in (project.target_sweeps / "outputs").iterdir()} == set(names)
    for number, name in enumerate(names):
        log = project.target_wandb / f"run-20251020_212836-h{number}" / f"run-h{number}.wandb"
        assert (project.target_sweeps / "outputs" / name / "sweep_config.yaml").stat().st_mtime_ns == T
        assert log.stat().st_mtime_ns == T
    again = json.loads(project.hsm("sync", "to", *names, "--json").stdout)
    assert {target["state"] for sweep in again["sweeps"] for target in sweep["targets"]} == {"nothing_to_do"}
    assert [sweep["sweep"] for sweep in again["sweeps"]] == names
    assert not list(project.target_root.rglob(".hsm-tmp"))
    assert_nothing_ran(tmp_path)


@pytest.mark.slow
def test_sweeps_whose_names_cannot_be_shown_are_refused_and_disturb_no_other(project: Project) -> None:
    names = list(filter(is_refused_as_a_sweep, HOSTILE))
    for name in names:
        write_sweep_folder(project.folder, name)
    refused = project.hsm("sync", "to", SWEEP, "--", *names)
    assert refused.returncode == 2
    assert_calm(refused.stdout, refused.stderr)
    assert project.sshd.count_logins() == 0
    unknown = project.hsm("sync", "to", "swep")
    assert unknown.returncode == 2
    latest = project.hsm("sync", "to", "latest", "--dry-run")
    assert_calm(unknown.stdout, unknown.stderr, latest.stdout, latest.stderr)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


@pytest.mark.usefixtures("tmp_path")
def test_a_problem_with_a_hostile_name_is_shown_escaped(project: Project) -> None:
    name = "\x1b[31mred\nrun-2 done"
    write_file(list_runs(project)[0] / "files" / name, b"mine")
    theirs = write_file(project.target_wandb / list_runs(project)[0].name / "files" / name, b"theirs", mtime_ns=T + 1)
    plain = project.hsm("sync", "to", SWEEP)
    assert plain.returncode == 1
    assert_calm(plain.stdout, plain.stderr)
    assert "31mred" in plain.stdout
    assert theirs.read_bytes() == b"theirs"


# Case 21.

RSYNCS_PLACES = [
    f"sweeps/outputs/{SWEEP}",
    f"sweeps/outputs/{SWEEP}/sweep_config.yaml",
    "wandb/RUN",
    "wandb/RUN/files",
    "wandb/RUN/files/config.yaml",
    "wandb/RUN/files/.hsm-partial",
]
HSMS_PLACES = [
    "sweeps/outputs",
    f"sweeps/outputs/{SWEEP}/.hsm-sync",
    "sweeps/.hsm-tmp",
    f"wandb/.hsm-tmp/{SWEEP}",
]


def take_picture(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def make_outside(project: Project, tmp_path: Path) -> Path:
    """A folder that is nobody's business, with everything in it that a sync would like to touch."""
    outside = tmp_path / "outside"
    for run in list_runs(project):
        for path in run.rglob("*"):
            if path.is_file():
                for base in (outside, outside / run.name, outside / SWEEP, outside / SWEEP / ".hsm-sync"):
                    write_file(base / path.name, b"not yours\n" * 10, mtime_ns=T - 10**9)
    write_file(outside / "lock", b"not yours\n")
    return outside


@parametrize("place", RSYNCS_PLACES, quick=["wandb/RUN/files"])
def test_a_symlink_in_the_place_of_a_result_is_never_followed(by_rsync: Project, tmp_path: Path, place: str) -> None:
    project = by_rsync
    run = list_runs(project)[0]
    check_symlink(project, tmp_path, place.replace("RUN", run.name), is_relative=place.endswith("RUN"))
    for other in list_runs(project)[1:]:
        assert (project.target_wandb / other.name / "files/config.yaml").exists()


@parametrize("place", HSMS_PLACES, quick=["sweeps/.hsm-tmp"])
def test_a_symlink_in_the_place_of_hsms_own_is_never_followed(project: Project, tmp_path: Path, place: str) -> None:
    check_symlink(project, tmp_path, place, is_relative=False)


def check_symlink(project: Project, tmp_path: Path, place: str, *, is_relative: bool) -> None:
    """Put a symlink that leads outside at the target: nothing there changes, it stays, and that is said."""
    outside = make_outside(project, tmp_path)
    link = project.target_root / place
    link.parent.mkdir(parents=True)
    leads_to = outside / "config.yaml" if link.suffix == ".yaml" else outside
    link.symlink_to(os.path.relpath(leads_to, link.parent.resolve()) if is_relative else leads_to)
    before = take_picture(outside)
    said = sync(project)
    assert take_picture(outside) == before
    assert link.is_symlink()
    assert said.target["exit_code"] in (1, 12), said.why
    lock = project.target_sweeps / "outputs" / SWEEP / ".hsm-sync/lock"
    assert lock.parent.is_symlink() or not lock.exists(), "the lock was left"
    link.unlink()
    assert sync(project).target["exit_code"] == 0
    assert_all_arrived(project)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lock", "receipt"])
def test_a_symlink_in_the_place_of_a_record_is_never_written_through(
    project: Project, tmp_path: Path, name: str
) -> None:
    sync(project)
    outside = make_outside(project, tmp_path)
    folder = project.target_sweeps / "outputs" / SWEEP / ".hsm-sync"
    (receipt,) = folder.glob("receipt-*.json")
    link = receipt if name == "receipt" else folder / "lock"
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    before = take_picture(outside)
    write_file(list_runs(project)[0] / "files/new", b"new")
    said = sync(project)
    assert said.target["exit_code"] == 1, said.why
    assert take_picture(outside) == before
    link.unlink()
    assert sync(project).target["exit_code"] == 0
    assert_all_arrived(project)


@parametrize("place", ["wandb/RUN", "wandb/RUN/files", f"sweeps/outputs/{SWEEP}"], quick=["wandb/RUN/files"])
def test_a_symlink_that_appears_after_the_check_is_not_followed(project: Project, tmp_path: Path, place: str) -> None:
    """The target's rsync is a stand-in that puts the symlink there before it starts the real one."""
    outside = make_outside(project, tmp_path)
    link = project.target_root / place.replace("RUN", list_runs(project)[0].name)
    program = tmp_path / "rsync-after-the-swap"
    moved = f'mv "{link}" "{link}.was"; ln -sn "{outside}" "{link}"'
    swap = f'mkdir -p "{link.parent}"; [ -L "{link}" ] || {{ {moved}; }} 2>/dev/null'
    program.write_text(f'#!/bin/sh\ncase "$1" in --server) {swap} ;; esac\nexec {shutil.which("rsync")} "$@"\n')
    program.chmod(0o755)
    project.set_target(rsync_path=str(program))
    before = take_picture(outside)
    said = sync(project)
    if place.startswith("sweeps"):
        assert_end(said, "locked", 11, "lock_lost")  # it lies in the folder that is now elsewhere
    else:
        assert said.target["exit_code"] == 1, said.why
    assert take_picture(outside) == before


def test_hostile_names_at_the_target_do_not_confuse_the_listing(project: Project) -> None:
    run = project.target_wandb / list_runs(project)[0].name
    for name in (*HOSTILE, "E d 0 0.0 1 ./x", "Ff 5 1760000000.0 7 ./files/config.yaml"):
        write_file(run / "files" / name, b"theirs")
        write_file(project.target_sweeps / "outputs" / SWEEP / name, b"theirs")
    before = {name: path.stat().st_ino for name, path in list_arrived(project).items()}
    plain = project.hsm("sync", "to", SWEEP, "-v")
    assert plain.returncode == 0, plain.stdout
    assert_calm(plain.stdout, plain.stderr)
    after = {name: path.stat().st_ino for name, path in list_arrived(project).items()}
    assert before.items() <= after.items()
    assert_end(sync(project), "nothing_to_do", 0)


# Case 24.


@pytest.mark.slow
@pytest.mark.parametrize("root", ["wandb/RUN/files", f"sweeps/outputs/{SWEEP}"])
def test_a_file_and_a_folder_of_one_name_are_a_problem_and_nothing_is_replaced(project: Project, root: str) -> None:
    project.set_options(max_depth=None)
    run = list_runs(project)[0]
    place = root.replace("RUN", run.name)
    for name in ("file here/inside", "full/inside"):
        write_file(project.folder / place / name, b"mine")
    write_file(project.folder / place / "folder here", b"mine")
    write_file(project.target_root / place / "file here", b"theirs")
    write_file(project.target_root / place / "folder here/inside", b"theirs")
    (project.target_root / place / "empty").mkdir()
    write_file(project.folder / place / "empty", b"mine")
    said = sync(project)
    assert_end(said, "partial", 1)
    below = place.partition("/")[2]
    kinds = {problem["path"]: problem["kind"] for problem in said.target["problems"]}
    assert kinds == {f"{below}/{name}": "type_conflict" for name in ("file here", "folder here", "empty")}
    assert (project.target_root / place / "file here").read_bytes() == b"theirs"
    assert (project.target_root / place / "folder here/inside").read_bytes() == b"theirs"
    assert list((project.target_root / place / "empty").iterdir()) == []
    assert (project.target_root / place / "full/inside").read_bytes() == b"mine"
    assert_nothing_left(project)
    shutil.rmtree(project.target_root / place)
    assert sync(project).target["exit_code"] == 0


@parametrize("place", ["wandb", "sweeps/outputs", f"sweeps/outputs/{SWEEP}", "wandb/RUN"], quick=["wandb/RUN"])
def test_a_file_in_the_place_of_a_folder_of_hsms_is_told(project: Project, place: str) -> None:
    run = list_runs(project)[0]
    path = write_file(project.target_root / place.replace("RUN", run.name), b"theirs")
    said = sync(project)
    assert said.target["exit_code"] in (1, 12), said.why
    assert path.read_bytes() == b"theirs"
    assert not list(project.target_sweeps.glob("outputs/*/.hsm-sync/lock")) if project.target_sweeps.is_dir() else True
    path.unlink()
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)
