"""Mistakes in a YAML file, in our own words: pydantic's speak of types, not of settings. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hsm.config.sections import Section, get_member, get_section, list_keys
from hsm.config.yaml.document import Finding, Location, locate, make_dotted, show_value
from hsm.errors import ConfigError

MOST_FINDINGS = 40
"""More of a file are counted, not shown."""


@dataclass(frozen=True, slots=True)
class FileForm:
    """Form of a kind of file: its models, and how its mistakes are told.

    Attributes:
        model: Of the whole file.
        kind: Of the error.
        hint: What to do about a mistake.
        spellings: The other spelling that a key may have, by the model's own.
        is_secret: Tells whether the value at a place may be a secret, which no message repeats.
    """

    model: type[Section]
    kind: str
    hint: str
    spellings: Mapping[str, str] = field(default_factory=dict)
    is_secret: Callable[[Location], bool] = lambda _location: False

    def make_error(self, findings: Sequence[Finding], shown: str) -> ConfigError:
        """Make one error of all that is wrong, ordered by line.

        Args:
            findings: At least one.
            shown: The file's name.
        """
        ordered = sorted(set(findings))
        width = len(str(ordered[-1].line))
        lines = [f"  line {line:<{width}}  {key}: {text}" for line, key, text in ordered[:MOST_FINDINGS]]
        if len(ordered) > MOST_FINDINGS:
            lines.append(f"  and {len(ordered) - MOST_FINDINGS} more")
        noun = "problem" if len(ordered) == 1 else "problems"
        message = "\n".join([f"{shown} has {len(ordered)} {noun}:", *lines])
        return ConfigError(message, hint=self.hint, kind=self.kind)

    def make_finding(self, error: ErrorDetails, root: yaml.Node) -> Finding:
        """Say in which line of the document a validation error lies, and what is wrong there."""
        location = get_location(error)
        line, node = self.locate(root, location)
        return Finding(line, make_dotted(location), self.describe_error(error, location, node))

    def locate(self, root: yaml.Node, location: Location) -> tuple[int, yaml.Node | None]:
        """Find a key as `hsm.config.yaml.document.locate` does, also where the file has it in its other spelling."""
        line, node = locate(root, location)
        for index, part in enumerate(location):
            if node is None and part in self.spellings:
                respelled = (*location[:index], self.spellings[str(part)], *location[index + 1 :])
                line, node = locate(root, respelled)
        return line, node

    def describe_error(self, error: ErrorDetails, location: Location, node: yaml.Node | None) -> str:
        """Say what is wrong with a key or its value.

        Args:
            error: Of the validation.
            location: Where it lies in the file, or would.
            node: The value; None where there is none.
        """
        if error["loc"][-1:] == ("[key]",):
            return f"{error['ctx']['error']}; allowed: {self._list_allowed(location[:-1])}"
        if error["type"] == "extra_forbidden":
            return self._describe_unknown(location, node)
        shown = None if self.is_secret(location) else node
        text = _describe_value(error, shown, self._list_allowed(location))
        model = self._get_model(location)
        return text + (_describe_missing_space(model, str(shown.value), shown) if _is_text(shown) and model else "")

    def _describe_unknown(self, location: Location, node: yaml.Node | None) -> str:
        name = str(location[-1])
        model = self._get_model(location[:-1])
        if model is None:
            return "unknown"
        if missing := _describe_missing_space(model, name, node):
            return f"unknown{missing}"
        for section, known in model.model_fields.items():
            inner = get_section(known)
            if inner and name in inner.model_fields:
                return f"unknown here, it belongs into {section}"
        near = difflib.get_close_matches(name.lower(), model.model_fields, 1)
        return f"unknown, did you mean {near[0]}?" if near else f"unknown, allowed: {list_keys(model)}"

    def _list_allowed(self, location: Location) -> str:
        """Say in words what is allowed at `location`: of the nearest setting that has words of its own."""
        model = self._get_model(location)
        if model:
            return model.words or list_keys(model)
        known = self._get_field(location)
        extra = known.json_schema_extra if known else None
        return str(extra["allowed"]) if isinstance(extra, dict) else self._list_allowed(location[:-1])

    def _get_model(self, location: Location) -> type[Section] | None:
        """Return the model whose keys stand at `location`."""
        if not location:
            return self.model
        known = self._get_field(location)
        if known is not None:
            return get_section(known)
        holder = self._get_field(location[:-1])
        return get_member(holder) if holder is not None else None

    def _get_field(self, location: Location) -> FieldInfo | None:
        parent = self._get_model(location[:-1]) if location else None
        return parent.model_fields.get(str(location[-1])) if parent else None


def get_location(error: ErrorDetails) -> Location:
    """Return where a validation error lies, whether the key is wrong or its value."""
    location: Location = error["loc"]
    return location[:-1] if location[-1:] == ("[key]",) else location


def _describe_value(error: ErrorDetails, node: yaml.Node | None, allowed: str) -> str:
    kind = error["type"]
    if kind == "missing":
        if isinstance(node, yaml.ScalarNode) and node.value:
            return f"found {show_value(node)}, allowed: {allowed}"
        return f"is missing, allowed: {allowed}"
    if kind == "value_error":
        found = "" if node is None or _has_members(node) else f"{show_value(node)} "
        return f"{found}{error['ctx']['error']}; allowed: {allowed}"
    quoted = ""
    if kind == "string_type" and isinstance(node, yaml.ScalarNode) and node.value:
        quoted = f'; if it is meant as text, write "{node.value}"'
    return f"found {show_value(node) if node else 'something else'}, allowed: {allowed}{quoted}"


def _describe_missing_space(model: type[Section], text: str, node: yaml.Node | None) -> str:
    """Say that a text would be a key of the section if it had a space after its colon; empty where it would not."""
    from hsm.config.yaml.syntax import find_missing_space, show_place  # noqa: PLC0415 - for mistakes alone

    key = find_missing_space(text)
    if key not in model.model_fields:
        return ""
    return f'; a space is missing after "{key}:"{show_place(node.start_mark) if node else ""}'


def _is_text(node: yaml.Node | None) -> TypeGuard[yaml.ScalarNode]:
    return isinstance(node, yaml.ScalarNode)


def _has_members(node: yaml.Node) -> bool:
    return not isinstance(node, yaml.ScalarNode) and bool(node.value)
