"""Parser of a hosts file: an inventory, or an error that names every mistake by line and key. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import yaml

from hsm.config.rules.ssh_options import SECRET_OPTIONS
from hsm.config.sections import list_keys, validate
from hsm.config.yaml.document import Builder, Finding, compose, is_null, locate, make_dotted, show_value
from hsm.config.yaml.findings import MOST_FINDINGS, FileForm
from hsm.hosts.inventory.node import ClusterNode, EloSyncConfig, Inventory
from hsm.hosts.inventory.schema import EloSyncEntry, HostsFile, NodeEntry

_FORM = FileForm(
    HostsFile,
    "bad_hosts",
    "correct the file, then look at it with `hsm hosts list`",
    spellings={"ringrift_path": "path", "elo_sync": "score_sync"},
    is_secret=lambda place: place[-2:-1] == ("ssh_options",) and str(place[-1]).lower() in SECRET_OPTIONS,
)


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
        text = f"found {show_value(root)}, allowed: {list_keys(HostsFile)}"
        raise _FORM.make_error([Finding(root.start_mark.line + 1, make_dotted(()), text)], shown)
    builder = Builder()
    document = builder.make_value(root, ())
    outcome = validate(HostsFile, document, context={"environment": environment})
    if not isinstance(outcome, HostsFile):
        raise _FORM.make_error([*builder.findings, *(_FORM.make_finding(error, root) for error in outcome)], shown)
    findings = [*builder.findings, *_iter_unknown_nodes(outcome, root)]
    if findings:
        raise _FORM.make_error(findings, shown)
    nodes = {name: _make_node(name, entry) for name, entry in outcome.hosts.items()}
    elo_sync = EloSyncConfig(**{name: getattr(outcome.elo_sync, name) for name in EloSyncEntry.model_fields})
    return Inventory(
        nodes=nodes,
        elo_sync=elo_sync,
        document=document if isinstance(document, dict) else {},
        notes=tuple(_describe_unknown(outcome, root, shown)),
    )


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
    """Name in one sentence every key without a meaning here, with its line."""
    found = [
        *((key,) for key in file.model_extra or {}),
        *(("elo_sync", key) for key in file.elo_sync.model_extra or {}),
    ]
    places = [*found, *(("hosts", name, key) for name, node in file.hosts.items() for key in node.model_extra or {})]
    if places:
        lines = sorted((_FORM.locate(root, place)[0], make_dotted(place)) for place in places)
        words = [f"{key} (line {line}{_suggest_key(key)})" for line, key in lines[:MOST_FINDINGS]]
        more = f" and {len(lines) - MOST_FINDINGS} more" if len(lines) > MOST_FINDINGS else ""
        yield f"{shown}: kept, but without a meaning here: {', '.join(words)}{more}."


def _suggest_key(dotted: str) -> str:
    model = NodeEntry if dotted.startswith("hosts.") else EloSyncEntry if "." in dotted else HostsFile
    # Closer than elsewhere: the file may hold keys of other programs, and most of them are no mistake.
    near = difflib.get_close_matches(dotted.rpartition(".")[2].lower(), model.model_fields, 1, cutoff=0.8)
    return f", did you mean {near[0]}?" if near else ""
