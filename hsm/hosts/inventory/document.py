"""From the text of a hosts file to an inventory, or to an error that names every mistake by line and key. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hsm.config.yaml.document import Builder, Finding, Location, compose, is_null, locate, make_dotted, show_value
from hsm.errors import ConfigError
from hsm.hosts.inventory.node import ClusterNode, EloSyncConfig, Inventory
from hsm.hosts.inventory.schema import EloSyncEntry, HostsFile, NodeEntry

_SPELLINGS = {"ringrift_path": "path", "elo_sync": "score_sync"}
_HINT = "correct the file, then look at it with `hsm hosts list`"
_MAX_SHOWN = 40
_KEYS = "the keys hosts, elo_sync"


def parse_hosts(text: str, shown: str, environment: Mapping[str, str]) -> Inventory:
    """Make the inventory that the YAML document `text` describes.

    Args:
        text: The file's content.
        shown: The file's name in messages.
        environment: The variables to put into texts.

    Returns:
        The inventory without a path; `ssh_key` is as the file has it. An unknown key is a note.

    Raises:
        ConfigError: It is no YAML (kind `bad_yaml`) or says what it must not (`bad_hosts`), by line and key.
    """
    root = compose(text, shown)
    if root is None or is_null(root):
        return Inventory(notes=(f"{shown} is empty, so no machine is known.",))
    if not isinstance(root, yaml.MappingNode):
        raise _make_error([Finding(root.start_mark.line + 1, "", f"found {show_value(root)}, allowed: {_KEYS}")], shown)
    builder = Builder()
    document = builder.make_value(root, ())
    outcome = _validate(document, environment)
    if not isinstance(outcome, HostsFile):
        raise _make_error([*builder.findings, *(_make_finding(error, root) for error in outcome)], shown)
    findings = [*builder.findings, *_iter_unknown_nodes(outcome, root)]
    if findings:
        raise _make_error(findings, shown)
    nodes = {name: _make_node(name, entry) for name, entry in outcome.hosts.items()}
    elo_sync = EloSyncConfig(**{name: getattr(outcome.elo_sync, name) for name in EloSyncEntry.model_fields})
    return Inventory(
        nodes=nodes,
        elo_sync=elo_sync,
        document=document if isinstance(document, dict) else {},
        notes=tuple(_describe_unknown(outcome, root, shown)),
    )


def _validate(document: object, environment: Mapping[str, str]) -> HostsFile | list[ErrorDetails]:
    # No exception may be raised while the ValidationError is handled: a traceback of both would print the data,
    # whose aliases of aliases are small in memory and endless on paper.
    try:
        return HostsFile.model_validate(document, context={"environment": environment})
    except ValidationError as error:
        return error.errors(include_url=False)


def _make_node(name: str, entry: NodeEntry) -> ClusterNode:
    settings = {field: getattr(entry, field) for field in NodeEntry.model_fields}
    return ClusterNode(name=name, **settings, extra=dict(entry.model_extra or {}))


def _iter_unknown_nodes(file: HostsFile, root: yaml.Node) -> Iterator[Finding]:
    for name, entry in file.hosts.items():
        other = entry.transfer_host
        if other is not None and (other not in file.hosts or other == name):
            location = ("hosts", name, "transfer_host")
            line, _ = locate(root, location)
            yield Finding(line, make_dotted(location), f"found {other!r}, allowed: the name of another machine here")


def _describe_unknown(file: HostsFile, root: yaml.Node, shown: str) -> Iterator[str]:
    """One sentence that names every key without a meaning here, with its line."""
    found = [
        *((key,) for key in file.model_extra or {}),
        *(("elo_sync", key) for key in file.elo_sync.model_extra or {}),
    ]
    places = [*found, *(("hosts", name, key) for name, node in file.hosts.items() for key in node.model_extra or {})]
    if places:
        lines = sorted((_locate(root, place)[0], make_dotted(place)) for place in places)
        words = [f"{key} (line {line}{_suggest_key(key)})" for line, key in lines[:_MAX_SHOWN]]
        more = f" and {len(lines) - _MAX_SHOWN} more" if len(lines) > _MAX_SHOWN else ""
        yield f"{shown}: kept, but without a meaning here: {', '.join(words)}{more}."


def _suggest_key(dotted: str) -> str:
    model = NodeEntry if dotted.startswith("hosts.") else EloSyncEntry if "." in dotted else HostsFile
    near = difflib.get_close_matches(dotted.rpartition(".")[2].lower(), model.model_fields, 1, cutoff=0.8)
    return f", did you mean {near[0]}?" if near else ""


def _make_error(findings: Sequence[Finding], shown: str) -> ConfigError:
    ordered = sorted(set(findings))
    width = len(str(ordered[-1].line))
    lines = [f"  line {line:<{width}}  {key or 'the file'}: {text}" for line, key, text in ordered[:_MAX_SHOWN]]
    if len(ordered) > _MAX_SHOWN:
        lines.append(f"  and {len(ordered) - _MAX_SHOWN} more")
    noun = "problem" if len(ordered) == 1 else "problems"
    return ConfigError("\n".join([f"{shown} has {len(ordered)} {noun}:", *lines]), hint=_HINT, kind="bad_hosts")


def _make_finding(error: ErrorDetails, root: yaml.Node) -> Finding:
    location: Location = error["loc"]
    is_key = location[-1:] == ("[key]",)
    if is_key:
        location = location[:-1]
    line, node = _locate(root, location)
    allowed = _list_allowed(location[:-1] if is_key else location)
    if error["type"] == "value_error":
        shown = "" if is_key or node is None or isinstance(node, yaml.MappingNode) else f"{show_value(node)} "
        return Finding(line, make_dotted(location), f"{shown}{error['ctx']['error']}; allowed: {allowed}")
    quoted = ""
    if error["type"] == "string_type" and isinstance(node, yaml.ScalarNode) and node.value:
        quoted = f'; if it is meant as text, write "{node.value}"'
    found = show_value(node) if node else "something else"
    return Finding(line, make_dotted(location), f"found {found}, allowed: {allowed}{quoted}")


def _locate(root: yaml.Node, location: Location) -> tuple[int, yaml.Node | None]:
    """As `hsm.config.yaml.document.locate`, also for keys that the file has in their other spelling."""
    line, node = locate(root, location)
    for index, part in enumerate(location):
        if node is None and part in _SPELLINGS:
            respelled = (*location[:index], _SPELLINGS[str(part)], *location[index + 1 :])
            line, node = locate(root, respelled)
    return line, node


def _list_allowed(location: Location) -> str:
    """Say in words what is allowed at `location`, in its first spelling."""
    match location:
        case ("hosts", _):
            return f"a section with the keys of a machine, for example {', '.join([*NodeEntry.model_fields][:5])}"
        case ("elo_sync",):
            return f"the keys {', '.join(EloSyncEntry.model_fields)}"
        case ("hosts", _, key, *_):
            return _read_allowed(NodeEntry, key)
        case ("elo_sync", key, *_):
            return _read_allowed(EloSyncEntry, key)
        case (key, *_):
            return _read_allowed(HostsFile, key)
        case _:
            return _KEYS


def _read_allowed(model: type[BaseModel], key: str | int) -> str:
    field = model.model_fields.get(str(key))
    extra = field.json_schema_extra if field else None
    return str(extra["allowed"]) if isinstance(extra, dict) else _KEYS


def suggest(name: str, known: Sequence[str]) -> str:
    """Return what to do about a name that is not known."""
    near = difflib.get_close_matches(name.lower(), known, 1)
    return f"did you mean {near[0]}?" if near else "`hsm hosts list` shows the machines"
