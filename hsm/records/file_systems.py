"""The record of the file systems at a target, as probes have measured them: `.hsm/sync/<target>/.file-systems`.

It may be missing, damaged or deleted at any time; then they are measured again by the next sync that sends something.
Not among the hints of a login, which are void as soon as the configuration changes: a disk stays what it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hsm.files import USELESS_ERRORS, load_json, save_json
from hsm.model import Root
from hsm.plan.destination import Destination, DestinationRoot
from hsm.plan.disk.file_system import FileSystem, Rounding

SCHEMA = 1
# The oldest go first: a disk that changes its number with every mount must not fill the file.
_MOST_PLACES = 64


@dataclass(frozen=True, slots=True)
class KnownFileSystems:
    """All that is known of a target.

    Attributes:
        places: By device and folder (`make_place`).
        sent_step_ns: The engine that was used last cut times to a multiple of it.
    """

    places: Mapping[str, FileSystem] = field(default_factory=dict)
    sent_step_ns: int = 1

    def find(self, destination: Destination) -> dict[Root, FileSystem]:
        """Find the file systems of a destination's roots; one that was not measured, or is another now, is missing."""
        found = {root: self.places.get(make_place(there)) for root, there in destination.items()}
        return {root: there.join_sent_step(self.sent_step_ns) for root, there in found.items() if there is not None}

    def add(self, measured: Mapping[str, FileSystem]) -> KnownFileSystems:
        """Return the same with more."""
        places = {**{place: there for place, there in self.places.items() if place not in measured}, **measured}
        return replace(self, places=dict(list(places.items())[-_MOST_PLACES:]))


def make_place(there: DestinationRoot) -> str:
    """Make the key of a root: its folder too, since ext4 folds names folder by folder."""
    return f"{there.device}\n{there.path}"


def load_file_systems(path: Path) -> KnownFileSystems:
    """Read what is known; nothing where nothing can be used."""
    try:
        document: dict[str, Any] | None = load_json(path, schema=SCHEMA)
        if document is None:
            return KnownFileSystems()
        places = {str(place): _parse(found) for place, found in document["places"].items()}
        return KnownFileSystems(places, int(document["sent_step_ns"]))
    except USELESS_ERRORS:
        return KnownFileSystems()


def save_file_systems(path: Path, known: KnownFileSystems) -> None:
    """Keep what is known; where that cannot be written, the next sync measures again."""
    # Where a device has no name nobody would notice another one in its place.
    places = {place: asdict(there) for place, there in known.places.items() if not place.startswith("\n")}
    with contextlib.suppress(OSError):
        save_json(path, {"places": places, "sent_step_ns": known.sent_step_ns}, schema=SCHEMA)


def _parse(found: Mapping[str, Any]) -> FileSystem:
    return FileSystem(
        step_ns=max(1, int(found["step_ns"])),
        rounding=Rounding(found["rounding"]),
        sent_step_ns=max(1, int(found["sent_step_ns"])),
        keeps_times=bool(found["keeps_times"]),
        earliest_ns=_parse_limit(found["earliest_ns"]),
        latest_ns=_parse_limit(found["latest_ns"]),
        folds_case=bool(found["folds_case"]),
        folds_unicode=bool(found["folds_unicode"]),
        unicode_form=str(found["unicode_form"]),
        refused=_parse_words(found["refused"]),
        longest_name=int(found["longest_name"]),
        replaces=bool(found["replaces"]),
        has_symlinks=bool(found["has_symlinks"]),
        has_hard_links=bool(found["has_hard_links"]),
    )


def _parse_limit(value: Any) -> int | None:  # noqa: ANN401 - from JSON
    return None if value is None else int(value)


def _parse_words(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))
