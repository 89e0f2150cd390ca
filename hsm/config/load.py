"""Find and read `.hsm/sync_config.yaml`, and report all its problems at once.

YAML is composed into nodes and the values are made from these here, not by PyYAML's constructor: the nodes
know their lines, duplicate keys stay visible, aliases cannot be blown up, and numbers that only YAML 1.1
understands (`022` is 18, `12:30` is 750) stay text.
"""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hsm.config.schema import SyncConfig, TargetSettings
from hsm.errors import ConfigError, UsageError

CONFIG_PATH = Path(".hsm", "sync_config.yaml")
_MAX_BYTES = 256 * 1024
_MAX_SHOWN = 40
_MAX_DEPTH = 20
_TAG = "tag:yaml.org,2002:"
_BOOLEANS = yaml.SafeLoader.bool_values
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_HINT = "correct the file, then look at it with `hsm sync list`"

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and where it was found.

    Attributes:
        config: What the file says.
        path: The file, absolute.
        project: The folder that holds `.hsm/`, absolute.
    """

    config: SyncConfig
    path: Path
    project: Path


class Finding(NamedTuple):
    """One thing that is wrong in a file: the line, counted from 1, the dotted key, and what is wrong."""

    line: int
    key: str
    text: str


def find_config(start: Path) -> Path:
    """Look for the configuration in `start` and the folders above it.

    Returns:
        The absolute path of whatever lies there, readable or not.

    Raises:
        ConfigError: There is none (kind `no_config`).
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        path = folder / CONFIG_PATH
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass  # something is there that may not be looked at; reading it will say so
        return path
    raise ConfigError(
        f"No sync configuration found: neither {start} nor a folder above it holds {CONFIG_PATH}",
        hint="run `hsm sync init` in the project's folder",
        kind="no_config",
    )


def load_config(start: Path) -> LoadedConfig:
    """Load the configuration of the project that `start` lies in.

    Raises:
        ConfigError: There is none (kind `no_config`), it is no YAML (`bad_yaml`), or it cannot be read or
            says what it must not (`bad_config`); the message then lists every problem, by line.
    """
    path = find_config(start)
    project = path.parent.parent
    shown = str(CONFIG_PATH) if project == start.resolve() else str(path)
    config = parse_config(_read_text(path, shown), shown)
    return LoadedConfig(config=config, path=path, project=project)


def parse_config(text: str, shown: str) -> SyncConfig:
    """Make the configuration that the YAML document `text` describes.

    Args:
        text: The file's content.
        shown: The file's name in messages.

    Raises:
        ConfigError: As `load_config`.
    """
    root = _compose(text, shown)
    if root is None or root.tag == f"{_TAG}null":
        hint = "`hsm sync init --force` writes a new one"
        raise ConfigError(f"{shown} is empty", hint=hint, kind="bad_config")
    if not isinstance(root, yaml.MappingNode):
        found = _show_value(root)
        message = f"{shown}: line {root.start_mark.line + 1}: found {found}, allowed: {_list_keys(SyncConfig)}"
        raise ConfigError(message, hint=_HINT, kind="bad_config")
    builder = _Builder()
    outcome = _validate(builder.make_value(root, ()))
    if isinstance(outcome, SyncConfig) and not builder.findings:
        return outcome
    errors = [] if isinstance(outcome, SyncConfig) else outcome
    raise _make_error([*builder.findings, *(_make_finding(error, root) for error in errors)], shown)


def select_targets(config: SyncConfig, names: Sequence[str]) -> dict[str, TargetSettings]:
    """Choose the targets of a call.

    Args:
        config: The configuration.
        names: As given on the command line; none means the default.

    Returns:
        At least one target, in the order of `names`, each once.

    Raises:
        UsageError: A name is unknown (kind `unknown_target`), or there is neither a name nor a default
            (`no_target`).
    """
    known = config.sync_targets
    chosen = tuple(names) or config.default_target
    listed = ", ".join(known)
    if not chosen:
        raise UsageError(
            f"No target given, and the configuration has no default_target; there are: {listed}",
            hint=f"name one with --target {next(iter(known))}, or set default_target",
            kind="no_target",
        )
    unknown = [name for name in dict.fromkeys(chosen) if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0].lower(), known, 1)
        noun = "targets" if len(unknown) > 1 else "target"
        raise UsageError(
            f"Unknown sync {noun} {', '.join(map(repr, unknown))}; there are: {listed}",
            hint=f"did you mean {near[0]}?" if near else "`hsm sync list` shows the targets",
            kind="unknown_target",
        )
    return {name: known[name] for name in chosen}


def _validate(data: object) -> SyncConfig | list[ErrorDetails]:
    # No exception may be raised while the ValidationError is handled: a traceback of both would print the
    # data, whose aliases of aliases are small in memory and endless on paper.
    targets = data.get("sync_targets") if isinstance(data, dict) else None
    context = {"targets": tuple(targets) if isinstance(targets, dict) else ()}
    try:
        return SyncConfig.model_validate(data, context=context)
    except ValidationError as error:
        return error.errors(include_url=False)


def _read_text(path: Path, shown: str) -> str:
    try:
        # Looked at before it is opened: opening a pipe would wait for its writer.
        if not stat.S_ISREG(path.stat().st_mode):
            what = "a folder" if path.is_dir() else "not a regular file"
            raise ConfigError(f"{shown} is {what}", hint="`hsm sync init` writes a file", kind="bad_config")
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "check the permissions of the file and its folder"
        raise ConfigError(f"{shown} cannot be read: {reason}", hint=hint, kind="bad_config") from None
    if len(content) > _MAX_BYTES:
        message = f"{shown} is larger than {_MAX_BYTES // 1024} KiB, so it is no sync configuration"
        raise ConfigError(message, hint="`hsm sync init --force` writes a new one", kind="bad_config")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"{shown}: line {line}: byte 0x{content[error.start]:02x} is no UTF-8"
        raise ConfigError(message, hint="save the file as UTF-8", kind="bad_config") from None


def _compose(text: str, shown: str) -> yaml.Node | None:
    try:
        loader = yaml.SafeLoader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except RecursionError:
        place, what = "", "nested too deeply"
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}: "
        what = f"the character {text[error.position]!a} is not allowed in YAML"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = ", ".join(words for words in (error.context, error.problem) if words)
    hint = "indent with spaces, not with tabs" if r"'\t'" in what else "correct the file"
    raise ConfigError(f"{shown}: {place}{what}", hint=hint, kind="bad_yaml")


class _Builder:
    """Makes Python values of YAML nodes, each node once however often it is aliased."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._made: dict[int, object] = {}
        self._open: set[int] = set()

    def make_value(self, node: yaml.Node, key: Location) -> object:
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
            return _make_scalar(node)
        self._add(node, key, f"the YAML tag {_show(node.tag)} is not allowed here")
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
            if name in lines:
                self._add(key_node, (*key, name), f"is there twice, first in line {lines[name]}")
            lines[name] = key_node.start_mark.line + 1
            own[name] = self.make_value(value_node, (*key, name))
        return {**merged, **own}

    def _make_name(self, node: yaml.Node, key: Location) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._add(node, key, f"found {_show_value(node)} as a key, allowed: text")
            return None
        if not isinstance(_make_scalar(node), str):
            written = str(node.value)
            self._add(node, (*key, written), f'found {_show_value(node)}, allowed: text; write "{written}"')
        return str(node.value)

    def _merge(self, node: yaml.Node, key: Location, merged: dict[str, object]) -> None:
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            value = self.make_value(part, key)
            if isinstance(value, dict):
                merged.update({name: item for name, item in value.items() if name not in merged})
            else:
                self._add(part, (*key, "<<"), f"found {_show_value(part)}, allowed: an alias of a section")

    def _add(self, node: yaml.Node, key: Location, text: str) -> None:
        self.findings.append(Finding(node.start_mark.line + 1, _make_dotted(key), text))


_SCALAR_TAGS = frozenset(
    _TAG + name for name in ("str", "null", "bool", "int", "float", "timestamp", "value", "merge")
)


def _make_scalar(node: yaml.ScalarNode) -> object:
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


def _make_error(findings: Sequence[Finding], shown: str) -> ConfigError:
    ordered = sorted(set(findings))
    width = len(str(ordered[-1].line))
    lines = [f"  line {line:<{width}}  {key}: {text}" for line, key, text in ordered[:_MAX_SHOWN]]
    if len(ordered) > _MAX_SHOWN:
        lines.append(f"  and {len(ordered) - _MAX_SHOWN} more")
    noun = "problem" if len(ordered) == 1 else "problems"
    message = "\n".join([f"{shown} has {len(ordered)} {noun}:", *lines])
    return ConfigError(message, hint=_HINT, kind="bad_config")


def _make_finding(error: ErrorDetails, root: yaml.MappingNode) -> Finding:
    location: Location = error["loc"]
    is_key = location[-1:] == ("[key]",)
    if is_key:
        location = location[:-1]
    line, node = _locate(root, location)
    text = _word_key(error, location) if is_key else _word_value(error, location, node)
    return Finding(line, _make_dotted(location), text)


def _word_key(error: ErrorDetails, location: Location) -> str:
    return f"{error['ctx']['error']}; allowed: {_list_allowed(location[:-1])}"


def _word_value(error: ErrorDetails, location: Location, node: yaml.Node | None) -> str:
    """Say what is wrong in our own words; pydantic's speak of types, not of settings."""
    kind = error["type"]
    allowed = _list_allowed(location)
    if kind == "extra_forbidden":
        return _word_unknown(location)
    if kind == "missing":
        if isinstance(node, yaml.ScalarNode) and node.value:
            return f"found {_show_value(node)}, allowed: {allowed}"
        return f"is missing, allowed: {allowed}"
    found = "" if node is None or _is_filled(node) else f"{_show_value(node)} "
    if kind == "value_error":
        return f"{found}{error['ctx']['error']}; allowed: {allowed}"
    quoted = ""
    if kind == "string_type" and isinstance(node, yaml.ScalarNode) and node.value:
        quoted = f'; if it is meant as text, write "{node.value}"'
    return f"found {_show_value(node) if node else 'something else'}, allowed: {allowed}{quoted}"


def _word_unknown(location: Location) -> str:
    name = str(location[-1])
    model = _get_section(location[:-1])
    if model is None:
        return "unknown"
    for section, field in model.model_fields.items():
        inner = _get_model(field)
        if inner and name in inner.model_fields:
            return f"unknown here, it belongs into {section}"
    near = difflib.get_close_matches(name.lower(), model.model_fields, 1)
    return f"unknown, did you mean {near[0]}?" if near else f"unknown, allowed: {_list_keys(model)}"


def _is_filled(node: yaml.Node) -> bool:
    return not isinstance(node, yaml.ScalarNode) and bool(node.value)


def _show_value(node: yaml.Node) -> str:
    """Show a value as the file has it, and what YAML makes of it where that may surprise."""
    if isinstance(node, yaml.MappingNode):
        return "a section" if node.value else "an empty section"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    value = _make_scalar(node) if isinstance(node, yaml.ScalarNode) else ""
    if isinstance(value, str):
        return repr(_show(value)) if value.isprintable() else _show(value)
    if isinstance(value, bool):
        written = "true" if value else "false"
        return written if node.value == written else f"{node.value} (which YAML reads as {written})"
    if value is None:
        return f"{node.value} (which YAML reads as nothing)" if node.value else "nothing"
    return f"the number {_show(str(node.value))}"


def _show(text: str) -> str:
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return short if short.isprintable() else ascii(short)


def _make_dotted(location: Location) -> str:
    dotted = ""
    for part in location:
        dotted += f"[{part}]" if isinstance(part, int) else f".{_show(part)}"
    return dotted.removeprefix(".") or "the file"


def _locate(root: yaml.Node, location: Location) -> tuple[int, yaml.Node | None]:
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
            yield from (pair for pair in reversed(node.value) if pair[0].tag != f"{_TAG}merge")
            waiting += (value for key, value in node.value if key.tag == f"{_TAG}merge")


def _get_model(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    if get_origin(annotation):  # Python 3.10 takes `dict[...]` for a class
        return None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _get_section(location: Location) -> type[BaseModel] | None:
    """Return the model whose keys stand at `location`."""
    if not location:
        return SyncConfig
    if location[0] == "sync_targets" and len(location) == 2:
        return TargetSettings
    parent = _get_section(location[:-1])
    field = parent.model_fields.get(str(location[-1])) if parent else None
    return _get_model(field) if field else None


def _list_keys(model: type[BaseModel]) -> str:
    return f"the keys {', '.join(model.model_fields)}"


def _list_allowed(location: Location) -> str:
    """Say in words what is allowed at `location`: of the nearest setting that has words of its own."""
    model = _get_section(location)
    if model:
        return _list_keys(model)
    parent = _get_section(location[:-1])
    field = parent.model_fields.get(str(location[-1])) if parent else None
    extra = field.json_schema_extra if field else None
    return str(extra["allowed"]) if isinstance(extra, dict) else _list_allowed(location[:-1])
