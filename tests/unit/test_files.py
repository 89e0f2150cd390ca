"""HSM's own files: whole, private, and understood or refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm import __version__, files
from hsm.files import DamagedFileError, load_json, make_private_folder, save_json


@pytest.fixture(params=[0o022, 0o002, 0o000, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set a umask that users have."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_a_new_file_and_its_new_folders_are_the_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "a/b/c/state.json"
    save_json(path, {"x": 1}, schema=1)
    assert mode_of(path) == 0o600
    assert [mode_of(folder) for folder in (path.parent, tmp_path / "a/b", tmp_path / "a")] == [0o700] * 3


def test_a_folder_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    make_private_folder(folder / "own")
    make_private_folder(folder / "own")
    assert (mode_of(folder), mode_of(folder / "own")) == (0o755, 0o700)


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(OSError, match="file"):
            make_private_folder(folder)


def test_data_come_back_with_schema_and_version(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    data = {"text": "ü \udcff \n", "number": 2**63 + 1, "list": [None, True, {"a": 1.5}]}
    save_json(path, data, schema=3)
    assert load_json(path, schema=3) == {"schema": 3, "hsm": __version__, **data}
    assert path.read_bytes().isascii()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_any_data_come_back(tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    save_json(path, data, schema=1)
    assert load_json(path, schema=1) == {**data, "schema": 1, "hsm": __version__}


def test_what_was_loaded_may_be_saved_with_another_schema(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"schema": 1, "hsm": "0.1", "x": 1}')
    loaded = load_json(path, schema=1)
    assert loaded is not None
    save_json(path, loaded, schema=2)
    assert load_json(path, schema=2) == {"schema": 2, "hsm": __version__, "x": 1}


def test_a_file_is_replaced_in_one_step_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as reader:
        save_json(path, {"x": 1}, schema=1)
        assert reader.read() == "old"
    assert mode_of(path) == 0o600
    assert {child.name for child in tmp_path.iterdir()} == {"home", "state.json"}


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "foreign").write_text("old")
    (tmp_path / "state.json").symlink_to("foreign")
    save_json(tmp_path / "state.json", {}, schema=1)
    assert (tmp_path / "foreign").read_text() == "old"
    assert not (tmp_path / "state.json").is_symlink()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("no JSON", id="a value that is no JSON"),
        pytest.param("full", id="a full disk"),
        pytest.param("rename", id="the rename fails"),
    ],
)
def test_a_failure_leaves_the_old_file_and_nothing_beside_it(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own/state.json"
    save_json(path, {"x": "old"}, schema=1)
    data: dict[str, object] = {"x": object()} if case == "no JSON" else {"x": "new"}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if case == "full":
            patch.setattr(os, "fsync", fail)
        elif case == "rename":
            patch.setattr(Path, "replace", fail)
        with pytest.raises((OSError, TypeError)):
            save_json(path, data, schema=1)
    assert load_json(path, schema=1) == {"schema": 1, "hsm": __version__, "x": "old"}
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupt_leaves_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_json(tmp_path / "own/state.json", {}, schema=1)
    assert list((tmp_path / "own").iterdir()) == []


def test_the_content_is_on_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    synced: list[tuple[bool, bytes]] = []

    def look(descriptor: int) -> None:
        (beside,) = [child for child in tmp_path.iterdir() if child.name.startswith(".hsm-")]
        assert os.fstat(descriptor).st_ino == beside.stat().st_ino
        synced.append((path.exists(), beside.read_bytes()))

    monkeypatch.setattr(os, "fsync", look)
    save_json(path, {"x": 1}, schema=1)
    assert synced == [(False, path.read_bytes())]


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert load_json(tmp_path / "none", schema=1) is None
    assert load_json(tmp_path / "none/such", schema=1) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "is no valid JSON", id="empty"),
        pytest.param(b'{"schema": 1, "x":', "is no valid JSON", id="cut"),
        pytest.param(b'{"schema": 1}\xff', "is no valid JSON", id="foreign bytes"),
        pytest.param(b"[1]", "holds no JSON object", id="a list"),
        pytest.param(b"{}", "has schema None, this version reads 2", id="no schema"),
        pytest.param(b'{"schema": 1}', "has schema 1, this version reads 2", id="older"),
        pytest.param(b'{"schema": "2"}', "has schema '2', this version reads 2", id="a text"),
        pytest.param(
            b'{"schema": 3, "hsm": "9.1"}',
            "was written by HSM 9.1 and has schema 3, newer than 2",
            id="newer",
        ),
    ],
)
def test_a_file_that_is_not_understood_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        load_json(path, schema=2)
    assert str(caught.value).startswith(f"{path} {reason}")
    assert ("upgrade" in str(caught.value)) is ("upgrade" in reason)


def test_a_file_that_cannot_be_read_is_no_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        load_json(tmp_path, schema=1)


def test_what_is_written_is_one_line_that_begins_with_the_schema(tmp_path: Path) -> None:
    save_json(tmp_path / "x", {"a": 1, "schema": 9}, schema=1)
    text = (tmp_path / "x").read_text()
    assert list(json.loads(text)) == ["schema", "hsm", "a"]
    assert "\n" not in text


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    os.mkfifo(path)
    with pytest.raises(OSError, match="Is no regular file"):
        load_json(path, schema=1)


def test_a_file_that_is_nested_without_end_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b'{"schema": 1, "a": ' + b"[" * 100_000)
    with pytest.raises(DamagedFileError, match="no valid JSON"):
        load_json(path, schema=1)


def test_a_file_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    monkeypatch.setattr(files, "MOST_BYTES", 1024**2)
    path.write_bytes(b'{"schema": 1}' + b" " * 1024**2)
    with pytest.raises(DamagedFileError, match="has more than 1 MiB"):
        load_json(path, schema=1)
