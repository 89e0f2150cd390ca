"""Overrides, handed to hydra-core's own parser."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hypothesis import given
from hypothesis import strategies as st

from hsm.sweeps.tasks.hydra import check_hydra_name, check_hydra_value, format_hydra_value

NASTY = [
    "",
    " ",
    "  two  ",
    "a b",
    "it's",
    "'",
    "''",
    "\\",
    "\\\\",
    "\\'",
    "\\\\'",
    "ends with \\",
    'say "hi"',
    "a,b",
    "a=b",
    "[1,2]",
    "{a:1}",
    "(x)",
    "choice(1,2)",
    "null",
    "true",
    "1e-3",
    "inf",
    "nan",
    "$(id)",
    "`id`",
    "%j",
    "~",
    "a\nb",
    "\n",
    "\t",
    "#",
    "*",
    "?",
    "ü€😀",
    "\x01\x7f",
    "\u2028",
    "a:b",
    "/path/to x",
    "C:\\Users\\me",
]


PARSER = OverridesParser.create()


def parse(text: str) -> Override:
    (override,) = PARSER.parse_overrides([text])
    return override


def parse_value(value: object) -> Any:
    override = parse(f"key={format_hydra_value(value)}")
    assert not override.is_sweep_override()
    return override.value()


def is_same(one: object, other: object) -> bool:
    """Equal, also in type and also where not a number."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return math.isnan(other) if math.isnan(one) else one == other
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("text", NASTY)
def test_a_nasty_text_comes_back(text: str) -> None:
    assert parse_value(text) == text
    assert parse_value([text, {"k": text}]) == [text, {"k": text}]


KEYS = st.text(max_size=8).filter(lambda key: not check_hydra_value({key: 1}))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text().filter(lambda text: "\0" not in text)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@given(VALUES)
def test_every_value_comes_back(value: object) -> None:
    assert check_hydra_value(value) == ""
    assert is_same(parse_value(value), value)


@given(st.text(alphabet="'\\a \"${}", max_size=12))
def test_every_mix_of_quotes_and_backslashes_comes_back(text: str) -> None:
    assert parse_value(text) == text


@pytest.mark.parametrize(
    ("name", "key", "kind"),
    [
        ("lr", "lr", ""),
        ("model.lr", "model.lr", ""),
        ("model.layers.0.width", "model.layers.0.width", ""),
        ("+new.key", "new.key", "+"),
        ("++new.key", "new.key", "++"),
        ("db/engine", "db/engine", ""),
        ("db@store", "db", ""),
        ("db/engine@a.b", "db/engine", ""),
        ("_under-score", "_under-score", ""),
        ("$special", "$special", ""),
    ],
)
def test_a_name_is_the_key_of_an_override(name: str, key: str, kind: str) -> None:
    assert check_hydra_name(name) == ""
    override = parse(f"{name}=1")
    assert override.key_or_group == key
    assert override.value() == 1
    assert (override.input_line or "").startswith(kind)


@pytest.mark.parametrize(
    "name", ["", "a b", "~lr", "a=b", "a,b", "a..b", ".a", "a.", "1a", "+++a", "a@b@c", "é", "a/", "-a"]
)
def test_a_name_that_hydra_would_not_read_is_refused(name: str) -> None:
    assert "Hydra does not read" in check_hydra_name(name)


@given(st.text(alphabet="ab1.+@/$_-~= ", max_size=8))
def test_a_name_that_is_not_refused_is_read(name: str) -> None:
    if not check_hydra_name(name):
        assert parse(f"{name}=1").value() == 1


@pytest.mark.parametrize("key", ["", "a b", "null", "True", "inf", "1", "it's", "a:b", "a,b"])
def test_a_key_that_cannot_be_quoted_is_refused(key: str) -> None:
    assert repr(key) in check_hydra_value({"outer": [{key: 1}]})
