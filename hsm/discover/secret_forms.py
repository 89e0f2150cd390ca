r"""Forms of keys and passwords in text, none of which is ever shown again. Pure.

W&B: `WANDB_API_KEY=...`, 40 hex digits behind `api_key` or behind netrc's `password`. Hugging Face:
https://huggingface.co/docs/hub/security-tokens. GitHub: https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/.
OpenAI, Anthropic and others: `sk-...`. AWS: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html.
Private keys: RFC 7468, PGP and OpenSSH.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class SecretForm(NamedTuple):
    """Form of one sort of secret.

    Attributes:
        what: Its name in words.
        marks: One of these is in every text that has it, in small letters; looking for them is cheap.
        pattern: Its exact form.
    """

    what: str
    marks: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


# Patterns begin with literal text, for which `re` searches quickly: what may not stand before it is tested behind it.
_FORMS = (
    SecretForm(
        "a W&B API key",
        (b"wandb_api_key",),
        re.compile(rb"""WANDB_API_KEY["']?[ \t]*[=:][ \t]*["']?[^\s"'$<{*\\]"""),
    ),
    SecretForm(
        "an API key",
        (b"api_key", b"api-key", b"apikey"),
        re.compile(rb"[aA][pP][iI][_-]?[kK][eE][yY][^0-9A-Za-z\n]{1,16}(?:local-)?[0-9a-fA-F]{40}(?![0-9A-Za-z])"),
    ),
    SecretForm("an API key", (b"password",), re.compile(rb"password[ \t]+(?:local-)?[0-9a-fA-F]{40}(?![0-9A-Za-z])")),
    SecretForm("a Hugging Face token", (b"hf_",), re.compile(rb"hf_(?<![0-9A-Za-z_]hf_)[0-9A-Za-z]{20,}")),
    SecretForm(
        "a GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
        re.compile(rb"gh[opusr]_(?<![0-9A-Za-z_]gh[opusr]_)[0-9A-Za-z]{20,}"),
    ),
    SecretForm("a GitHub token", (b"github_pat_",), re.compile(rb"github_pat_[0-9A-Za-z_]{20,}")),
    SecretForm(
        "an API key (sk-...)",
        (b"sk-",),
        re.compile(rb"sk-(?<![0-9A-Za-z_-]sk-)(?:(?:[a-z0-9]{2,10}-){0,3}[0-9A-Za-z_]{20}|[0-9A-Za-z_-]{40})"),
    ),
    SecretForm(
        "an AWS access key",
        (b"akia", b"asia"),
        re.compile(rb"A[KS]IA(?<![0-9A-Za-z]A[KS]IA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    ),
    SecretForm(
        "a private key",
        (b"private key",),
        re.compile(rb"-----BEGIN [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
    ),
)


def choose_forms(content: bytes) -> list[SecretForm]:
    """Choose the forms of which there may be some in a text, or in several texts in a row."""
    small = content.lower()
    return [form for form in _FORMS if any(mark in small for mark in form.marks)]


def find_forms(content: bytes, forms: Sequence[SecretForm]) -> dict[str, tuple[int, int]]:
    """Look for forms in a text.

    Returns:
        The name of the sort -> the first line, counted from 1, and the number of places.
    """
    places: dict[str, list[int]] = {}
    for form in forms:
        places.setdefault(form.what, []).extend(match.start() for match in form.pattern.finditer(content))
    return {what: (content.count(b"\n", 0, min(starts)) + 1, len(starts)) for what, starts in places.items() if starts}
