"""The look into small text files for keys and passwords. Every secret here is made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.discover.secrets import MOST_BYTES, MOST_NAMED, find_in_text, scan_files
from hsm.endpoint import Endpoint
from hsm.model import Root, SourceFile
from hsm.remote.local import LocalEndpoint

HEX = "0123456789abcdef0123456789abcdef01234567"
LETTERS = "aB3dE6gH9jK2mN5pQ8sT"
WANDB, KEY, SK = "a W&B API key", "an API key", "an API key (sk-...)"
HF, GITHUB, AWS, PRIVATE = "a Hugging Face token", "a GitHub token", "an AWS access key", "a private key"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("export WANDB_API_KEY=abc", WANDB),
        ("WANDB_API_KEY='abc'", WANDB),
        ('"WANDB_API_KEY": "abc"', WANDB),
        ("WANDB_API_KEY: abc", WANDB),
        (f"api_key = {HEX}", KEY),
        (f'{{"api_key": "{HEX}"}}', KEY),
        (f"--api-key {HEX.upper()}", KEY),
        (f"ApiKey=local-{HEX}", KEY),
        (f"machine api.wandb.ai\n  login user\n  password {HEX}\n", KEY),
        (f"hf_{LETTERS}", HF),
        (f"token=hf_{LETTERS}{LETTERS}", HF),
        (f"ghp_{LETTERS}", GITHUB),
        (f"gho_{LETTERS}", GITHUB),
        (f"https://x:ghs_{LETTERS}@github.com", GITHUB),
        (f"github_pat_{LETTERS}_{LETTERS}", GITHUB),
        (f"sk-{LETTERS}", SK),
        (f"key='sk-proj-{LETTERS}'", SK),
        (f"sk-ant-api03-{LETTERS}", SK),
        ("sk-proj-" + "a-b_C" * 10, SK),
        ("AKIAABCDEFGHIJKLMNOP", AWS),
        ("ASIAABCDEFGHIJKL1234,", AWS),
        ("-----BEGIN RSA PRIVATE KEY-----", PRIVATE),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", PRIVATE),
        ("-----BEGIN PRIVATE KEY-----", PRIVATE),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", PRIVATE),
    ],
)
def test_what_looks_like_a_secret(text: str, what: str) -> None:
    assert find_in_text(f"one\ntwo\n{text}\nfour\n".encode()) == {
        what: (3 + text.partition("password")[0].count("\n"), 1)
    }


@pytest.mark.parametrize(
    "text",
    [
        "WANDB_API_KEY=",
        "WANDB_API_KEY=$KEY",
        'WANDB_API_KEY="${KEY}"',
        "WANDB_API_KEY=<your key>",
        "WANDB_API_KEY=***",
        "set WANDB_API_KEY first",
        f"commit: {HEX}",
        f"api_key: {HEX}0",
        f"api_key: {HEX[:-1]}",
        f"api_key:\n{HEX}",
        "hf_hub_download and hf_transfer",
        f"self_hf_{LETTERS}",
        "ghp_short",
        "task-0123456789abcdefghijkl",
        "risk-" + LETTERS,
        "sk-learn, sk-video",
        "AKIAshort",
        "XAKIAABCDEFGHIJKLMNOP",
        "AKIAABCDEFGHIJKLMNOPQ",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN\nPRIVATE KEY-----",
    ],
)
def test_what_is_none(text: str) -> None:
    assert find_in_text(text.encode()) == {}


def test_each_sort_is_told_once_with_its_first_line() -> None:
    text = f"x\nhf_{LETTERS}\nsk-{LETTERS}\nhf_{LETTERS}\r\nhf_{LETTERS}"
    assert find_in_text(text.encode()) == {HF: (2, 3), SK: (3, 1)}


def test_two_forms_of_one_sort_are_told_by_the_first_line() -> None:
    assert find_in_text(f"password {HEX}\napi_key {HEX}".encode()) == {KEY: (1, 2)}


@pytest.mark.parametrize(("n_bytes_before", "is_text"), [(8 * 1024 - 1, False), (8 * 1024, True)])
def test_a_nul_byte_near_the_beginning_says_that_it_is_no_text(n_bytes_before: int, is_text: bool) -> None:
    content = f"sk-{LETTERS}\n".encode().ljust(n_bytes_before, b".") + b"\0"
    assert bool(find_in_text(content)) is is_text


@given(st.binary(max_size=200), st.sampled_from([f"hf_{LETTERS}", f"sk-{LETTERS}", "AKIAABCDEFGHIJKLMNOP"]))
def test_a_secret_in_a_line_of_its_own_is_found_whatever_is_around_it(around: bytes, secret: str) -> None:
    around = around.replace(b"\0", b"?")
    content = around + b"\n" + secret.encode() + b"\n" + around
    assert around.count(b"\n") + 2 in {line for line, _ in find_in_text(content).values()}


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
