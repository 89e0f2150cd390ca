"""Reader of plain YAML: what wandb's versions write, and what nobody should have written."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsm.wandb_log import plain_yaml
from hsm.wandb_log.plain_yaml import parse_plain_yaml


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try the parser of LibYAML, and the one that is there without it."""
    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, request.param, yaml.SafeLoader), raising=False)
    monkeypatch.setattr(plain_yaml, "_MOST_NODES", 1000)


VALUES = {
    "whole": ("1152921504606846977", 1152921504606846977),
    "negative": ("-3", -3),
    "fraction": ("0.25", 0.25),
    "exponent without a point, of wandb-core": ("1e-05", 1e-05),
    "exponent with a point, of PyYAML": ("1.0e-05", 1e-05),
    "large": ("1.5e+300", 1.5e300),
    "endless": (".inf", math.inf),
    "negative and endless": ("-.inf", -math.inf),
    "true": ("true", True),
    "false": ("false", False),
    "null": ("null", None),
    "nothing": ("", None),
    "text": ("adam", "adam"),
    "number in quotes": ('"1e-5"', "1e-5"),
    "number that is said to be a text": ("!!str 1", "1"),
    "leading zero": ("012", "012"),
    "time of day": ("12:30", "12:30"),
    "version": ("3.11.7", "3.11.7"),
    "day": ("2025-01-01", "2025-01-01"),
    "yes in quotes": ("'yes'", "yes"),
    "block of text": ("|-\n    two\n    lines", "two\nlines"),
    "list": ("[1, [2, x]]", [1, [2, "x"]]),
    "empty list": ("[]", []),
    "mapping": ("{a: {b: 1}}", {"a": {"b": 1}}),
    "tuple of Python": ("!!python/tuple [1, 2]", [1, 2]),
    "object of Python": ("!!python/object/apply:os.system [id]", ["id"]),
    "key that is a number": ("{1: x, true: y}", {"1": "x", "true": "y"}),
    "key that is a list": ("{[1, 2]: x, a: y}", {"a": "y"}),
    "alias": ("[&one [1], *one]", [[1], [1]]),
    "alias of a text as a key": ("{a: &k b, *k : 1}", {"a": "b", "b": 1}),
    "double key": ("{a: 1, a: 2}", {"a": 2}),
}


@pytest.mark.parametrize(("written", "value"), VALUES.values(), ids=VALUES)
def test_values(written: str, value: object) -> None:
    found = parse_plain_yaml(f"key:\n  value: {written}\nnext: 1\n")
    assert found == {"key": {"value": value}, "next": 1}
    assert isinstance(found, dict)
    assert type(found["key"]["value"]) is type(value)


def test_nan() -> None:
    found: Any = parse_plain_yaml("a: .nan")
    assert math.isnan(found["a"])


def test_the_first_document_alone_counts() -> None:
    assert parse_plain_yaml("--- 1\n--- 2\n") == 1
    assert parse_plain_yaml("") is None


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9)
)
REFUSED = {
    "no YAML": "a: [1\nb: 2",
    "tabs": "a:\n\t- 1",
    "control character": "a: \x01",
    "lone surrogate": "a: \udcff",
    "unknown alias": "a: *b",
    "alias of what it lies in": "a: &a [*a]",
    "aliases of aliases": LAUGHS,
    "deep lists": "[" * 100_000,
    "deep mappings": "{a: " * 100_000,
    "deep blocks": "".join(" " * n + "a:\n" for n in range(200)),
    "too many values": f"[{'1,' * 1_000}]",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_plain_yaml(text)


@given(st.text(alphabet="ab:[]{},&*!|>-'\"\n \t#%@1.\x00é\ud800", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_plain_yaml(text)
    except ValueError:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="ascii")),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc1", min_size=1), inner, max_size=4),
        max_leaves=8,
    )
)
def test_what_pyyaml_writes_is_read_as_it_was(value: object) -> None:
    # With all texts in quotes: PyYAML leaves `1e5` without, which YAML 1.2 takes for a number.
    class Quoting(yaml.SafeDumper):
        pass

    Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
    assert parse_plain_yaml(yaml.dump({"value": value}, Dumper=Quoting)) == {"value": value}
