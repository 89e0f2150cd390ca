"""Settings of a target for a sweep, and the origin of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import yaml
from pydantic_core import ErrorDetails

from hsm.config.form import SYNC_CONFIG
from hsm.config.layers import Layer, Layers, Origin, OriginKind, Setting, SettingKey, nest
from hsm.config.rules.ssh_options import SECRET_OPTIONS
from hsm.config.schema import TargetSection
from hsm.config.sections import is_open, iter_keys, validate
from hsm.config.settings import AfterSyncStep, TargetSettings, iter_changed
from hsm.config.yaml.document import Location, make_dotted
from hsm.config.yaml.findings import get_location
from hsm.errors import ConfigError

_DEFAULT = Origin(OriginKind.DEFAULT)
_STRENGTH = tuple(OriginKind)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Target as it is for one sweep.

    Attributes:
        target: Its name.
        settings: Those that count.
        chosen: Those that were written somewhere, by key; other keys have their defaults.
    """

    target: str
    settings: TargetSettings
    chosen: Layer


class Shown(NamedTuple):
    """One value of a target for people: its dotted key, the value, and its origin."""

    key: str
    value: object
    origin: Origin


def resolve_target(layers: Layers, target: str, sweep: str | None = None) -> Resolved:
    """Make the settings of a target, for a sweep or for none; see `Layers.choose` for what wins.

    Raises:
        ConfigError: Together they are not right (kind `bad_override`); the message names the place of each.
    """
    chosen = layers.choose(target, sweep)
    outcome = validate_target(chosen)
    if isinstance(outcome, TargetSettings):
        return Resolved(target, outcome, chosen)
    raise make_override_error([describe_wrong(error, target, chosen) for error in outcome])


def resolve_targets(layers: Layers, targets: Iterable[str]) -> dict[str, TargetSettings]:
    """Make the settings of several targets, for no sweep; as `resolve_target`, with all mistakes at once."""
    resolved: dict[str, TargetSettings] = {}
    wrong: list[str] = []
    for target in targets:
        try:
            resolved[target] = resolve_target(layers, target).settings
        except ConfigError as error:
            wrong.append(error.message)
    if wrong:
        raise make_override_error(wrong)
    return resolved


def validate_target(chosen: Layer) -> TargetSettings | list[ErrorDetails]:
    """Make the settings, or list their mistakes."""
    outcome = validate(TargetSection, nest(chosen))
    return outcome.make() if isinstance(outcome, TargetSection) else outcome


def make_override_error(lines: Sequence[str]) -> ConfigError:
    """Make one error of all mistakes in settings that override others; each line names its place."""
    return ConfigError(
        "\n".join(dict.fromkeys(lines)),
        hint="correct it where it was set; an environment variable is taken back with `unset`",
        kind="bad_override",
    )


def describe_wrong(error: ErrorDetails, target: str, chosen: Layer) -> str:
    """Say what is wrong with a setting, its origin, and which other settings had a part in it."""
    location = get_location(error)
    key, setting = _find(location, chosen)
    rank = _STRENGTH.index(setting.origin.kind) if setting else 0
    stronger = [
        other.origin.place
        for place, other in chosen.items()
        if place[:1] == key[:1] or not key
        if _STRENGTH.index(other.origin.kind) > max(rank, _STRENGTH.index(OriginKind.FILE))
    ]
    # Without its node the message does not repeat the value.
    node = _find_node(setting, location[len(key) :]) if setting and not is_secret(key) else None
    text = SYNC_CONFIG.describe_error(error, ("sync_targets", target, *location), node)
    with_others = f" (with {', '.join(dict.fromkeys(stronger))})" if stronger else ""
    place = f"{setting.origin.place}: " if setting else ""
    return f"{place}{make_dotted((target, *location))}{with_others}: {text}"


def iter_shown(resolved: Resolved) -> Iterator[Shown]:
    """Yield every value of a target in the schema's order; a value that may be a secret is not shown."""
    origins = {make_dotted(key).lower(): setting.origin for key, setting in resolved.chosen.items()}
    for key, known in iter_keys(TargetSection):
        value: object = resolved.settings
        for name in key:
            value = getattr(value, name)
        if isinstance(value, tuple):
            value = tuple(_make_plain(item) for item in value)
        dotted = make_dotted(key)
        if is_open(known) and isinstance(value, Mapping) and value:
            for name, item in value.items():
                shown = "(not shown)" if is_secret((*key, name)) else item
                yield Shown(f"{dotted}.{name}", shown, origins.get(f"{dotted}.{name}".lower(), _DEFAULT))
        else:
            yield Shown(dotted, value, origins.get(dotted, _DEFAULT))


def _make_plain(item: object) -> object:
    """Return a member of a list as the file would have it."""
    return dict(iter_changed(item)) if isinstance(item, AfterSyncStep) else item


def is_secret(key: SettingKey) -> bool:
    """Tell whether the value under a key of a target may be a secret, which is never shown."""
    return key[:2] == ("ssh", "options") and key[-1].lower() in SECRET_OPTIONS


def _find(location: Location, chosen: Layer) -> tuple[SettingKey, Setting | None]:
    """Find the setting that a location lies in; none where it is a section."""
    for length in range(len(location), 0, -1):
        key = tuple(map(str, location[:length]))
        if key in chosen:
            return key, chosen[key]
    return tuple(map(str, location)), None


def _find_node(setting: Setting, rest: Location) -> yaml.Node | None:
    """Find the node of a value, or of the member of a list."""
    node = setting.node
    if rest and isinstance(node, yaml.SequenceNode) and isinstance(rest[0], int):
        return node.value[rest[0]] if rest[0] < len(node.value) else None
    return node
