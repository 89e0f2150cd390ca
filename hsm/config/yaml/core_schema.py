"""Scalars by the core schema of YAML 1.2: `1e-3` is a number; `no`, `on`, `12:30` and `2024-01-01` are text. Pure.

One reader for all files in which a value is handed on as it was written. PyYAML follows YAML 1.1, where each of these
is something else; here it parses alone, and section 10.3.2 of the specification says what a scalar is
(https://yaml.org/spec/1.2.2/#1032-tag-resolution). `<<` is kept, which 1.2 dropped and people write.
"""

from __future__ import annotations

import re

import yaml

from hsm.config.yaml.document import Builder, compose

_TAG = "tag:yaml.org,2002:"
_RULES = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)
# Python refuses to convert texts of more than 4,300 digits; nobody means a number by that.
_MOST_DIGITS = 1000

# libyaml where PyYAML was built with it, ten times as fast; its messages differ, so mistakes are read again.
_BASE: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _make_loader(base: type) -> type:
    loader = type("CoreLoader", (base,), {"yaml_implicit_resolvers": {}})
    for name, pattern, first in _RULES:
        firsts = ["" if letter == "\0" else letter for letter in first]
        # The order counts: what is an int is a float by its pattern too.
        loader.add_implicit_resolver(f"{_TAG}{name}", re.compile(rf"(?:{pattern})\Z"), firsts)  # type: ignore[attr-defined]
    return loader


_FAST, _PLAIN = _make_loader(_BASE), _make_loader(yaml.SafeLoader)


def compose_core(text: str, shown: str) -> yaml.Node | None:
    """Read a document as nodes with the tags of YAML 1.2; None when it is empty.

    Raises:
        ConfigError: As `hsm.config.yaml.document.compose`.
    """
    if _FAST.__mro__[1] is not yaml.SafeLoader:
        try:
            return _compose(text, _FAST)
        except (yaml.YAMLError, RecursionError):
            pass  # the other parser says what is wrong, in the words that we have for it
    return compose(text, shown, loader=_PLAIN)


def _compose(text: str, kind: type) -> yaml.Node | None:
    loader = kind(text)
    try:
        return loader.get_single_node()  # type: ignore[no-any-return]
    finally:
        loader.dispose()


def make_core_builder() -> Builder:
    """Make the builder of the values of such a document."""
    return Builder(read_core_scalar)


def read_core_scalar(node: yaml.ScalarNode) -> object:
    """Return the value that a scalar stands for: None, a bool, an int, a float or its text."""
    text = str(node.value)
    kind = str(node.tag).removeprefix(_TAG)
    if kind == "str":
        return text if text.isascii() else _join_halves(text)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int" and len(text) <= _MOST_DIGITS:
        return _read_int(text)
    if kind == "float":
        return _read_float(text)
    return text


def _join_halves(text: str) -> str:
    """Make one character of two escapes that stand for it.

    JSON writes those beyond 16 bits so, and JSON is YAML. What is half a character alone stays one.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _read_int(text: str) -> object:
    for prefix, base in (("0o", 8), ("0x", 16)):
        if text.startswith(prefix):
            return int(text[2:], base)
    try:
        return int(text)
    except ValueError:  # `!!int` before something else
        return text


def _read_float(text: str) -> object:
    try:
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text
