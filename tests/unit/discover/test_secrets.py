"""The look into small text files for keys and passwords. Every secret here is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.discover.secrets import MOST_BYTES, MOST_NAMED, scan_files
from hsm.endpoint import Endpoint
from hsm.model import Root, SourceFile
from hsm.remote.local import LocalEndpoint

LETTERS = "aB3dE6gH9jK2mN5pQ8sT"


def make_file(folder: Path, name: str, content: bytes | str) -> SourceFile:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return SourceFile(Root.WANDB, name, str(folder), path.stat().st_size, 1, 1)


def test_a_finding_has_the_path_and_the_line_but_not_the_secret(tmp_path: Path) -> None:
    files = [make_file(tmp_path, "a.log", "fine"), make_file(tmp_path, "b.log", f"x\nWANDB_API_KEY={LETTERS}\n")]
    (found,) = scan_files(LocalEndpoint(), files)
    assert (found.path, found.kind, found.is_failure) == ("b.log", "possible_secret", False)
    assert "Line 2 " in found.message
    assert LETTERS not in repr(found)


def test_a_symlink_is_read_through(tmp_path: Path) -> None:
    make_file(tmp_path, "key", "-----BEGIN RSA PRIVATE KEY-----")
    (tmp_path / "link").symlink_to("key")
    link = SourceFile(Root.WANDB, "link", str(tmp_path), 31, 1, 1, is_link=True)
    assert [found.path for found in scan_files(LocalEndpoint(), [link])] == ["link"]


@pytest.mark.parametrize(("n_bytes", "n_found"), [(MOST_BYTES, 1), (MOST_BYTES + 1, 0)])
def test_only_small_files_are_looked_into(tmp_path: Path, n_bytes: int, n_found: int) -> None:
    file = make_file(tmp_path, "f", f"sk-{LETTERS}\n".ljust(n_bytes, "."))
    assert len(scan_files(LocalEndpoint(), [file])) == n_found


@pytest.mark.parametrize(("n_bytes_before", "is_text"), [(8 * 1024 - 1, False), (8 * 1024, True)])
def test_a_nul_byte_near_the_beginning_says_that_it_is_no_text(
    tmp_path: Path, n_bytes_before: int, is_text: bool
) -> None:
    file = make_file(tmp_path, "f", f"sk-{LETTERS}\n".encode().ljust(n_bytes_before, b".") + b"\0")
    assert bool(scan_files(LocalEndpoint(), [file])) is is_text


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    gone = SourceFile(Root.WANDB, "gone", str(tmp_path), 10, 1, 1)
    there = make_file(tmp_path, "there", f"sk-{LETTERS}")
    assert [found.path for found in scan_files(LocalEndpoint(), [gone, there])] == ["there"]


def test_many_files_are_told_in_their_order_and_then_summed_up(tmp_path: Path) -> None:
    files = [make_file(tmp_path, f"{number:03}", f"sk-{LETTERS}" if number % 2 else "x") for number in range(300)]
    found = scan_files(LocalEndpoint(), files)
    assert [problem.path for problem in found] == [f"{2 * number + 1:03}" for number in range(MOST_NAMED)] + [""]
    assert found[-1].message.startswith("130 more")


class Untouchable:
    """An endpoint that must not be asked."""

    is_remote = True

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


def test_a_remote_source_is_not_looked_into() -> None:
    endpoint: Endpoint = Untouchable()  # type: ignore[assignment]
    assert scan_files(endpoint, [SourceFile(Root.WANDB, "f", "/p", 10, 1, 1)]) == ()
