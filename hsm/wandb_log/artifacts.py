"""Reader of a `.wandb` log for the artifacts that the run logged offline, and the paths of their waiting files.

These wait in WANDB_DATA_DIR's staging folder, outside the run, under absolute paths that the log names. Source:
`ArtifactRecord`, `ArtifactManifest` and `ArtifactManifestEntry` of `wandb/proto/wandb_internal.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hsm.wandb_log.format import iter_fields, parse_records
from hsm.wandb_log.records import decode_text

_ARTIFACT = 8
_TYPE, _NAME, _MANIFEST = 4, 5, 12
_CONTENTS, _MANIFEST_FILE = 4, 5
_ENTRY_LOCAL_PATH = 6


@dataclass(frozen=True, slots=True)
class StagedArtifact:
    """Artifact with files that wait outside the run.

    Attributes:
        name: As logged, for example `my-model`.
        type: For example `model`; `run_table` for a logged table.
        paths: Absolute paths of the waiting files, as the log has them: any text until they are checked.
    """

    name: str
    type: str
    paths: tuple[str, ...] = field(default_factory=tuple)


def read_artifacts(log: bytes) -> tuple[StagedArtifact, ...]:
    """Read the artifacts with waiting files from a whole log, in order. Pure; damaged parts are skipped."""
    found: dict[tuple[str, str, tuple[str, ...]], StagedArtifact] = {}
    for payload in parse_records(log).payloads:
        for number, message in iter_fields(payload):
            if number == _ARTIFACT and isinstance(message, bytes):
                artifact = _parse_artifact(message)
                if artifact.paths:
                    found[artifact.name, artifact.type, artifact.paths] = artifact
    return tuple(found.values())


def _parse_artifact(message: bytes) -> StagedArtifact:
    name = kind = ""
    paths: list[str] = []
    for number, value in iter_fields(message):
        if number == _TYPE:
            kind = decode_text(value)
        elif number == _NAME:
            name = decode_text(value)
        elif number == _MANIFEST and isinstance(value, bytes):
            paths.extend(_iter_paths(value))
    return StagedArtifact(name, kind, tuple(dict.fromkeys(paths)))


def _iter_paths(manifest: bytes) -> Iterator[str]:
    for number, value in iter_fields(manifest):
        if number == _MANIFEST_FILE and value:
            yield decode_text(value)
        elif number == _CONTENTS and isinstance(value, bytes):
            yield from (decode_text(part) for field_, part in iter_fields(value) if field_ == _ENTRY_LOCAL_PATH)
