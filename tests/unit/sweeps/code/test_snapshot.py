"""Snapshots of code, of real git repositories."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from hsm.errors import UsageError
from hsm.process.runner import Runner
from hsm.sweeps.code import listing as listing_module
from hsm.sweeps.code import snapshot as snapshot_module
from hsm.sweeps.code.capture import CapturedCode, CodeChoice, capture_code
from hsm.sweeps.code.git import GitFailedError
from hsm.sweeps.code.snapshot import SnapshotFailedError, SnapshotStore
from tests.unit.sweeps.git_project import commit_all, make_repository, run_git, write_files

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FILES = {
    "train.py": "print('one')\n",
    "src/model.py": "width = 1\n",
    ".gitignore": "/data/\n*.ckpt\n__pycache__/\n",
    ".hsm/config.yaml": "{}\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = make_repository(tmp_path / "my project", FILES)
    write_files(
        project,
        {
            "data/x.bin": "data",
            "src/best.ckpt": "weights",
            "src/__pycache__/model.pyc": "compiled",
            "new.py": "new = 1\n",
            "sweeps/outputs/sweep_1/a": "result",
            "wandb/run-1/x": "result",
        },
    )
    return project


def take(project: Path, choice: CodeChoice = CodeChoice.AUTO, *, dry_run: bool = False) -> CapturedCode:
    return capture_code(project, outputs="sweeps/outputs", choice=choice, runner=Runner(), dry_run=dry_run)


def list_tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with its content, every symlink with where it leads to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text("utf-8", "replace")
    return found


def test_a_snapshot_has_the_code_and_leads_to_everything_else(project: Path) -> None:
    found = take(project)
    assert found.folder == project / ".hsm" / "code" / found.code.hash
    assert list_tree(found.folder) == {
        ".gitignore": FILES[".gitignore"],
        "data": "-> ../../../data",
        "new.py": "new = 1\n",
        "src/best.ckpt": "-> ../../../../src/best.ckpt",
        "src/model.py": "width = 1\n",
        "sweeps/outputs": "-> ../../../../sweeps/outputs",
        "train.py": "print('one')\n",
        "wandb": "-> ../../../wandb",
    }
    assert (found.folder / "data" / "x.bin").read_text("utf-8") == "data"
    assert found.n_files == 4
    assert found.code.is_changed  # new.py is not committed
    assert found.code.commit == run_git(project, "rev-parse", "HEAD").strip()
    assert "New: new.py\n" in found.text
    assert "Branch: main\n" in found.text
    assert found.diff == b""


def test_a_snapshot_stays_as_it_was(project: Path) -> None:
    first = take(project)
    write_files(project, {"train.py": "print('two')\n"})
    (project / "new.py").unlink()
    second = take(project)
    assert (first.folder / "train.py").read_text("utf-8") == "print('one')\n"
    assert (first.folder / "new.py").exists()
    assert (second.folder / "train.py").read_text("utf-8") == "print('two')\n"
    assert not (second.folder / "new.py").exists()
    assert "Changed: train.py\n" in second.text
    assert b"+print('two')" in second.diff


def test_unchanged_files_are_shared_with_the_last_snapshot(project: Path) -> None:
    first = take(project)
    write_files(project, {"train.py": "print('two')\n"})
    second = take(project)
    assert (first.folder / "src/model.py").samefile(second.folder / "src/model.py")
    assert not (first.folder / "src/model.py").samefile(project / "src/model.py")
    assert not (first.folder / "train.py").samefile(second.folder / "train.py")


def test_the_same_code_is_one_snapshot(project: Path) -> None:
    first = take(project)
    inode = first.folder.stat().st_ino
    os.utime(project / "train.py")
    assert take(project).folder.stat().st_ino == inode
    assert len(list((project / ".hsm" / "code").glob("[0-9a-f]*"))) == 2  # the folder and its record


def test_shared_files_cannot_be_written_by_mistake(project: Path) -> None:
    (project / "train.py").chmod(0o755)
    folder = take(project).folder
    assert stat.S_IMODE((folder / "train.py").stat().st_mode) == 0o555
    assert not stat.S_IMODE((folder / "src/model.py").stat().st_mode) & 0o222


def test_a_file_that_somebody_changed_is_not_shared_and_made_anew(project: Path) -> None:
    first = take(project)
    model = first.folder / "src/model.py"
    model.chmod(0o644)
    model.write_text("width = 9\n", encoding="utf-8")
    assert take(project).folder == first.folder
    assert model.read_text("utf-8") == "width = 1\n"
    model.chmod(0o644)
    model.write_text("width = 9\n", encoding="utf-8")
    write_files(project, {"train.py": "print('two')\n"})
    assert (take(project).folder / "src/model.py").read_text("utf-8") == "width = 1\n"


def test_a_dry_run_writes_nothing(project: Path) -> None:
    before = list_tree(project)
    found = take(project, dry_run=True)
    assert list_tree(project) == before
    assert take(project).folder == found.folder


def test_git_sees_no_snapshot(project: Path) -> None:
    commit_all(project)
    take(project)
    assert run_git(project, "status", "--porcelain") == ""


def test_a_project_may_be_a_part_of_a_repository(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "all", {"lib/a.py": "a", "part/train.py": "t", ".gitignore": "*.log\n"})
    write_files(repository, {"part/x.log": "log", "other.py": "o"})
    write_files(repository, {"part/train.py": "changed"})
    found = take(repository / "part")
    assert list_tree(found.folder) == {"train.py": "changed", "x.log": "-> ../../../x.log"}
    assert "Changed: train.py\n" in found.text


def test_submodules_and_symlinks_come_along(project: Path, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library", {"lib.py": "lib", ".gitignore": "*.so\n"})
    run_git(project, "submodule", "add", "-q", str(library), "ext/lib")
    write_files(project, {"ext/lib/x.so": "binary", "ext/lib/local.py": "local", "ext/own/.keep": ""})
    (project / "inner").symlink_to("src/model.py")
    (project / "outer").symlink_to("../library/lib.py")
    make_repository(project / "nested", {"n.py": "nested"})
    tree = list_tree(take(project).folder)
    assert tree["ext/lib/lib.py"] == "lib"
    assert tree["ext/lib/local.py"] == "local"
    assert tree["ext/lib/x.so"] == "-> ../../../../../ext/lib/x.so"
    assert tree["inner"] == "-> src/model.py"
    assert tree["outer"] == f"-> {tmp_path}/library/lib.py"
    assert tree["nested"] == "-> ../../../nested"


def test_names_may_be_anything(project: Path) -> None:
    names = ["a b.py", "-x", "line\nbreak.py", "ü.py", "'quote'.py"]
    write_files(project, {name: name for name in names})
    (project / os.fsdecode(b"bytes-\xff.py")).write_text("x", encoding="utf-8")
    tree = list_tree(take(project).folder)
    assert {*names, os.fsdecode(b"bytes-\xff.py")} <= set(tree)


def test_a_deleted_file_is_not_missed(project: Path) -> None:
    (project / "src/model.py").unlink()
    assert "src/model.py" not in list_tree(take(project).folder)


def test_without_a_repository_tasks_run_in_the_project(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    found = take(tmp_path / "plain")
    assert (found.folder, found.code.hash, found.text) == (tmp_path / "plain", "", "")
    with pytest.raises(UsageError, match="is no git repository"):
        take(tmp_path / "plain", CodeChoice.SNAPSHOT)


def test_live_asks_nobody(project: Path) -> None:
    assert take(project, CodeChoice.LIVE).folder == project
    assert not (project / ".hsm" / "code").exists()


def test_a_repository_without_a_commit_has_a_snapshot(tmp_path: Path) -> None:
    project = tmp_path / "fresh"
    project.mkdir()
    run_git(project, "init", "-q")
    write_files(project, {"train.py": "t"})
    found = take(project)
    assert list_tree(found.folder) == {"train.py": "t"}
    assert (found.code.commit, found.code.is_changed) == ("", True)


def test_a_broken_repository_is_an_error(project: Path) -> None:
    (project / ".git" / "index").write_text("damaged", encoding="utf-8")
    with pytest.raises(GitFailedError, match="git cannot read the repository") as caught:
        take(project)
    assert "--code live" in caught.value.hint


@pytest.mark.parametrize(("module", "name"), [(listing_module, "MOST_FILES"), (snapshot_module, "MOST_BYTES")])
def test_data_is_not_taken_for_code(project: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    write_files(project, {f"images/{n}.txt": "image" for n in range(9)})
    monkeypatch.setattr(module, name, 5)
    with pytest.raises(UsageError, match="A snapshot of the code would have") as caught:
        take(project)
    assert caught.value.kind == "too_much_code"
    assert list_snapshots(project) == []


def list_snapshots(project: Path) -> list[str]:
    folder = project / ".hsm" / "code"
    return sorted(path.name for path in folder.iterdir() if path.name != ".gitignore") if folder.exists() else []


def test_code_that_changes_while_it_is_copied_is_read_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, changes = snapshot_module.read_file, iter(["print('two')\n", "print('three')\n"])

    def read_and_change(path: Path, *, copy: int | None = None) -> object:
        if copy is not None and path.name == "train.py" and (text := next(changes, "")):
            write_files(project, {"train.py": text})
        return real(path, copy=copy)

    monkeypatch.setattr(snapshot_module, "read_file", read_and_change)
    folder = take(project).folder
    assert (folder / "train.py").read_text("utf-8") == "print('three')\n"
    assert list_snapshots(project) == [folder.name, f"{folder.name}.json"]


def test_code_that_never_rests_is_an_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, numbers = snapshot_module.read_file, iter(range(100))

    def read_and_change(path: Path, *, copy: int | None = None) -> object:
        if copy is not None and path.name == "train.py":
            write_files(project, {"train.py": f"{next(numbers)}"})
        return real(path, copy=copy)

    monkeypatch.setattr(snapshot_module, "read_file", read_and_change)
    with pytest.raises(SnapshotFailedError, match="files change"):
        take(project)
    assert list_snapshots(project) == []


def test_where_there_are_no_hard_links_files_are_copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(project)
    write_files(project, {"train.py": "print('two')\n"})

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert (take(project).folder / "src/model.py").read_text("utf-8") == "width = 1\n"


def test_a_snapshot_that_is_removed_takes_nothing_of_the_project_along(project: Path) -> None:
    first = take(project)
    write_files(project, {"train.py": "print('two')\n"})
    second = take(project)
    before = {name: text for name, text in list_tree(project).items() if not name.startswith(".hsm/code/")}
    store = SnapshotStore(project)
    store.remove(first.code.hash)
    store.remove(first.code.hash)
    assert list_snapshots(project) == [second.code.hash, f"{second.code.hash}.json"]
    assert {name: text for name, text in list_tree(project).items() if not name.startswith(".hsm/code/")} == before
    assert (second.folder / "src/model.py").read_text("utf-8") == "width = 1\n"
    for name in ("..", "", "a/b", first.code.hash + "x"):
        with pytest.raises(ValueError, match="is no snapshot"):
            store.remove(name)
