"""The record of a push that had nothing to do, beside its journal: `.hsm/sync/<target>/<sweep>.rest`.

While nothing of it has changed at either end, the next sync has nothing to do either, and need not look at each file.
It may be missing, damaged, unwritable or deleted at any time; then every file is looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hsm.files import DamagedFileError, load_json, save_json
from hsm.model import Problem
from hsm.plan.summary import Counts

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class UnchangedRecord:
    """A sweep of which both ends had everything.

    Attributes:
        question: A digest of what was asked for: settings, options, journal.
        folders: Of the source, as `hsm.sync.shortcuts.footprint` has them.
        destination: The digest of the destination's survey.
        counts: Of the plan that had nothing to send.
        problems: Of that plan: notices.
    """

    question: str
    folders: Mapping[str, str]
    destination: str
    counts: Counts
    problems: tuple[Problem, ...] = field(default_factory=tuple)


def get_record_path(journal: Path) -> Path:
    """Return its path, beside the journal of the sweep at the target."""
    return journal.with_suffix(".rest")


def load_record(path: Path) -> UnchangedRecord | None:
    """Read what a sync found; None where there is nothing that can be used."""
    try:
        document: dict[str, Any] | None = load_json(path, schema=SCHEMA)
        return _parse(document) if document is not None else None
    except (DamagedFileError, OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return None


def save_record(path: Path, record: UnchangedRecord) -> None:
    """Keep what a sync found; where that cannot be written, the next one takes longer."""
    with contextlib.suppress(OSError):
        save_json(path, asdict(record), schema=SCHEMA)


def _parse(document: Mapping[str, Any]) -> UnchangedRecord:
    counts = document["counts"]
    return UnchangedRecord(
        question=str(document["question"]),
        folders={str(path): str(digest) for path, digest in document["folders"].items()},
        destination=str(document["destination"]),
        counts=Counts(
            files=_parse_numbers(counts["files"]),
            runs=_parse_numbers(counts["runs"]),
            deeper=_parse_numbers(counts["deeper"]),
            max_depth=None if counts["max_depth"] is None else int(counts["max_depth"]),
        ),
        problems=tuple(_parse_problem(record) for record in document["problems"]),
    )


def _parse_numbers(record: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): int(number) for name, number in record.items()}


def _parse_problem(record: Mapping[str, Any]) -> Problem:
    path, kind, message, hint = (str(record[name]) for name in ("path", "kind", "message", "hint"))
    return Problem(path, kind, message, hint, is_failure=bool(record["is_failure"]))
