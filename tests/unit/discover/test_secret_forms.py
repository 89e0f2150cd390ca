"""Forms of keys and passwords. Every secret here is made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.discover.secret_forms import choose_forms, find_forms

HEX = "0123456789abcdef0123456789abcdef01234567"
LETTERS = "aB3dE6gH9jK2mN5pQ8sT"
WANDB, KEY, SK = "a W&B API key", "an API key", "an API key (sk-...)"
HF, GITHUB, AWS, PRIVATE = "a Hugging Face token", "a GitHub token", "an AWS access key", "a private key"


def find(content: bytes) -> dict[str, tuple[int, int]]:
    return find_forms(content, choose_forms(content))


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
    assert find(f"one\ntwo\n{text}\nfour\n".encode()) == {what: (3 + text.partition("password")[0].count("\n"), 1)}


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
    assert find(text.encode()) == {}


def test_each_sort_is_told_once_with_its_first_line() -> None:
    text = f"x\nhf_{LETTERS}\nsk-{LETTERS}\nhf_{LETTERS}\r\nhf_{LETTERS}"
    assert find(text.encode()) == {HF: (2, 3), SK: (3, 1)}


def test_two_forms_of_one_sort_are_told_by_the_first_line() -> None:
    assert find(f"password {HEX}\napi_key {HEX}".encode()) == {KEY: (1, 2)}


@given(st.binary(max_size=200), st.sampled_from([f"hf_{LETTERS}", f"sk-{LETTERS}", "AKIAABCDEFGHIJKLMNOP"]))
def test_a_secret_in_a_line_of_its_own_is_found_whatever_is_around_it(around: bytes, secret: str) -> None:
    around = around.replace(b"\0", b"?")
    content = around + b"\n" + secret.encode() + b"\n" + around
    assert around.count(b"\n") + 2 in {line for line, _ in find(content).values()}
