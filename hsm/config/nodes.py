"""Targets that name a machine of the hosts file (`node:`) in place of host, user and port. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import yaml

from hsm.config.yaml.document import Finding, Location, locate, make_dotted

FindNode = Callable[[str], "Mapping[str, object] | str"]
"""Gives the keys of a target that a machine of the hosts file stands for, or says why there are none."""

_SAID_BY_NODE = ("host", "user", "port")


def fill_nodes(data: object, root: yaml.Node, find_node: FindNode) -> tuple[object, list[Finding]]:
    """Fill in what the hosts file says of the machines that targets name; a target's own keys win.

    Args:
        data: The document's values.
        root: Its node.
        find_node: Called once for each target that has a `node`.

    Returns:
        The values, and the mistakes.
    """
    targets = data.get("sync_targets") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(targets, Mapping):
        return data, []
    findings: list[Finding] = []
    filled = dict(targets)
    for name, target in targets.items():
        node = target.get("node") if isinstance(target, Mapping) else None
        if not isinstance(node, str):
            continue
        findings += _iter_doubles(root, name, target)
        found = find_node(node)
        if isinstance(found, str):
            findings.append(_make_finding(root, ("sync_targets", name, "node"), found))
            found = {"host": node, "paths": {"project_root": "/project"}}  # so that nothing else is found wrong by it
        filled[name] = _merge(found, target)
    return {**data, "sync_targets": filled}, findings


def _iter_doubles(root: yaml.Node, name: str, target: Mapping[str, object]) -> Iterator[Finding]:
    for key in _SAID_BY_NODE:
        if target.get(key) is not None:
            yield _make_finding(root, ("sync_targets", name, key), "is said by the node; keep one of them")


def _make_finding(root: yaml.Node, location: Location, text: str) -> Finding:
    return Finding(locate(root, location)[0], make_dotted(location), text)


def _merge(weaker: Mapping[str, object], stronger: Mapping[str, object]) -> dict[str, object]:
    """Merge sections key by key; an empty key of the stronger one counts as absent."""
    merged = dict(weaker)
    for key, value in stronger.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged
