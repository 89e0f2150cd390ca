"""Scalars of YAML 1.2, with both of PyYAML's parsers."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsm.config.yaml import core_schema
from hsm.config.yaml.core_schema import compose_core, make_core_builder
from hsm.errors import ConfigError

# As section 10.3.2 of the specification has it; what YAML 1.1 makes of it stands behind where that is something else.
SCALARS = [
    ("1e-3", 0.001),  # text
    ("1e3", 1000.0),  # text
    ("-1E+3", -1000.0),
    (".5", 0.5),
    ("5.", 5.0),
    ("-.5e3", -500.0),
    ("no", "no"),  # false
    ("on", "on"),  # true
    ("yes", "yes"),  # true
    ("Off", "Off"),  # false
    ("y", "y"),
    ("12:30", "12:30"),  # 750
    ("04:00:00", "04:00:00"),  # 14400
    ("2024-01-01", "2024-01-01"),  # a date
    ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
    ("010", 10),  # 8
    ("0o10", 8),
    ("0x1F", 31),
    ("0b11", "0b11"),  # 3
    ("1_000", "1_000"),  # 1000
    ("+5", 5),
    ("-0", 0),
    ("12345678901234567890", 12345678901234567890),
    ("true", True),
    ("False", False),
    ("TRUE", True),
    ("tRUE", "tRUE"),
    ("null", None),
    ("~", None),
    ("", None),
    ("nUll", "nUll"),
    (".inf", math.inf),
    ("-.INF", -math.inf),
    ("inf", "inf"),
    ("1.5.2", "1.5.2"),
    ("e3", "e3"),
    ("=", "="),
    ("'5'", "5"),
    ('"1e-3"', "1e-3"),
    ("!!str 5", "5"),
    ("sgd", "sgd"),
    ('"\\ud83d\\ude00"', "😀"),  # as JSON writes it
    ('"\\ud83d"', "\ud83d"),
]
PARSERS = ["fast", "plain"]


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(core_schema, "_FAST", core_schema._PLAIN)
    elif core_schema._FAST.__mro__[1] is yaml.SafeLoader:
        pytest.skip("PyYAML was built without libyaml")
    return request.param


def read(text: str) -> object:
    node = compose_core(text, "f.yaml")
    assert node is not None
    return make_core_builder().make_value(node, ())


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(("written", "value"), SCALARS)
def test_a_scalar_is_what_the_core_schema_says(written: str, value: object) -> None:
    (found,) = read(f"[{written},]" if written else "['x': ]")  # type: ignore[misc]
    found = found["x"] if isinstance(found, dict) else found
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    (found,) = read("[.nan]")  # type: ignore[misc]
    assert math.isnan(found)


@pytest.mark.usefixtures("parser")
def test_keys_are_text_too() -> None:
    assert read("on: 1\nno: 2\n<<: {a: 3}\n") == {"on": 1, "no": 2, "a": 3}


def test_both_parsers_tell_mistakes_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = []
    for _ in PARSERS:
        with pytest.raises(ConfigError) as caught:
            compose_core("a: [1\nb: 2\n", "f.yaml")
        messages.append(caught.value.message)
        monkeypatch.setattr(core_schema, "_FAST", core_schema._PLAIN)
    assert messages[0] == messages[1]
    assert "line" in messages[0]


@pytest.mark.usefixtures("parser")
def test_deep_nesting_is_a_mistake() -> None:
    builder = make_core_builder()
    node = compose_core("[" * 50 + "]" * 50, "f.yaml")
    assert node is not None
    builder.make_value(node, ())
    assert "nested too deeply" in builder.findings[0].text


@pytest.mark.usefixtures("parser")
def test_very_deep_nesting_is_no_crash() -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        compose_core("[" * 1500 + "]" * 1500, "f.yaml")


@given(st.floats(allow_nan=False))
def test_what_python_writes_of_a_float_is_read_back(value: float) -> None:
    text = repr(value).replace("inf", ".inf")
    assert read(f"[{text}]") == [value]
