"""Files that people write for HSM: what is read, and who else may have written it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.user_files import FileFlaw, FlawedFileError, find_other_writer, read_config_file
from tests.unit.conftest import MakeForeign


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Return a file that is reached by a symlink in another folder, all the user's own."""
    for name in ("folder", "real_folder"):
        (tmp_path / name).mkdir(mode=0o755)
    file, link = tmp_path / "real_folder/file", tmp_path / "folder/link"
    file.write_text("x")
    file.chmod(0o644)
    link.symlink_to(file)
    return {"file": file, "link": link, "real folder": file.parent, "the link's folder": link.parent}


def test_ones_own_file_is_trusted(places: dict[str, Path]) -> None:
    assert [find_other_writer(places[name]) for name in ("file", "link")] == ["", ""]


@pytest.mark.parametrize("mode", [0o664, 0o600])
def test_a_group_that_may_write_is_no_reason(places: dict[str, Path], mode: int) -> None:
    places["file"].chmod(mode)
    places["real folder"].chmod(0o2775)
    assert find_other_writer(places["link"]) == ""


@pytest.mark.parametrize("name", ["file", "real folder", "the link's folder"])
@pytest.mark.parametrize("mode", [0o777, 0o1777], ids=["open", "sticky"])
def test_what_everybody_may_write_is_not_trusted(places: dict[str, Path], name: str, mode: int) -> None:
    places[name].chmod(mode)
    assert find_other_writer(places["link"]) == f"everybody may write to {places[name]}"


@pytest.mark.parametrize("name", ["file", "link", "real folder", "the link's folder"])
def test_what_belongs_to_somebody_else_is_not_trusted(
    places: dict[str, Path], name: str, make_foreign: MakeForeign
) -> None:
    make_foreign(places[name])
    assert "belongs to" in find_other_writer(places["link"])


def test_what_cannot_be_looked_at_is_not_trusted(tmp_path: Path) -> None:
    reason = find_other_writer(tmp_path / "gone", show=lambda path: path.name)
    assert reason == "gone cannot be looked at (No such file or directory)"


def make_folder(path: Path) -> None:
    path.mkdir()


FLAWED: dict[str, tuple[Callable[[Path], object], FileFlaw, str]] = {
    "missing": (lambda _path: None, FileFlaw.MISSING, "f cannot be read: No such file or directory"),
    "a link to nothing": (lambda path: path.symlink_to("gone"), FileFlaw.MISSING, "f cannot be read: No such file"),
    "a link to itself": (lambda path: path.symlink_to("f"), FileFlaw.UNREADABLE, "f cannot be read: Too many levels"),
    "a folder": (make_folder, FileFlaw.NOT_REGULAR, "f is a folder"),
    "a pipe": (os.mkfifo, FileFlaw.NOT_REGULAR, "f is not a regular file"),
    "large": (lambda path: path.write_bytes(b"a" * 2049), FileFlaw.TOO_LARGE, "f is larger than 2 KiB, so it is no b"),
    "no UTF-8": (lambda path: path.write_bytes(b"a\n\xe9"), FileFlaw.NOT_UTF8, "f: line 2: byte 0xe9 is no UTF-8"),
}


@pytest.mark.parametrize(("make", "flaw", "message"), FLAWED.values(), ids=FLAWED)
def test_what_cannot_be_read_says_why(
    make: Callable[[Path], object], flaw: FileFlaw, message: str, tmp_path: Path
) -> None:
    make(tmp_path / "f")
    with pytest.raises(FlawedFileError) as caught:
        read_config_file(tmp_path / "f", "f", noun="book", most_bytes=2048)
    assert caught.value.flaw is flaw
    assert str(caught.value).startswith(message)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: 1\r\n" + b"x" * 2039)
    assert read_config_file(tmp_path / "f", "f", noun="book", most_bytes=2048) == "a: 1\r\n" + "x" * 2039
