"""Layers of the file: what it says of targets and of some sweeps, with lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import yaml

from hsm.config.form import SYNC_CONFIG
from hsm.config.layers import Layers, Origin, OriginKind, PatternLayer, Setting, SettingKey
from hsm.config.resolve import validate_target
from hsm.config.schema import TargetSection
from hsm.config.sections import Section, iter_values
from hsm.config.settings import TargetSettings
from hsm.config.target_sections import TargetChanges
from hsm.config.yaml.document import Finding, Location, locate, make_dotted
from hsm.config.yaml.findings import get_location


def make_file_layers(data: object, root: yaml.MappingNode, shown: str) -> Layers:
    """Make the layers of a document.

    Args:
        data: Its values, which keep the schema.
        root: Its node.
        shown: The file's name, as places have it.
    """
    reader = _Reader(root, shown)
    document = _get_mapping(data)
    file = {
        name: reader.read(TargetSection, settings, ("sync_targets", name))
        for name, settings in _get_mapping(document.get("sync_targets")).items()
    }
    patterns = [
        reader.read_pattern(glob, _get_mapping(settings))
        for glob, settings in _get_mapping(document.get("sweeps")).items()
    ]
    return Layers(file, tuple(patterns))


def iter_pattern_findings(layers: Layers, root: yaml.MappingNode) -> Iterator[Finding]:
    """Yield the mistakes that come of a pattern's settings together with a target's, each pattern by itself."""
    for pattern in layers.patterns:
        # As if it matched every sweep, and no other did: what patterns make together is told when a sweep is named.
        alone = replace(layers, patterns=(replace(pattern, glob="*"),))
        for target in layers.file:
            outcome = validate_target(alone.choose(target, ""))
            if isinstance(outcome, TargetSettings):
                continue
            for error in outcome:
                place = _find_place(pattern, target, get_location(error))
                line, node = locate(root, place)
                text = SYNC_CONFIG.describe_error(error, ("sync_targets", target, *get_location(error)), node)
                yield Finding(line, make_dotted(place), f"for target {target}: {text}")


class _Reader:
    """Reader of the settings of sections, with their lines."""

    def __init__(self, root: yaml.MappingNode, shown: str) -> None:
        self._root = root
        self._shown = shown

    def read_pattern(self, glob: str, data: Mapping[str, object]) -> PatternLayer:
        """Read the settings of the sweeps that a pattern matches."""
        place = ("sweeps", glob)
        targets = {
            name: self.read(TargetChanges, changes, (*place, "targets", name), glob=glob)
            for name, changes in _get_mapping(data.get("targets")).items()
        }
        return PatternLayer(glob, self.read(TargetChanges, data, place, glob=glob), targets)

    def read(self, model: type[Section], data: object, place: Location, *, glob: str = "") -> dict[SettingKey, Setting]:
        """Read the settings of one section."""
        layer: dict[SettingKey, Setting] = {}
        for key, value in iter_values(model, data):
            line, node = locate(self._root, (*place, *key))
            origin = Origin(OriginKind.FILE, f"{self._shown}:{line}")
            if glob:
                origin = Origin(OriginKind.SWEEPS, f"{glob} ({self._shown}:{line})")
            layer[key] = Setting(value, origin, node or self._root)
        return layer


def _get_mapping(data: object) -> Mapping[str, object]:
    return data if isinstance(data, Mapping) else {}


def _find_place(pattern: PatternLayer, target: str, location: Location) -> Location:
    """Find the place of a mistake in a pattern; the pattern itself where another of its keys made a value wrong."""
    key = tuple(map(str, location[:2]))
    if key in pattern.targets.get(target, {}):
        return ("sweeps", pattern.glob, "targets", target, *location)
    return ("sweeps", pattern.glob, *(location if key in pattern.common else ()))
