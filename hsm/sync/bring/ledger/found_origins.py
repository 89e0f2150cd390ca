"""Answer to whose the files at a destination are. A module of its own: a push asks and reads no record of pulls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hsm.model import FileKey


@dataclass(frozen=True, slots=True)
class FoundOrigins:
    """The files at the destination that differ from the source's.

    Attributes:
        foreign: Those that did not come from this source, with whose they are in words.
        equal: Those that have the same content all the same.
    """

    foreign: Mapping[FileKey, str] = field(default_factory=dict)
    equal: frozenset[FileKey] = frozenset()
