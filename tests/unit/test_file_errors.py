"""Refusals of the file system in words, as another user than the one whose the files are."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm.file_errors import explain_os_error

OTHER = 12345


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project of this user's, of which another one may read all but `.hsm/sync`, which is looked at as that user."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user for a while")
    folder = tmp_path / "project"
    (folder / ".hsm/sync/t").mkdir(parents=True)
    (folder / ".hsm/sync/t/s.json").touch()
    (folder / ".hsm/project.json").touch(0o600)
    (folder / ".hsm/sync").chmod(0o700)
    for above in tmp_path.parents:
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)  # pytest's own, which is the user's alone
    tmp_path.chmod(0o755)
    os.setresuid(OTHER, OTHER, 0)  # os.access looks at the real one
    try:
        yield folder
    finally:
        os.setresuid(0, 0, 0)


def explain(path: Path) -> tuple[str, str]:
    with pytest.raises(PermissionError) as caught:
        path.read_bytes()
    return explain_os_error(caught.value, path)


def test_a_file_in_a_folder_of_another_user_names_the_folder_and_the_user(project: Path) -> None:
    reason, hint = explain(project / ".hsm/sync/t/s.json")
    assert reason == f"Permission denied: {project}/.hsm/sync belongs to root"
    assert "ask root to do it" in hint
    assert "copy of your own" in hint


def test_a_file_of_another_user_is_named_itself(project: Path) -> None:
    assert (
        explain(project / ".hsm/project.json")[0] == f"Permission denied: {project}/.hsm/project.json belongs to root"
    )


def test_so_is_the_folder_in_which_nothing_may_be_made(project: Path) -> None:
    path = project / ".hsm/new"
    with pytest.raises(PermissionError) as caught:
        path.mkdir()
    assert explain_os_error(caught.value, path)[0] == f"Permission denied: {project}/.hsm belongs to root"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "mounted read-only"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EIO, "the disk and its mount"),
    ],
    ids=errno.errorcode.get,
)
def test_any_other_refusal_says_what_to_do_and_not_whose_it_is(code: int, words: str, tmp_path: Path) -> None:
    reason, hint = explain_os_error(OSError(code, os.strerror(code)), tmp_path)
    assert reason == os.strerror(code)
    assert words in hint
    assert "emove" not in hint
