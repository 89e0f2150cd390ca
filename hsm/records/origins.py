"""Origins of pulled files: `.hsm/sync/<target>/pulled/<sweep>.json`, written by pulls alone.

A journal keeps one digest for each run. That verifies what is complete; it does not tell whether one file here is this
target's own earlier version or came from another place. This file does, by the size and the time that each file had
here when its pull had ended, and by those of what a pull was about to bring.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hsm.errors import ConfigError
from hsm.files import DamagedFileError, NewerFileError, load_json, save_json
from hsm.model import FileKey, Root
from hsm.plan.disk.file_system import SECOND_NS
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Route

SCHEMA = 1

Mark = tuple[int, int]
"""Size and time in nanoseconds of a file here."""


@dataclass(frozen=True, slots=True)
class Origins:
    """Files here of one sweep that came from one target.

    Attributes:
        route: The two places.
        files: Each file as it was here when it had come.
        coming: What a pull was about to bring and has not written down as here, as the source had it, so that after a
            kill the next pull knows its own files again; None where an older version noted no more than the name.
    """

    route: Route
    files: Mapping[FileKey, Mark] = field(default_factory=dict)
    coming: Mapping[FileKey, Mark | None] = field(default_factory=dict)


def is_alike(source: Mark, here: Mark) -> bool:
    """Tell whether a file lies here as it was at the source; SFTP and rsyncs before 3.1 bring whole seconds."""
    return source[0] == here[0] and here[1] in (source[1], source[1] - source[1] % SECOND_NS)


def has_set_time(path: str) -> bool:
    """Tell whether a file's time was set, as of a file that comes; writing a file here gives both its times alike."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    # A file system that keeps seconds alone cannot tell.
    is_coarse = status.st_mtime_ns % SECOND_NS == status.st_ctime_ns % SECOND_NS == 0
    return is_coarse or status.st_mtime_ns != status.st_ctime_ns


def load_origins(path: Path) -> Origins | None:
    """Read the origins of one target; None where the file is missing, or cannot be understood.

    Raises:
        ConfigError: A newer version of HSM wrote it.
    """
    try:
        document = load_json(path, schema=SCHEMA)
        return _parse(document) if document is not None else None
    except NewerFileError as error:
        raise ConfigError(f"{error}.", hint="Upgrade HSM here.", kind="newer_schema") from error
    except (DamagedFileError, LookupError, TypeError, ValueError, AttributeError, RecursionError, OSError):
        return None


def iter_origins(project: Path, sweep: str) -> Iterator[tuple[str, Origins]]:
    """Read the origins of each target of a sweep, with the target's name; in the order of the names.

    Raises:
        ConfigError: As `load_origins`.
    """
    folder = ProjectFolder(project)
    for target in folder.list_targets():
        found = load_origins(folder.origins(target, sweep))
        if found is not None:
            yield target, found


def save_origins(path: Path, origins: Origins) -> None:
    """Replace the origins of a target.

    Raises:
        OSError: It could not be written.
    """
    document: dict[str, object] = {
        "route": asdict(origins.route),
        "files": _group(origins.files),
        "coming": _group(origins.coming),
    }
    save_json(path, document, schema=SCHEMA)


def iter_all_origins(project: Path) -> Iterator[tuple[str, str, Origins]]:
    """Read the origins of all sweeps and targets: the target's name, the sweep's as its files have it, and these.

    Raises:
        ConfigError: As `load_origins`.
    """
    folder = ProjectFolder(project)
    for target in folder.list_targets():
        for sweep in folder.list_pulled(target):
            found = load_origins(folder.origins(target, sweep))
            if found is not None:
                yield target, sweep, found


def forget_origins(project: Path, keys: Collection[FileKey], lock: Callable[[str, str], None]) -> None:
    """Forget that files came by pulls, of whichever sweep, before they are removed here.

    Args:
        project: Holds the records.
        keys: The files.
        lock: Takes the lock here of a target and a sweep whose record is changed.

    Raises:
        ConfigError: As `load_origins`.
        LockedError: One of these sweeps is synced at this moment.
        OSError: They could not be written.
    """
    gone = frozenset(keys)
    for target, sweep, found in iter_all_origins(project):
        if not gone.isdisjoint([*found.files, *found.coming]):
            lock(target, sweep)
            path = ProjectFolder(project).origins(target, sweep)
            known = load_origins(path) or found  # once more, since a pull may have ended before the lock was taken
            left = replace(
                known,
                files={key: mark for key, mark in known.files.items() if key not in gone},
                coming={key: mark for key, mark in known.coming.items() if key not in gone},
            )
            save_origins(path, left)


def load_source_ids(project: Path) -> dict[str, tuple[Route, str]]:
    """Read the ids under which targets' projects stand in receipts here, and the two places of each, by target."""
    folder = ProjectFolder(project)
    found: dict[str, tuple[Route, str]] = {}
    for target in folder.list_targets():
        try:
            document = load_json(folder.far_id(target), schema=SCHEMA) or {}
            route = document["route"]
            if isinstance(route, dict):
                found[target] = (Route(**route), str(document["source_id"]))
        except (DamagedFileError, KeyError, TypeError, RecursionError, OSError):
            continue
    return found


def save_source_id(project: Path, target: str, route: Route, source_id: str) -> None:
    """Remember the id under which a target's project stands in receipts here.

    Raises:
        OSError: It could not be written.
    """
    document: dict[str, object] = {"route": asdict(route), "source_id": source_id}
    save_json(ProjectFolder(project).far_id(target), document, schema=SCHEMA)


def _group(marks: Mapping[FileKey, Mark] | Mapping[FileKey, Mark | None]) -> dict[str, dict[str, Mark | None]]:
    found: dict[str, dict[str, Mark | None]] = {root.value: {} for root in Root}
    for (root, name), mark in sorted(marks.items()):
        found[root.value][name] = mark
    return found


def _parse(document: Mapping[str, object]) -> Origins:
    route, files, coming = document["route"], document["files"], document.get("coming", {})
    if not (isinstance(route, dict) and isinstance(files, dict) and isinstance(coming, dict)):
        raise TypeError("no sections")
    found = dict(_iter_marks(files))
    # An older version noted what was coming among the files, without a mark.
    return Origins(
        Route(**route),
        {key: mark for key, mark in found.items() if mark is not None},
        {**{key: None for key, mark in found.items() if mark is None}, **dict(_iter_marks(coming))},
    )


def _iter_marks(section: Mapping[str, object]) -> Iterator[tuple[FileKey, Mark | None]]:
    for root in Root:
        marks = section.get(root.value, {})
        if not isinstance(marks, dict):
            raise TypeError("no section")
        for name, mark in marks.items():
            yield (root, name), None if mark is None else (int(mark[0]), int(mark[1]))
