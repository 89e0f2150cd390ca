"""The place of a project: what is a copy, what was moved, and what is the same folder under another name."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.records.place import (
    ProjectPlace,
    Sight,
    Verdict,
    judge_place,
    look_at_place,
    make_place_document,
    parse_place,
    read_place,
)
from hsm.records.source_id import SourceId, find_source_id, is_at_its_place, load_source_id

HERE = ProjectPlace("login1", "a1", "/home/me/p", 10, 11, 12)
MOUNT = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]

SAME, MOVED, COPIED = Verdict.SAME, Verdict.MOVED, Verdict.COPIED


@pytest.mark.parametrize(
    ("now", "sight", "expected"),
    [
        pytest.param({}, Sight.SAME_FOLDER, SAME, id="where it was"),
        pytest.param({"device": 99}, Sight.SAME_FOLDER, SAME, id="another number of the device since a reboot"),
        pytest.param({"state_inode": 9, "folder_inode": 8}, Sight.SAME_FOLDER, MOVED, id="put back from a backup"),
        pytest.param({"host": "login2", "device": 9}, Sight.SAME_FOLDER, SAME, id="another login node"),
        pytest.param({"host": "login2", "state_inode": 9}, Sight.SAME_FOLDER, COPIED, id="another cluster, same path"),
        pytest.param({"machine": "b2", "state_inode": 9}, Sight.SAME_FOLDER, COPIED, id="hosts of one name"),
        pytest.param({"machine": "b2"}, Sight.SAME_FOLDER, SAME, id="another identity since a reboot"),
        pytest.param({"path": "/mnt/p"}, Sight.SAME_FOLDER, SAME, id="another name of the folder"),
        pytest.param({"path": "/mnt/p", "host": "c"}, Sight.UNSEEN, SAME, id="mounted elsewhere, as in a container"),
        pytest.param({"path": "/home/me/q"}, Sight.GONE, MOVED, id="renamed"),
        pytest.param({"path": "/q", "state_inode": 9, "device": 9}, Sight.GONE, MOVED, id="moved to another disk"),
        pytest.param({"path": "/q", "state_inode": 9}, Sight.HOLDS_ID, COPIED, id="copied beside it"),
        pytest.param({"path": "/snap/p"}, Sight.HOLDS_ID, COPIED, id="a snapshot, with the same inodes"),
        pytest.param({"path": "/q", "state_inode": 9}, Sight.UNSEEN, COPIED, id="copied from a disk that is away"),
        pytest.param({"path": "/q", "state_inode": 9, "host": "c"}, Sight.GONE, COPIED, id="copied to another host"),
        pytest.param(
            {"path": "/q", "state_inode": 12, "folder_inode": 9}, Sight.UNSEEN, COPIED, id="one inode by chance"
        ),
    ],
)
def test_the_table(now: dict[str, object], sight: Sight, expected: Verdict) -> None:
    assert judge_place(HERE, replace(HERE, **now), sight) is expected  # type: ignore[arg-type]


def test_a_place_is_read_as_it_was_written() -> None:
    document = json.loads(json.dumps(make_place_document(replace(HERE, path="/p/\udcff"))))
    assert parse_place(document) == replace(HERE, path="/p/\udcff")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {**make_place_document(HERE), "more": 1},
        {**make_place_document(HERE), "path": "home/me/p"},
        {**make_place_document(HERE), "path": "/home/me\0/p"},
        {**make_place_document(HERE), "path": "/" * 5000},
        {**make_place_document(HERE), "path": 7},
        {**make_place_document(HERE), "device": True},
        {**make_place_document(HERE), "state_inode": "12"},
        {**make_place_document(HERE), "folder_inode": 1e300},
    ],
)
def test_a_place_that_is_none_is_as_good_as_none(document: object) -> None:
    assert parse_place(document) is None


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with an id."""
    project = tmp_path / "project"
    load_source_id(project)
    return project


def test_a_copy_has_an_id_of_its_own_and_the_original_keeps_its_own(project: Path, tmp_path: Path) -> None:
    first = load_source_id(project)
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)
    found = find_source_id(copy)
    assert found.id != first
    assert found.copied_from is not None
    assert found.copied_from.path == str(project)
    again = find_source_id(copy)
    assert (again.id, again.copied_from) == (found.id, None)
    assert load_source_id(project) == first


def test_a_copy_of_hard_links_is_a_copy(project: Path, tmp_path: Path) -> None:
    first, copy = load_source_id(project), tmp_path / "copy"
    shutil.copytree(project, copy, copy_function=os.link)
    assert load_source_id(copy) != first
    assert load_source_id(project) == first


def test_a_copy_that_is_copied_over_again_has_its_id_again(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    found = load_source_id(copy)
    shutil.copytree(project, copy, dirs_exist_ok=True)
    assert load_source_id(copy) == found


def test_a_copy_that_cannot_be_written_has_the_same_id_at_each_call(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    monkeypatch.setattr(os, "fsync", refuse)
    found = {load_source_id(copy) for _ in range(2)}
    assert len(found) == 1
    assert found != {load_source_id(project)}


def test_a_project_that_was_renamed_keeps_its_id(project: Path, tmp_path: Path) -> None:
    first = load_source_id(project)
    project.rename(tmp_path / "renamed")
    assert load_source_id(tmp_path / "renamed") == first
    assert '"path":"' + str(tmp_path / "renamed") in (tmp_path / "renamed/.hsm/project.json").read_text()


def test_a_project_that_was_moved_over_a_copy_keeps_its_id(project: Path, tmp_path: Path) -> None:
    """As `mv` to another file system does: copy, then delete."""
    first = load_source_id(project)
    shutil.copytree(project, tmp_path / "moved")
    shutil.rmtree(project)
    found = find_source_id(tmp_path / "moved")
    assert (found.id, found.copied_from) == (first, None)


def test_a_project_that_was_put_back_from_a_backup_keeps_its_id(project: Path, tmp_path: Path) -> None:
    first = load_source_id(project)
    shutil.copytree(project, tmp_path / "backup")
    shutil.rmtree(project)
    shutil.copytree(tmp_path / "backup", project)
    assert load_source_id(project) == first


def test_a_symlink_to_a_project_is_the_project(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    assert load_source_id(tmp_path / "link") == load_source_id(project)


def test_another_login_node_writes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, content = load_source_id(project), (project / ".hsm/project.json").read_bytes()
    monkeypatch.setattr(socket, "gethostname", lambda: "login2")
    assert load_source_id(project) == first
    assert (project / ".hsm/project.json").read_bytes() == content


def test_a_copy_on_another_host_at_the_same_path_is_a_copy(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_source_id(project)
    shutil.copytree(project, tmp_path / "copy")
    shutil.rmtree(project)
    (tmp_path / "copy").rename(project)
    monkeypatch.setattr(socket, "gethostname", lambda: "login.other.example")
    assert load_source_id(project) != first


def test_machines_that_see_other_inodes_take_turns_and_each_has_its_id(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a container or sshfs, whose inodes are not those of the disk."""
    ids: dict[str, set[str]] = {"host": set(), "container": set()}
    for number in range(6):
        name = "host" if number % 2 else "container"
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        state = project / ".hsm"
        shutil.copytree(state, project / "new")  # other inodes
        shutil.rmtree(state)
        (project / "new").rename(state)
        ids[name].add(load_source_id(project))
    assert {name: len(found) for name, found in ids.items()} == {"host": 1, "container": 1}
    assert len((project / ".hsm/project.json").read_bytes()) < 4096


def test_an_older_versions_file_is_adopted(tmp_path: Path) -> None:
    (tmp_path / ".hsm").mkdir()
    path = tmp_path / ".hsm/project.json"
    path.write_text('{"schema": 1, "hsm": "0.1.0", "source_id": "00112233445566ff"}')
    assert find_source_id(tmp_path) == SourceId("00112233445566ff", read_place(tmp_path))
    assert json.loads(path.read_bytes())["place"]["path"] == str(tmp_path)


def test_the_old_place_counts_as_gone_only_where_its_disk_is_there(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "now")
    known, now = read_place(project), read_place(tmp_path / "now")
    source_id = load_source_id(project)
    assert look_at_place(known, now, source_id) is Sight.HOLDS_ID
    assert look_at_place(known, now, "0" * 16) is Sight.GONE
    assert look_at_place(replace(known, device=0), now, "0" * 16) is Sight.UNSEEN
    away = replace(known, path=str(tmp_path / "disk/deep/project"))
    assert look_at_place(away, now, source_id) is Sight.GONE
    assert look_at_place(replace(away, device=0), now, source_id) is Sight.UNSEEN


def test_looking_changes_nothing(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "copy")
    content = (tmp_path / "copy/.hsm/project.json").read_bytes()
    found = SourceId(load_source_id(project), read_place(project))
    assert is_at_its_place(found, project)
    assert not is_at_its_place(found, tmp_path / "copy")
    assert (tmp_path / "copy/.hsm/project.json").read_bytes() == content


_MOUNTED = """
import shutil, subprocess, sys
from pathlib import Path
from hsm.records.source_id import load_source_id
folder = Path(sys.argv[1])
for name in ("a", "b", "twin"):
    (folder / name).mkdir()
def mount(*argv):
    subprocess.run(["mount", *map(str, argv)], check=True)
mount("-t", "tmpfs", "hsm-test", folder / "a")
first = load_source_id(folder / "a/project")
mount("--bind", folder / "a", folder / "b")
print("bind", load_source_id(folder / "b/project") == first)
mount("-t", "tmpfs", "hsm-test", folder / "twin")
shutil.copytree(folder / "a/project", folder / "twin/project")  # a fresh tmpfs counts its inodes anew
print("twin", load_source_id(folder / "twin/project") == first, load_source_id(folder / "a/project") == first)
"""


def test_two_mount_points_are_one_project_and_two_disks_with_the_same_inodes_are_two(tmp_path: Path) -> None:
    argv = [*MOUNT, sys.executable, "-c", _MOUNTED, str(tmp_path)]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if "mount" in done.stderr and "bind" not in done.stdout:
        pytest.skip(f"nothing can be mounted here: {done.stderr[-200:]}")
    assert done.stdout.split() == ["bind", "True", "twin", "False", "True"], done.stderr
