"""Reader of YAML that anybody may have written: numbers, texts, lists and mappings, and no objects. Pure.

The values are made from PyYAML's events. Its constructor would call itself for each level, follow aliases of aliases
until the memory is full, and read numbers by YAML 1.1: of `1e-05`, as wandb writes it from 0.18 on, it makes a text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

_MOST_NODES = 100_000
_MOST_NESTED = 50

_TEXT_TAG = "tag:yaml.org,2002:str"
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Of YAML 1.2, but for numbers with a leading zero, which 1.1 may have meant as texts; Python refuses 4,300 digits.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,999})")
_FLOAT = re.compile(r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)")
_ENDLESS = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def parse_plain_yaml(text: str) -> object:
    """Parse the first document of a text.

    Tags say nothing, but for that of a text: what was an object is the list or the mapping that it is written as.

    Raises:
        ValueError: It is no YAML, or too much of it.
    """
    import yaml  # noqa: PLC0415 - most sweeps have none to be read

    # LibYAML's parser makes the same events seven times as fast, where PyYAML was built with it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentEndEvent):
                break
            builder.add(event)
    except yaml.YAMLError as error:
        raise ValueError("it is no YAML") from error
    return builder.root


class _Open:
    """List or mapping whose end has not come yet."""

    def __init__(self, value: list[object] | dict[str, object], anchor: str | None, n_before: int) -> None:
        self.value = value
        self.anchor = anchor
        self.n_before = n_before
        self.key: object = None
        self.has_key = False

    def put(self, value: object) -> None:
        """Put the next value in, or take it as the key of the one after it."""
        if isinstance(self.value, list):
            self.value.append(value)
        elif not self.has_key:
            self.key, self.has_key = value, True
        else:
            if isinstance(self.key, str):  # a list or a mapping may be a key in YAML, and is none of wandb's
                self.value[self.key] = value
            self.has_key = False

    @property
    def awaits_key(self) -> bool:
        """True where the next value is a key."""
        return isinstance(self.value, dict) and not self.has_key


class _Builder:
    """Builder of a value from events, without calling itself."""

    def __init__(self) -> None:
        self.root: object = None
        self._open: list[_Open] = []
        self._anchored: dict[str, tuple[object, int]] = {}
        self._n_nodes = 0

    def add(self, event: yaml.Event) -> None:
        """Take the next event."""
        import yaml  # noqa: PLC0415 - as above

        if isinstance(event, yaml.ScalarEvent):
            self._count(1)
            is_key = bool(self._open) and self._open[-1].awaits_key
            self._finish(event.value if is_key else _make_scalar(event), event.anchor, 1)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            self._begin(event)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            ended = self._open.pop()
            self._finish(ended.value, ended.anchor, self._n_nodes - ended.n_before)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchored:  # also of what it lies in itself
                raise ValueError("it refers to what it does not hold")
            value, n_nodes = self._anchored[event.anchor]
            self._count(n_nodes)
            self._put(value)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        import yaml  # noqa: PLC0415 - as above

        if len(self._open) >= _MOST_NESTED:
            raise ValueError("it is nested too deeply")
        before = self._n_nodes
        self._count(1)
        self._open.append(_Open([] if isinstance(event, yaml.SequenceStartEvent) else {}, event.anchor, before))

    def _finish(self, value: object, anchor: str | None, n_nodes: int) -> None:
        if anchor is not None:
            self._anchored[anchor] = (value, n_nodes)
        self._put(value)

    def _put(self, value: object) -> None:
        if self._open:
            self._open[-1].put(value)
        else:
            self.root = value

    def _count(self, n_nodes: int) -> None:
        # What an alias stands for counts each time, or a few lines would make billions of values.
        self._n_nodes += n_nodes
        if self._n_nodes > _MOST_NODES:
            raise ValueError("it holds too many values")


def _make_scalar(event: yaml.ScalarEvent) -> object:
    text = str(event.value)
    # Without a tag and not implicit: in quotes, or a block of text.
    is_text = event.tag == _TEXT_TAG or (event.tag is None and not event.implicit[0])
    return text if is_text else _make_plain(text)


def _make_plain(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _ENDLESS.fullmatch(text):
        return float(text.replace(".", ""))
    return text
