"""Overrides as hydra-core's parser reads them. Pure.

After `hydra/grammar/OverrideLexer.g4` and `OverrideParser.g4` of hydra-core 1.3. The tests hand every kind of value to
that parser.
"""

from __future__ import annotations

import re

_ID = r"[A-Za-z_][A-Za-z0-9_-]*"
_PART = r"(?:[A-Za-z_$][A-Za-z0-9_$-]*|0|[1-9](?:_?[0-9])*)"
_PACKAGE = rf"(?:[A-Za-z_$][A-Za-z0-9_$-]*|{_PART}(?:\.{_PART})+)"
_NAME = re.compile(rf"\+{{0,2}}(?:{_PACKAGE}|{_ID}(?:/{_ID})+)(?:@{_PACKAGE})?", re.ASCII)
# Keys of mappings cannot be quoted, so only those count that are read as text.
_KEY = re.compile(r"(?!(?:null|true|false|inf|nan)\Z)[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII | re.IGNORECASE)
# Of backslashes only those count that come before a quote, or before the one that ends the text.
_ESCAPED = re.compile(r"(\\*)('|\Z)")


def check_hydra_name(name: str) -> str:
    """Say why a name cannot be that of an override; empty where it can."""
    if _NAME.fullmatch(name):
        return ""
    return f"has the name {name!a}, which Hydra does not read; one is like model.lr, +model.lr or db/engine@store"


def check_hydra_value(value: object) -> str:
    """Say why a value cannot be written as an override's; empty where it can."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not _KEY.fullmatch(key):
                return f"has a mapping with the key {key!a}, which Hydra cannot be given"
            if problem := check_hydra_value(item):
                return problem
    if isinstance(value, list):
        return next(filter(None, map(check_hydra_value, value)), "")
    return ""


def format_hydra_value(value: object) -> str:
    """Write a value so that Hydra's parser gives it back; `${...}` stays OmegaConf's."""
    if isinstance(value, str):
        return f"'{escape_hydra_text(value)}'"
    if isinstance(value, list):
        return f"[{','.join(map(format_hydra_value, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{format_hydra_value(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)  # inf, -inf and nan too are as the grammar has them


def escape_hydra_text(text: str) -> str:
    """Write a text as it stands between single quotes."""
    return _ESCAPED.sub(lambda found: found[1] * 2 + (f"\\{found[2]}" if found[2] else ""), text)
