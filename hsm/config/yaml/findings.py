"""What is wrong in a configuration, in our own words: pydantic's speak of types, not of settings."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hsm.config.layers import get_member, get_section
from hsm.config.schema import SyncConfig
from hsm.config.yaml.document import Finding, Location, locate, make_dotted, show_value
from hsm.errors import ConfigError

HINT = "correct the file, then look at it with `hsm sync list`"
_MAX_SHOWN = 40


def make_error(findings: Sequence[Finding], shown: str) -> ConfigError:
    """Make one error of all that is wrong, ordered by line.

    Args:
        findings: At least one.
        shown: The file's name.
    """
    ordered = sorted(set(findings))
    width = len(str(ordered[-1].line))
    lines = [f"  line {line:<{width}}  {key}: {text}" for line, key, text in ordered[:_MAX_SHOWN]]
    if len(ordered) > _MAX_SHOWN:
        lines.append(f"  and {len(ordered) - _MAX_SHOWN} more")
    noun = "problem" if len(ordered) == 1 else "problems"
    message = "\n".join([f"{shown} has {len(ordered)} {noun}:", *lines])
    return ConfigError(message, hint=HINT, kind="bad_config")


def make_finding(error: ErrorDetails, root: yaml.MappingNode) -> Finding:
    """Say in which line of the document a validation error lies, and what is wrong there."""
    location = get_location(error)
    line, node = locate(root, location)
    return Finding(line, make_dotted(location), describe_error(error, location, node))


def get_location(error: ErrorDetails) -> Location:
    """Where a validation error lies, whether the key is wrong or its value."""
    location: Location = error["loc"]
    return location[:-1] if location[-1:] == ("[key]",) else location


def describe_error(error: ErrorDetails, location: Location, node: yaml.Node | None) -> str:
    """Say what is wrong in our own words; pydantic's speak of types, not of settings.

    Args:
        error: Of the validation.
        location: Where it lies in the file, or would.
        node: The value; None where there is none.
    """
    if error["loc"][-1:] == ("[key]",):
        return _word_key(error, location)
    return _word_value(error, location, node)


def _word_key(error: ErrorDetails, location: Location) -> str:
    return f"{error['ctx']['error']}; allowed: {_list_allowed(location[:-1])}"


def _word_value(error: ErrorDetails, location: Location, node: yaml.Node | None) -> str:
    kind = error["type"]
    allowed = _list_allowed(location)
    if kind == "extra_forbidden":
        return _word_unknown(location)
    if kind == "missing":
        if isinstance(node, yaml.ScalarNode) and node.value:
            return f"found {show_value(node)}, allowed: {allowed}"
        return f"is missing, allowed: {allowed}"
    found = "" if node is None or _is_filled(node) else f"{show_value(node)} "
    if kind == "value_error":
        return f"{found}{error['ctx']['error']}; allowed: {allowed}"
    quoted = ""
    if kind == "string_type" and isinstance(node, yaml.ScalarNode) and node.value:
        quoted = f'; if it is meant as text, write "{node.value}"'
    return f"found {show_value(node) if node else 'something else'}, allowed: {allowed}{quoted}"


def _word_unknown(location: Location) -> str:
    name = str(location[-1])
    model = _get_section(location[:-1])
    if model is None:
        return "unknown"
    for section, field in model.model_fields.items():
        inner = get_section(field)
        if inner and name in inner.model_fields:
            return f"unknown here, it belongs into {section}"
    near = difflib.get_close_matches(name.lower(), model.model_fields, 1)
    return f"unknown, did you mean {near[0]}?" if near else f"unknown, allowed: {list_keys(model)}"


def _is_filled(node: yaml.Node) -> bool:
    return not isinstance(node, yaml.ScalarNode) and bool(node.value)


def _get_section(location: Location) -> type[BaseModel] | None:
    """Return the model whose keys stand at `location`."""
    if not location:
        return SyncConfig
    field = _get_field(location)
    if field is not None:
        return get_section(field)
    holder = _get_field(location[:-1])
    return get_member(holder) if holder is not None else None


def _get_field(location: Location) -> FieldInfo | None:
    parent = _get_section(location[:-1]) if location else None
    return parent.model_fields.get(str(location[-1])) if parent else None


def list_keys(model: type[BaseModel]) -> str:
    """Name the keys of a section."""
    return f"the keys {', '.join(model.model_fields)}"


def _list_allowed(location: Location) -> str:
    """Say in words what is allowed at `location`: of the nearest setting that has words of its own."""
    model = _get_section(location)
    if model:
        return list_keys(model)
    field = _get_field(location)
    extra = field.json_schema_extra if field else None
    return str(extra["allowed"]) if isinstance(extra, dict) else _list_allowed(location[:-1])
