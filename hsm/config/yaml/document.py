"""YAML documents as nodes, the values they stand for, and the lines they stand in. Pure.

The values are made from the nodes here, not by PyYAML's constructor: the nodes know their lines, duplicate keys
stay visible, aliases cannot be blown up, and numbers that only YAML 1.1 understands (`022` is 18, `12:30` is 750)
stay text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import yaml

from hsm.errors import ConfigError

_MAX_DEPTH = 20  # no setting lies deeper than six; Python's own recursion ends with an error of its own
_TAG = "tag:yaml.org,2002:"
_BOOLEANS = yaml.SafeLoader.bool_values
# At most 18 digits, which fit 64 bits: Python refuses to convert texts of more than 4,300 digits.
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})")

Location = tuple[str | int, ...]


class Finding(NamedTuple):
    """One mistake in a file: the line, counted from 1, the dotted key, and what is wrong."""

    line: int
    key: str
    text: str


def compose(text: str, shown: str, *, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> yaml.Node | None:
    """Read a document as nodes; None when it is empty.

    Args:
        text: Its content.
        shown: The file's name in messages.
        loader: What gives plain scalars their tags.

    Raises:
        ConfigError: It is no YAML (kind `bad_yaml`); the message has the line.
    """
    try:
        parser = loader(text)
        try:
            return parser.get_single_node()
        finally:
            parser.dispose()
    except RecursionError:
        place, what = "", "nested too deeply"
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}: "
        what = f"the character {text[error.position]!a} is not allowed in YAML"
    except yaml.MarkedYAMLError as error:
        from hsm.config.yaml.syntax import make_syntax_error  # noqa: PLC0415 - for mistakes alone

        raise make_syntax_error(text, shown, error) from None
    raise ConfigError(f"{shown}: {place}{what}", hint="correct the file", kind="bad_yaml")


def is_null(node: yaml.Node) -> bool:
    """Tell whether a node stands for nothing."""
    return bool(node.tag == f"{_TAG}null")


class Builder:
    """Builder of Python values from YAML nodes, each node once however often it is aliased.

    Attributes:
        findings: Mistakes in the nodes so far.
    """

    def __init__(self, read_scalar: Callable[[yaml.ScalarNode], object] | None = None) -> None:
        """Begin.

        Args:
            read_scalar: Makes the values of scalars; default: `make_scalar`.
        """
        self.findings: list[Finding] = []
        self._read_scalar = read_scalar or make_scalar
        # By the node's identity: aliases of aliases would else be made over and over ("billion laughs").
        self._made: dict[int, object] = {}
        self._open: set[int] = set()

    def make_value(self, node: yaml.Node, key: Location) -> object:
        """Return the value of the node at `key`; what cannot be one is a finding, and None here."""
        if id(node) in self._open:
            self._add(node, key, "refers to itself")
            return None
        if len(self._open) > _MAX_DEPTH:
            self._add(node, key, "is nested too deeply")
            return None
        if id(node) not in self._made:
            self._open.add(id(node))
            self._made[id(node)] = self._make(node, key)
            self._open.discard(id(node))
        return self._made[id(node)]

    def _make(self, node: yaml.Node, key: Location) -> object:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._make_mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.make_value(item, (*key, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALAR_TAGS:
            return self._read_scalar(node)
        self._add(node, key, f"the YAML tag {_show(node.tag)} is not allowed here; quote what is meant as text")
        return str(node.value) if isinstance(node, yaml.ScalarNode) else None

    def _make_mapping(self, node: yaml.MappingNode, key: Location) -> dict[str, object]:
        lines: dict[str, int] = {}
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                self._merge(value_node, key, merged)
                continue
            name = self._make_name(key_node, key)
            if name is None:
                continue
            # YAML forbids it, PyYAML lets the last one win in silence.
            if name in lines:
                self._add(key_node, (*key, name), f"is there twice, first in line {lines[name]}")
            lines[name] = key_node.start_mark.line + 1
            own[name] = self.make_value(value_node, (*key, name))
        return {**merged, **own}

    def _make_name(self, node: yaml.Node, key: Location) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._add(node, key, f"found {show_value(node)} as a key, allowed: text")
            return None
        if not isinstance(self._read_scalar(node), str):
            written = str(node.value)
            self._add(node, (*key, written), f'found {show_value(node)}, allowed: text; write "{written}"')
        return str(node.value)

    def _merge(self, node: yaml.Node, key: Location, merged: dict[str, object]) -> None:
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            value = self.make_value(part, key)
            if isinstance(value, dict):
                merged.update({name: item for name, item in value.items() if name not in merged})
            else:
                self._add(part, (*key, "<<"), f"found {show_value(part)}, allowed: an alias of a section")

    def _add(self, node: yaml.Node, key: Location, text: str) -> None:
        self.findings.append(Finding(node.start_mark.line + 1, make_dotted(key), text))


_SCALAR_TAGS = frozenset(_TAG + name for name in ("str", "null", "bool", "int", "float", "timestamp", "value", "merge"))


def make_scalar(node: yaml.ScalarNode) -> object:
    """Return the value that a scalar stands for; its text where that is no boolean and no plain number."""
    text = str(node.value)
    if node.tag == f"{_TAG}null":
        return None
    if node.tag == f"{_TAG}bool":
        return _BOOLEANS.get(text.lower(), text)
    if node.tag == f"{_TAG}int" and _DECIMAL.fullmatch(text):
        return int(text)
    if node.tag == f"{_TAG}float":
        try:
            return float(text)
        except ValueError:
            return text
    return text


def show_value(node: yaml.Node) -> str:
    """Show a value as the file has it, and how YAML reads it where that may surprise."""
    if isinstance(node, yaml.MappingNode):
        return "a section" if node.value else "an empty section"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    value = make_scalar(node) if isinstance(node, yaml.ScalarNode) else ""
    if isinstance(value, str):
        return repr(_show(value)) if value.isprintable() else _show(value)
    if isinstance(value, bool):
        written = "true" if value else "false"
        return written if node.value == written else f"{node.value} (which YAML reads as {written})"
    if value is None:
        return f"{node.value} (which YAML reads as nothing)" if node.value else "nothing"
    return f"the number {_show(str(node.value))}"


# A value of ssh's SetEnv, which may be a secret, where the line was misread.
_SECRET = re.compile(r"(setenv\W).*", re.IGNORECASE | re.DOTALL)


def _show(text: str) -> str:
    text = _SECRET.sub(r"\1(not shown)", text)
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return short if short.isprintable() else ascii(short)


def make_dotted(location: Location) -> str:
    """Write a location as `sync_targets.desktop.options.exclude[0]`."""
    dotted = ""
    for part in location:
        dotted += f"[{part}]" if isinstance(part, int) else f".{_show(part)}"
    return dotted.removeprefix(".") or "the file"


def locate(root: yaml.Node, location: Location) -> tuple[int, yaml.Node | None]:
    """Return the line of the key at `location`, or of the section that lacks it, and its value's node."""
    node, line = root, root.start_mark.line + 1
    for part in location:
        if isinstance(part, int):
            if not isinstance(node, yaml.SequenceNode):
                return line, node
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        pair = next((pair for pair in _iter_pairs(node) if pair[0].value == part), None)
        if pair is None:
            return line, None
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line, node


def _iter_pairs(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Yield the pairs of a section, its own from the last to the first and then the merged ones."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        if isinstance(node, yaml.MappingNode):
            # Of a key that stands twice the last one counted, so its line is the one to name.
            yield from (pair for pair in reversed(node.value) if pair[0].tag != f"{_TAG}merge")
            waiting += (value for key, value in node.value if key.tag == f"{_TAG}merge")
