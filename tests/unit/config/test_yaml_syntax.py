"""Slips in YAML: each is told with its line, a caret below the place, and what to type."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.config.load import parse_document
from hsm.config.yaml.document import compose
from hsm.errors import ConfigError


def catch(text: str, call: Callable[[str, str], object] = compose) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        call(text, "f.yaml")
    return caught.value


QUOTE = {
    "a list": ("a:\n  exclude: [*.ckpt]\n", 2, "*.ckpt", '"*.ckpt"'),
    "no list": ("a:\n  exclude: *.ckpt\n", 2, "*.ckpt", '"*.ckpt"'),
    "a list of lines": ("a:\n  - x\n  - *.ckpt\n", 3, "*.ckpt", '"*.ckpt"'),
    "a star alone": ("a: [*]\n", 1, "*]", '"*"'),
    "two stars": ("a: [**/*.pt]\n", 1, "**/*.pt", '"**/*.pt"'),
    "a star and letters": ("a: [x, *ckpt]\n", 1, "*ckpt", '"*ckpt"'),
    "at": ("a: [@eaDir]\n", 1, "@eaDir", '"@eaDir"'),
    "per cent": ("a: [%tmp]\n", 1, "%tmp", '"%tmp"'),
    "a back quote": ("a: `x`\n", 1, "`x`", '"`x`"'),
    "and": ("a: [&*b]\n", 1, "&*b", '"&*b"'),
    "not": ("a: [x, !data/**]\nb: 1\n", 1, "!data/**", '"!data/**"'),
    "greater": ("a: >x\n", 1, ">x", '">x"'),
    "a backslash": ("a: [*\\#x]\n", 1, "*\\#x", "'*\\#x'"),
    "a range": ("a: [[0-9]*.pt]\n", 1, "*.pt", "quote the whole text"),
    "braces": ("a: [{x,y}*.pt]\n", 1, "*.pt", "quote the whole text"),
}

MISTAKES = {
    "no space after a colon": ("a:\n  host: x\n  user:me\n  port: 22\n", 3, "me", 'a space is missing after "user:"'),
    "none in the first line": ("a:\n  user:me\n  port: 22\n", 2, "me", 'a space is missing after "user:"'),
    "none in the last line": ("a:\n  host: x\n  user:me\n", 3, "me", 'a space is missing after "user:"'),
    "lines of Windows": ("a:\r\n  user:me\r\n  port: 22\r\n", 2, "me", 'a space is missing after "user:"'),
    "no colon": ("a:\n  host x\n  port: 22\n", 2, "", "a colon is missing"),
    "no colon at a section": ("sync_targets\n  desktop:\n    host: x\n", 1, "", "a colon is missing"),
    "too deep": ("a:\n  host: x\n\n  # why\n    user: me\n", 5, "user", "indented by 4"),
    "too deep below": ("a:\n  host: x\n    user: me\n", 3, "user", "indented more than line 2"),
    "not deep enough": ("a:\n    host: x\n   user: me\n", 3, "user", "indented by 3"),
    "a list": ("a:\n  - x\n - y\n", 3, "- y", "indented by 1"),
    "a tab": ("a:\n\thost: x\n", 2, " host", "a tab"),
    "two colons": ("a: echo x: y\n", 1, ": y", "a second colon"),
    "an open bracket": ("a: [x, y\nb: 1\n", 1, "[x", "the bracket that begins here is not closed"),
    "an open quote": ("b: 1\na: 'x\nc: 1\n", 2, "'x", "the quote that begins here is not closed"),
    "a quote that ends early": ("a: 'it's'\n", 1, "s'", "something follows"),
    "a path of Windows": ('a: "C:\\path"\n', 1, "path", "between double quotes"),
}


def assert_caret(message: str, line: int, pointed: str, text: str) -> None:
    """The message names the line, and shows it with a caret below the first letter of what is meant."""
    _, shown, caret = message.split("\n")
    assert message.startswith(f"f.yaml: line {line}, column {len(caret) - 6}: ")
    assert shown[6:].rstrip() == text.splitlines()[line - 1].replace("\t", " ").rstrip()
    assert shown[len(caret) - 1 :].startswith(pointed)


@pytest.mark.parametrize(("text", "line", "pointed", "quoted"), QUOTE.values(), ids=QUOTE.keys())
def test_a_text_that_needs_quotes_is_told_as_that(text: str, line: int, pointed: str, quoted: str) -> None:
    error = catch(text)
    assert_caret(error.message, line, pointed, text)
    assert "quote" in error.hint
    assert quoted in error.hint


@pytest.mark.parametrize(("text", "line", "pointed", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_slip_is_shown_with_a_caret(text: str, line: int, pointed: str, words: str) -> None:
    error = catch(text)
    assert_caret(error.message, line, pointed, text)
    assert words in error.message
    assert error.hint


def test_of_a_long_line_the_part_around_the_mistake_is_shown() -> None:
    _, shown, caret = catch(f'a: "{"x" * 300}" y\n').message.split("\n")
    assert len(shown) < 120
    assert shown[len(caret) - 1] == "y"


PATHS = "    paths: {sweeps: /a/s, wandb: /a/w}\n"
TARGET = f"sync_targets:\n  desktop:\n    host: x\n{PATHS}"

SECTIONS = {
    "paths beside the target": (
        "sync_targets:\n  desktop:\n    host: x\n  paths:\n    sweeps: /a\n    wandb: /b\n",
        "line 4  sync_targets.paths: seems to belong to desktop: indent it by 2 more",
        "  paths:",
    ),
    "all of it beside the target": (
        "sync_targets:\n  desktop:\n  paths: {sweeps: /a, wandb: /b}\n",
        "indent it by 2 more",
        "  paths: {sweeps: /a, wandb: /b}",
    ),
    "no space in braces": (
        "sync_targets:\n  d: {host:x, paths: {sweeps: /a, wandb: /b}}\n",
        'a space is missing after "host:"',
        "host:x",
    ),
    "no space in a section": (
        "sync_targets:\n  d:\n    paths:\n      sweeps:~/s\n      wandb:~/w\n",
        'a space is missing after "sweeps:"',
        "      sweeps:~/s",
    ),
}


@pytest.mark.parametrize(("text", "words", "shown"), SECTIONS.values(), ids=SECTIONS.keys())
def test_a_slip_that_is_good_yaml_is_shown_too(text: str, words: str, shown: str) -> None:
    error = catch(text, parse_document)
    assert "has 1 problem:" in error.message
    assert words in error.message
    _, line, caret = error.message.rsplit("\n", 2)
    assert shown in line
    assert caret.strip() == "^"


def test_a_target_may_be_named_like_a_setting() -> None:
    config, _ = parse_document(f"{TARGET}  paths:\n{PATHS}", "f.yaml")
    assert list(config.sync_targets) == ["desktop", "paths"]


SECRET = "hunter2"


@pytest.mark.parametrize(
    "ssh",
    [
        f"{{options: {{SetEnv: *{SECRET}}}}}",
        f"{{options: {{setenv: TOKEN={SECRET}\n",
        f'{{options: {{SetEnv: "TOKEN={SECRET}\\n"}}}}',
        f"{{options: {{SetEnv:TOKEN={SECRET}}}}}",
        f"{{options: {{SetEnv: [{SECRET}]}}}}",
        f"{{options: SetEnv=TOKEN={SECRET}}}",
        f"{{options: [SetEnv TOKEN={SECRET}]}}",
        f"{{options: {{SetEnv=TOKEN={SECRET}: x}}}}",
        f"\n      options:\n        SetEnv:\n          TOKEN={SECRET}: x: y",
        f"\n      options:\n        SetEnv: >-\n          A=1\n          TOKEN={SECRET}\n       x: y",
        f"\n      options: &a {{x: {SECRET}: z}}\n      # SetEnv",
    ],
)
def test_a_value_of_setenv_is_never_repeated(ssh: str) -> None:
    error = catch(f"{TARGET}    ssh: {ssh}\n", parse_document)
    assert SECRET not in error.message + error.hint + error.detail
    assert "line " in error.message


def test_a_line_that_seems_to_hold_a_token_is_not_repeated() -> None:
    assert SECRET not in catch(f"hosts:\n  a:\n    api_key: '{SECRET}' x\n").message


@given(st.text("ab:-[]{}*&!|>'\"#%@`\\\t\n ,?", max_size=40))
def test_any_text_is_read_or_told(text: str) -> None:
    error = find_error(text)
    if error is not None:
        assert error.message.startswith("f.yaml: ")
        assert error.hint
        assert all(line.isprintable() for line in error.message.split("\n"))


def find_error(text: str) -> ConfigError | None:
    try:
        compose(text, "f.yaml")
    except ConfigError as error:
        return error
    return None
