"""Limits of what a program may print."""

from __future__ import annotations

import pytest

from hsm.process import answer, dialogue, runner
from hsm.process.answer import AnswerTooLongError, KeptOutput
from hsm.process.dialogue import Dialogue
from hsm.process.runner import Runner
from tests.unit.process.conftest import LONG

ENDLESS = ["sh", "-c", "exec cat /dev/zero"]


def test_an_answer_has_a_limit_which_the_error_names() -> None:
    kept = KeptOutput("ssh", 2 * 1024**2)
    kept.take(b"x" * 2 * 1024**2)
    with pytest.raises(AnswerTooLongError, match="`ssh` printed more than 2 MiB in one answer"):
        kept.take(b"x")


def test_before_an_answer_begins_there_may_be_a_little_noise() -> None:
    kept = KeptOutput("ssh", 10**9)
    kept.expect(b"<mark>")
    kept.take(b"x" * 1024**2)
    with pytest.raises(AnswerTooLongError, match="more than 1 MiB of text before the answer"):
        kept.take(b"x")


def test_once_it_has_begun_it_may_be_long() -> None:
    kept = KeptOutput("ssh", 10**9)
    kept.expect(b"<mark>")
    for chunk in (b"Welcome\n<ma", b"rk>", b"x" * 3 * 1024**2):
        kept.take(chunk)
    assert kept.content.startswith(b"Welcome\n<mark>xxx")


@pytest.mark.parametrize("begin", [b"<mark>", b""])
def test_a_program_that_prints_for_ever_is_ended(begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_ANSWER_BYTES", 4 * 1024**2)
    with pytest.raises(AnswerTooLongError, match="`sh` printed more than"):
        Runner().run(ENDLESS, timeout_seconds=LONG, begin=begin)


def test_so_is_one_that_complains_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_COMPLAINT_BYTES", 1024**2)
    with pytest.raises(AnswerTooLongError):
        Runner().run(["sh", "-c", "exec cat /dev/zero >&2"], timeout_seconds=LONG)


def test_so_is_an_open_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue, "MOST_ANSWER_BYTES", 4 * 1024**2)
    talk = Dialogue(Runner(), ["sh"])
    try:
        with pytest.raises(AnswerTooLongError):
            talk.ask(b"printf '<mark>'; cat /dev/zero\n", ends=(b"end", b"end"), timeout_seconds=LONG, begin=b"<mark>")
        assert answer.MOST_NOISE_BYTES == 1024**2
    finally:
        talk.close()


def test_each_answer_of_an_open_shell_is_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue, "MOST_ANSWER_BYTES", 1024**2)
    talk = Dialogue(Runner(), ["sh"])
    words = b"printf '<mark>'; head -c 700000 /dev/zero; printf end; printf end >&2\n"
    try:
        for _ in range(3):
            found = talk.ask(words, ends=(b"end", b"end"), timeout_seconds=LONG, begin=b"<mark>")
            assert len(found.stdout) == 700009
    finally:
        talk.close()


def test_the_error_can_name_the_target() -> None:
    error = AnswerTooLongError("`ssh` printed more than 1 MiB.").name_target("desktop", "ssh desktop")
    assert (error.kind, error.message) == (
        "answer_too_long",
        "Target desktop does not stop printing: `ssh` printed more than 1 MiB.",
    )
    assert "`ssh desktop true | head -c 1000`" in error.hint
