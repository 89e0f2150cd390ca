"""Overrides: what environment variables and the command line say of targets, as layers over the file. Pure.

A value is read as a scalar of YAML is, or as a list in brackets; a quoted one is text. So `4` is a number, `null` the
default (where null is no value of its own), and `*.ckpt` needs no quotes. A wrong variable is an error: a mistyped name
would be ignored in silence, and the files would land in the wrong place.

pydantic-settings knows neither patterns of sweeps nor where a value came from, and its names of variables cannot hold a
target's name with `-` or `.`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import yaml

from hsm.config.layers import ENVIRONMENT_PREFIX, Origin, OriginKind, Setting, SettingKey
from hsm.config.resolve import make_override_error
from hsm.config.schema import SourceSection, TargetSection
from hsm.config.sections import is_open, iter_keys
from hsm.config.yaml.document import Builder, Location, compose, make_dotted
from hsm.errors import ConfigError

_JOINT = "__"
_ALIKE = str.maketrans("-.", "__")  # a shell takes neither of them in a variable's name


def parse_environment(
    environment: Mapping[str, str], targets: Iterable[str]
) -> tuple[dict[Location, Setting], dict[str, dict[SettingKey, Setting]]]:
    """Read the variables whose name begins with `HSM_SYNC__`; an empty one counts as unset.

    `HSM_SYNC__DESKTOP__PATHS__WANDB` is `paths.wandb` of target `desktop`, `HSM_SYNC__DEFAULT_TARGET` and
    `HSM_SYNC__SOURCE__SWEEPS` are the keys at the top. Case does not count; `-` and `.` of a target's name are `_`.

    Args:
        environment: All variables.
        targets: The names in the file.

    Returns:
        Settings of no target, by their place in the file; and settings of targets, by target.

    Raises:
        ConfigError: A name is unknown or ambiguous, or a value cannot be read (kind `bad_override`), with all that
            is wrong.
    """
    known = _list_names(targets)
    wrong: list[str] = []
    found: dict[Location, Setting] = {}
    for name, text in sorted(environment.items()):
        if not name.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        places = _find_places(name.upper(), known)
        origin = Origin(OriginKind.ENVIRONMENT, name)
        if len(places) != 1:
            wrong.append(f"{name}: {_word_unknown(name.upper(), known, places)}")
        elif places[0] in found:
            wrong.append(f"{name}: sets the same as {found[places[0]].origin.place}")
        elif text.strip():
            _add(found, places[0], text, origin, wrong)
    if wrong:
        raise make_override_error(wrong)
    return _split(found)


def parse_assignments(
    words: Sequence[str], *, texts: Mapping[str, tuple[SettingKey, str]] | None = None
) -> dict[SettingKey, Setting]:
    """Read the settings that the command line has for all its targets; the last one wins.

    Args:
        words: Each `KEY=VALUE`, as `options.parallel_transfers=8`. An empty value is the default.
        texts: By the option's name, a key and its text, taken as it is; stronger than `words`.

    Raises:
        ConfigError: A key is unknown, or a value cannot be read (kind `bad_override`), with all that is wrong.
    """
    keys = {make_dotted(key): (key, is_open(known)) for key, known in iter_keys(TargetSection)}
    wrong: list[str] = []
    found: dict[Location, Setting] = {}
    for word in words:
        dotted, is_assigned, text = word.partition("=")
        key = _find_key(dotted.strip(), keys)
        if not is_assigned:
            wrong.append(f"--set {word}: there is no =; write KEY=VALUE, for example options.parallel_transfers=8")
        elif key is None:
            wrong.append(f"--set {dotted.strip()}: {_word_nearest(dotted.strip(), keys)}")
        else:
            found.pop(key, None)  # so that messages name the word that counts, in its place
            _add(found, key, text.strip() or "null", Origin(OriginKind.COMMAND_LINE, f"--set {dotted.strip()}"), wrong)
    if wrong:
        raise make_override_error(wrong)
    settings = {tuple(map(str, key)): setting for key, setting in found.items()}
    for option, (key, text) in (texts or {}).items():
        settings[key] = Setting(text, Origin(OriginKind.COMMAND_LINE, option), _make_scalar_node(text, "str"))
    return settings


def _list_names(targets: Iterable[str]) -> dict[str, list[Location]]:
    """List the places that each variable's name may mean; the name of an open section ends with the joint."""
    names: dict[str, list[Location]] = {}
    top: list[tuple[Location, bool]] = [(("default_target",), False)]
    top += [(("source", *key), False) for key, _ in iter_keys(SourceSection)]
    of_targets = [
        (("sync_targets", name, *key), is_open(known)) for name in targets for key, known in iter_keys(TargetSection)
    ]
    for place, has_names in [*top, *of_targets]:
        parts = place[1:] if place[0] == "sync_targets" else place
        joined = _JOINT.join(str(part).translate(_ALIKE).upper() for part in parts)
        names.setdefault(f"{ENVIRONMENT_PREFIX}{joined}{_JOINT if has_names else ''}", []).append(place)
    return names


def _find_places(name: str, known: Mapping[str, list[Location]]) -> list[Location]:
    if name.endswith(_JOINT):  # an open section without a name in it
        return []
    for joined, places in known.items():
        if joined.endswith(_JOINT) and name.startswith(joined):
            return [(*place, name[len(joined) :].lower()) for place in places]
    return known.get(name, [])


def _word_unknown(name: str, known: Mapping[str, list[Location]], places: Sequence[Location]) -> str:
    if places:
        return f"means each of the targets {', '.join(str(place[1]) for place in places)}; name it in the file instead"
    inside = next((joined for joined in known if joined.startswith(f"{name.rstrip('_')}{_JOINT}")), None)
    if inside is not None and name != ENVIRONMENT_PREFIX:
        return f"is a section; name one of its keys, as {inside}{'NAME' if inside.endswith(_JOINT) else ''}"
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    return f"unknown, did you mean {near[0]}{'NAME' if near[0].endswith(_JOINT) else ''}?" if near else "unknown"


def _find_key(dotted: str, keys: Mapping[str, tuple[SettingKey, bool]]) -> SettingKey | None:
    for known, (key, has_names) in keys.items():
        name = dotted.removeprefix(f"{known}.")
        if has_names and name != dotted and name and "." not in name:
            return (*key, name)
        if known == dotted and not has_names:
            return key
    return None


def _word_nearest(dotted: str, keys: Mapping[str, tuple[SettingKey, bool]]) -> str:
    inside = [known for known in keys if known.startswith(f"{dotted}.")] if dotted else []
    if inside:
        return f"is a section; its keys are {', '.join(inside)}"
    if dotted in keys:
        return f"is a section; write {dotted}.NAME=VALUE"
    near = difflib.get_close_matches(dotted.lower(), keys, 1, cutoff=0.4)
    ends = [known for known in keys if known.endswith(f".{dotted.lower()}")]
    found = ends[:1] or near
    return f"unknown, did you mean {found[0]}?" if found else f"unknown; a key of a target, as {', '.join(keys)}"


def _add(found: dict[Location, Setting], place: Location, text: str, origin: Origin, wrong: list[str]) -> None:
    """Read a value and add it, or its mistake."""
    try:
        node = _parse_value(text.strip(), origin.place)
    except ConfigError as error:
        # Without the value, which may be a secret.
        line, hint = error.message.partition("\n")[0], error.hint.partition(":")[0]
        wrong.append(f"{line}; {hint}" if hint.startswith("quote") else line)
        return
    builder = Builder()
    value = builder.make_value(node, place)
    wrong += [f"{origin.place}: {finding.text}" for finding in builder.findings]
    found[place] = Setting(value, origin, node)


def _parse_value(text: str, shown: str) -> yaml.Node:
    """Read a value as YAML would read it behind a key."""
    # Anything else is read as what stands behind a key: a whole document would take `*.ckpt` for an alias.
    if text[:1] in ("[", '"', "'"):
        node = compose(text, shown)
        if node is not None:
            return node
    loader = yaml.SafeLoader("")
    try:
        tag = str(loader.resolve(yaml.ScalarNode, text, (True, False)))  # type: ignore[no-untyped-call]
    finally:
        loader.dispose()
    return _make_scalar_node(text, tag.rpartition(":")[2])


def _make_scalar_node(text: str, tag: str) -> yaml.ScalarNode:
    mark = yaml.Mark("", 0, 0, 0, None, 0)
    return yaml.ScalarNode(f"tag:yaml.org,2002:{tag}", text, mark, mark)


def _split(found: Mapping[Location, Setting]) -> tuple[dict[Location, Setting], dict[str, dict[SettingKey, Setting]]]:
    top = {place: setting for place, setting in found.items() if place[0] != "sync_targets"}
    by_target: dict[str, dict[SettingKey, Setting]] = {}
    for place, setting in found.items():
        if place[0] == "sync_targets":
            by_target.setdefault(str(place[1]), {})[tuple(map(str, place[2:]))] = setting
    return top, by_target
