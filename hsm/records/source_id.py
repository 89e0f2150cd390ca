"""The project's random id, by which receipts at targets tell sources apart: `.hsm/project.json`.

Beside it stands the place of the project, so that a project that was copied together with its `.hsm/` is noticed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hsm.errors import ConfigError
from hsm.file_errors import explain_os_error
from hsm.files import DamagedFileError, load_json, make_private_folder, save_json
from hsm.project_folder import ProjectFolder
from hsm.records.place import (
    ProjectPlace,
    Verdict,
    judge_place,
    look_at_place,
    make_copied_id,
    make_place_document,
    parse_place,
    read_place,
)

SCHEMA = 1
_SOURCE_ID = re.compile(r"[0-9a-f]{16}")
_MOST_EARLIER = 8


@dataclass(frozen=True, slots=True)
class SourceId:
    """The id of a project.

    Attributes:
        id: 16 hexadecimal digits.
        place: Of the project when it was written; None where an older version wrote it.
        earlier: Ids that the file held before, with the places; a project that is at one of them again has its old id.
        copied_from: The place of the project that it was found to be a copy of by this call.
    """

    id: str
    place: ProjectPlace | None = None
    earlier: tuple[tuple[str, ProjectPlace], ...] = ()
    copied_from: ProjectPlace | None = None


def load_source_id(project: Path) -> str:
    """Read the project's id, as `find_source_id` does."""
    return find_source_id(project).id


def find_source_id(project: Path) -> SourceId:
    """Read the project's id; the first call makes it, and of several first calls at once all get the same.

    A project that turns out to be a copy of another one, `.hsm/` included, gets an id of its own, which is made of its
    place: so that all calls agree on it, whether it can be written down or not.

    Raises:
        ConfigError: The file is damaged, or cannot be read or written; the message says who denies it.
    """
    path = ProjectFolder(project).id
    try:
        document = load_json(path, schema=SCHEMA)
        if document is None:
            make_private_folder(path.parent)
            _make_file(path, SourceId(secrets.token_hex(8), read_place(project)))
            document = load_json(path, schema=SCHEMA) or {}
        found = parse_source_id(document)
        now = read_place(project)
    except DamagedFileError as error:
        raise _make_error(path, str(error)) from error
    except OSError as error:
        reason, hint = explain_os_error(error, path)
        raise ConfigError(
            f"The project's id {path} cannot be used: {reason}.", hint=hint, kind="project_denied"
        ) from error
    if found is None:
        raise _make_error(path, "it holds no source id")
    settled = _settle(found, now)
    if settled.place != found.place:
        with contextlib.suppress(OSError):
            _save(path, settled)
    return settled


def parse_source_id(document: Mapping[str, object]) -> SourceId | None:
    """Read what the file holds; None where it holds no id."""
    source_id = str(document.get("source_id"))
    if not _SOURCE_ID.fullmatch(source_id):
        return None
    return SourceId(source_id, parse_place(document.get("place")), tuple(_iter_earlier(document.get("earlier"))))


def is_at_its_place(found: SourceId, project: Path) -> bool:
    """Tell whether a project of this machine is the one that its file speaks of, and no copy. Changes nothing.

    Raises:
        OSError: It cannot be looked at.
    """
    return found.place is None or _judge(found.id, found.place, read_place(project)) is not Verdict.COPIED


def _settle(found: SourceId, now: ProjectPlace) -> SourceId:
    if found.place is None:  # an older version wrote it
        return replace(found, place=now)
    verdict = _judge(found.id, found.place, now)
    if verdict is Verdict.COPIED:
        earlier = ((found.id, found.place), *found.earlier)[:_MOST_EARLIER]
        # Machines that see one folder with different inodes (a container, sshfs) would else change the id in turns.
        again = next((known for known, place in earlier if place.is_same_path(now)), "")
        return SourceId(again or make_copied_id(found.id, now), now, earlier, None if again else found.place)
    return replace(found, place=now) if verdict is Verdict.MOVED else found


def _judge(source_id: str, known: ProjectPlace, now: ProjectPlace) -> Verdict:
    return judge_place(known, now, look_at_place(known, now, source_id))


def _save(path: Path, found: SourceId) -> None:
    document: dict[str, object] = {"source_id": found.id}
    if found.place is not None:
        document["place"] = make_place_document(found.place)
    if found.earlier:
        document["earlier"] = [
            {"source_id": source_id, "place": make_place_document(place)} for source_id, place in found.earlier
        ]
    save_json(path, document, schema=SCHEMA)


def _iter_earlier(documents: object) -> Iterator[tuple[str, ProjectPlace]]:
    for document in documents[:_MOST_EARLIER] if isinstance(documents, list) else ():
        found = parse_source_id(document) if isinstance(document, dict) and "earlier" not in document else None
        if found is not None and found.place is not None:
            yield found.id, found.place


def _make_file(path: Path, found: SourceId) -> None:
    """Write the file, unless another process was quicker."""
    beside = path.with_name(f".hsm-{found.id}")
    _save(beside, found)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)  # fails if the name is taken, where a rename would replace the quicker one's id
    except OSError:  # a file system without hard links
        if not path.exists():
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _make_error(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path} cannot be used: {reason}.",
        hint="Remove it; this project then counts as a new source at its targets.",
        kind="bad_project_file",
    )
