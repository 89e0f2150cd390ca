"""Mistakes of indentation that YAML does not notice: keys of a target that stand beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from hsm.config.schema import TargetSection
from hsm.config.yaml.document import Finding, make_dotted


def find_outdented(root: yaml.MappingNode) -> list[Finding]:
    """Find keys that stand among the targets and are no target, but settings of the one above.

    Each of them makes several mistakes, none of which names the indentation.
    """
    targets = next((value for key, value in root.value if key.value == "sync_targets"), None)
    return list(_iter_outdented(targets)) if isinstance(targets, yaml.MappingNode) else []


def _iter_outdented(targets: yaml.MappingNode) -> Iterator[Finding]:
    above: tuple[yaml.Node, yaml.Node] | None = None
    for key, value in targets.value:
        if key.value not in TargetSection.model_fields or _is_target(value):
            above = (key, value)
        elif above is not None:
            from hsm.config.yaml.syntax import show_place  # noqa: PLC0415 - for mistakes alone

            column = key.start_mark.column
            keys = above[1].value if isinstance(above[1], yaml.MappingNode) else []
            wanted = keys[0][0].start_mark.column if keys else column + 2
            text = (
                f"seems to belong to {above[0].value}: indent it by {wanted - column} more{show_place(key.start_mark)}"
            )
            yield Finding(key.start_mark.line + 1, make_dotted(("sync_targets", key.value)), text)


def _is_target(value: yaml.Node) -> bool:
    """Tell whether a section may be a target that is named like a setting."""
    keys = [key.value for key, _ in value.value] if isinstance(value, yaml.MappingNode) else []
    return "paths" in keys
