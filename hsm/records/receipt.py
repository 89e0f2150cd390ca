"""The receipt: the record at a destination of what is verified there. Pure.

`<paths.sweeps>/outputs/<sweep>/.hsm-sync/receipt-<source id>.json`, one per source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hsm._version import __version__
from hsm.model import SweepKind
from hsm.records.record import SWEEP_FOLDER, RunRecord, make_record_document, parse_record
from hsm.records.scope import parse_scope_document

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Sender:
    """The source of files: the project's random id, its host and its absolute path."""

    id: str
    host: str
    path: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """One source's record of one sweep at a destination.

    Attributes:
        sweep: The sweep's id.
        source: The source of the files.
        generation: Grows with every receipt of this source.
        written_at: By the source's clock, ISO 8601 in UTC.
        runs: By run folder; the sweep folder under the empty name.
        left: What is missing of the sweep beside what these lack, by reason (`hsm.records.scope`).
        kind: Of the sweep; receipts of 0.1.0 do not have it, since all sweeps were folders.
        place: Of a Hydra sweep: its folder, relative to the project.
    """

    sweep: str
    source: Sender
    generation: int
    written_at: str
    runs: Mapping[str, RunRecord]
    left: Mapping[str, int] = field(default_factory=dict)
    kind: SweepKind = SweepKind.FOLDER
    place: str = ""


def get_receipt_name(source_id: str) -> str:
    """Return the name of a source's receipt in the folder of receipts."""
    return f"receipt-{source_id}.json"


def make_receipt_content(receipt: Receipt) -> bytes:
    """Make the file's content: JSON, one run a line so that people can read it and `diff` it."""
    head = {
        "schema": SCHEMA,
        "hsm": __version__,
        "sweep": receipt.sweep,
        "kind": receipt.kind.value,
        "place": receipt.place,
        "source": {"id": receipt.source.id, "host": receipt.source.host, "path": receipt.source.path},
        "generation": receipt.generation,
        "written_at": receipt.written_at,
        "left": dict(receipt.left),
        "sweep_folder": make_record_document(receipt.runs.get(SWEEP_FOLDER, RunRecord())),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    runs = [
        f"  {json.dumps(name)}: {json.dumps(make_record_document(record))}"
        for name, record in sorted(receipt.runs.items())
        if name != SWEEP_FOLDER
    ]
    # ASCII: json escapes all else, also the surrogates that stand for bytes that are no UTF-8.
    return "\n".join(["{", *lines, '"runs": {', ",\n".join(runs), "}", "}", ""]).encode("ascii")


def parse_receipt(content: bytes) -> Receipt:
    """Read a receipt.

    Raises:
        ValueError: It is damaged, or of a schema that this version does not know.
    """
    try:
        document: Any = json.loads(content)
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r} instead of {SCHEMA}")
        return Receipt(
            sweep=str(document["sweep"]),
            kind=SweepKind(document.get("kind", SweepKind.FOLDER.value)),
            place=str(document.get("place", "")),
            source=Sender(**document["source"]),
            generation=int(document["generation"]),
            written_at=str(document["written_at"]),
            left=parse_scope_document(document.get("left", {})),  # receipts of 0.1.0 do not have it
            runs={
                SWEEP_FOLDER: parse_record(document["sweep_folder"]),
                **{str(name): parse_record(record) for name, record in document["runs"].items()},
            },
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no receipt: {error}") from error
