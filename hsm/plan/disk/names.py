"""Names that some file systems refuse, rule by rule: a sample for the probe, and who else falls under it. Pure.

Sources: Microsoft's "Naming Files, Paths, and Namespaces"; ntfs-3g(8), `windows_names`; vfat and exFAT refuse the
same characters; APFS, ext4 with `casefold` in strict mode and ntfs-3g refuse bytes that are no UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hsm.model import Problem
from hsm.plan.disk.file_system import LONGEST_NAME, FileSystem

NAME_REFUSED = "name_refused"
_DEVICES = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])", re.IGNORECASE)
_CHARACTERS = ':?*"<>|\\'


@dataclass(frozen=True, slots=True)
class NameRule:
    """A kind of names that a file system may refuse.

    Attributes:
        name: For records.
        words: What such a name has, for messages.
        sample: Such a name, that falls under no other rule.
        applies: Tells whether a name is of this kind.
    """

    name: str
    words: str
    sample: str
    applies: Callable[[str], bool]


def _make_character_rule(character: str) -> NameRule:
    words = f"a `{character}`"
    return NameRule(character, words, f"a{character}b", lambda name: character in name)


RULES: tuple[NameRule, ...] = (
    *map(_make_character_rule, _CHARACTERS),
    NameRule("control", "a control character", "a\x01b", lambda name: any(c < " " for c in name)),
    NameRule("dot", "a dot at its end", "a.", lambda name: name.endswith(".")),
    NameRule("space", "a blank at its end", "a ", lambda name: name.endswith(" ")),
    NameRule("device", "the name of a device", "con", lambda name: _DEVICES.fullmatch(name) is not None),
    NameRule(
        "device_stem",
        "the name of a device before its dot",
        "con.txt",
        lambda name: "." in name and _DEVICES.fullmatch(name.partition(".")[0]) is not None,
    ),
    NameRule("bytes", "bytes that are no UTF-8", "a\udcff", lambda name: any("\udc80" <= c <= "\udcff" for c in name)),
    NameRule("latin", "letters beyond ASCII", "a\u00e9", lambda name: any("\x80" <= c <= "\xff" for c in name)),
    NameRule("wide", "letters beyond Latin-1", "a\u6f22", lambda name: any(_is_wide(c) for c in name)),
    NameRule("astral", "characters beyond U+FFFF", "a\U0001f600", lambda name: any(c > "\uffff" for c in name)),
)
"""All rules; the samples differ from one another in more than case."""

_BY_NAME: Mapping[str, NameRule] = {rule.name: rule for rule in RULES}


def _is_wide(character: str) -> bool:
    return "\u0100" <= character <= "\uffff" and not "\udc80" <= character <= "\udcff"


def find_refused(paths: Iterable[str], there: FileSystem) -> dict[str, tuple[str, str]]:
    """Find the paths that cannot be made at a destination.

    Returns:
        Path -> the part of it that ends with the refused name, and what is wrong with that name.
    """
    rules = [_BY_NAME[name] for name in there.refused if name in _BY_NAME]
    if not rules and there.longest_name >= LONGEST_NAME:
        return {}
    known: dict[str, str] = {}
    found: dict[str, tuple[str, str]] = {}
    for path in paths:
        parts = path.split("/")
        for index, name in enumerate(parts):
            if name not in known:
                known[name] = _judge(name, rules, there.longest_name)
            if known[name]:
                found[path] = "/".join(parts[: index + 1]), known[name]
                break
    return found


def _judge(name: str, rules: Iterable[NameRule], longest_name: int) -> str:
    size = len(name.encode("utf-8", "surrogateescape"))
    if size > longest_name:
        return f"{size} bytes, of {longest_name} at most"
    return next((rule.words for rule in rules if rule.applies(name)), "")


def make_refused_problems(refused: Mapping[str, tuple[str, str]]) -> list[Problem]:
    """Name every file or folder whose name is refused, each once, sorted.

    Args:
        refused: From `find_refused`.
    """
    hint = "It is not sent. Rename it at the source, or leave it out with `exclude`."
    return [
        Problem(path, NAME_REFUSED, f"The destination cannot have this name: it has {words}.", hint)
        for path, words in sorted(set(refused.values()))
    ]
