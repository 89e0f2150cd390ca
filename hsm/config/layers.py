"""Layers of settings, each setting with its place, and the rule which of them counts. Pure.

The merge is made on the values as they were written, and the schema then reads the result as if one file had said it:
another `project_root` moves the relative paths with it, and no rule exists twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import yaml

CODE = ("ssh", "after_sync", "rsync_path")
"""Settings of a target that run programs: to ssh a configuration is code, the others hold commands and a program."""

# Keys that make sense beside `after_sync` alone, and are wrong without it.
_OF_CODE = frozenset({("options", "sync_artifact_staging")})

ENVIRONMENT_PREFIX = "HSM_SYNC__"
"""Beginning of the names of the variables that override settings."""

SettingKey = tuple[str, ...]
"""Place of a setting below its target, for example `("paths", "wandb")`."""


class OriginKind(str, Enum):
    """Kinds of places that values come from, from the weakest to the strongest."""

    DEFAULT = "default"
    FILE = "file"
    SWEEPS = "sweeps"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command_line"


class Origin(NamedTuple):
    """Origin of a value: the kind, and the place as people would look it up (a line, a variable's name)."""

    kind: OriginKind
    place: str = ""


class Setting(NamedTuple):
    """A value as it was written, its origin, and its YAML node."""

    value: object
    origin: Origin
    node: yaml.Node


Layer = Mapping[SettingKey, Setting]
"""All that one place says, by key. A value of None is the default, except where null is a value."""


@dataclass(frozen=True, slots=True)
class PatternLayer:
    """Layer of the sweeps that a pattern matches.

    Attributes:
        glob: The pattern, as `fnmatch` reads it; case counts.
        common: For every target.
        targets: For single targets; stronger than `common`.
    """

    glob: str
    common: Layer = field(default_factory=dict)
    targets: Mapping[str, Layer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layers:
    """All layers of the targets.

    Attributes:
        file: Of each target's own section.
        patterns: In the order of the file.
        environment: Of each target.
        command_line: Of every target.
    """

    file: Mapping[str, Layer] = field(default_factory=dict)
    patterns: tuple[PatternLayer, ...] = ()
    environment: Mapping[str, Layer] = field(default_factory=dict)
    command_line: Layer = field(default_factory=dict)

    def choose(self, target: str, sweep: str | None) -> dict[SettingKey, Setting]:
        """Choose what counts of a target for a sweep, key by key; what is absent has its default.

        The command line wins over the environment, the environment over the patterns, those over the target's own
        section. In a pattern, what it says of a single target wins over what it says of all. Every pattern that matches
        counts, and the later one wins, as in `.gitignore`: if the first alone counted, as in `ssh_config`, each
        exception would have to repeat what is general.

        Args:
            target: A name in the file.
            sweep: Its id; None where no sweep is meant, which no pattern matches.
        """
        layers = [self.file.get(target, {})]
        for pattern in self.patterns if sweep is not None else ():
            if fnmatchcase(sweep or "", pattern.glob):
                layers += [pattern.common, pattern.targets.get(target, {})]
        return merge_layers([*layers, self.environment.get(target, {}), self.command_line])

    def without_code(self) -> Layers:
        """Leave out what the file says of programs to run."""
        file = {name: _without_code(layer) for name, layer in self.file.items()}
        return replace(self, file=file, patterns=tuple(map(_without_code_in, self.patterns)))


def merge_layers(layers: Iterable[Layer]) -> dict[SettingKey, Setting]:
    """Merge layers from the weakest to the strongest. Names of ssh options are the same in any case."""
    merged: dict[SettingKey, tuple[SettingKey, Setting]] = {}
    for layer in layers:
        for key, setting in layer.items():
            merged[_fold(key)] = (key, setting)
    return dict(merged.values())


def nest(layer: Layer) -> dict[str, object]:
    """Make the sections, as values, that a layer's keys describe."""
    nested: dict[str, object] = {}
    for key, setting in layer.items():
        section = nested
        for name in key[:-1]:
            inner = section.setdefault(name, {})
            section = inner if isinstance(inner, dict) else {}
        section[key[-1]] = setting.value
    return nested


def _without_code(layer: Layer) -> Layer:
    return {key: setting for key, setting in layer.items() if key[0] not in CODE and key not in _OF_CODE}


def _without_code_in(pattern: PatternLayer) -> PatternLayer:
    targets = {name: _without_code(layer) for name, layer in pattern.targets.items()}
    return replace(pattern, common=_without_code(pattern.common), targets=targets)


def _fold(key: SettingKey) -> SettingKey:
    # ssh takes the names of its options in any case, so `compression` overrides `Compression`.
    return (*key[:2], *(name.lower() for name in key[2:])) if key[:2] == ("ssh", "options") else key
