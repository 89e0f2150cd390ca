"""Records of removed results and of their copies: `.hsm/cleaned/<sweep>/<time>-<token>.json`, one for each clean.

A record is on the disk before anything is removed, and never changed but to drop what was kept after all. What it names
and what is not here was removed by `hsm sync clean`.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hsm.errors import ConfigError
from hsm.file_errors import explain_os_error
from hsm.files import DamagedFileError, NewerFileError, load_json, save_json
from hsm.model import FileKey, Root
from hsm.project_folder import ProjectFolder
from hsm.sweep_folder import sweep_folder

SCHEMA = 1
ASIDE_PREFIX = ".hsm-clean-"
"""Beginning of the name, beside its own, that something has while it is removed."""

_ASIDE = re.compile(r"\.hsm-clean-[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CleanedFile:
    """One removed file: size in bytes, time in nanoseconds, checksum of the content that is at the targets."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CleanedUnit:
    """A removed run, a removed folder of one of Hydra's jobs, or a sweep's removed folder.

    Attributes:
        name: The run's folder; empty for the others.
        folder: The absolute folder here that held it.
        base: Its name in `folder`; the run's, or the last part of the job's or of the sweep's folder.
        aside: Its name in `folder` while it was removed.
        state: Of the run, see `hsm.model.RunState`; empty for the sweep's folder.
        exit_code: Of the run.
        copies: The targets at which every one of `files` was verified.
        files: By path relative to the unit; a symlink whose content was sent is among them, as that content.
        links: The contents of the symlinks, by path.
        folders: Empty folders.
        superseded: Old versions of media, which were removed although they are at no target (`--allow-superseded`).
        own: HSM's own receipts of what had been received here.
        job: Of a job: its folder, relative to the sweep's.
    """

    name: str
    folder: str
    base: str
    aside: str
    state: str = ""
    exit_code: int | None = None
    copies: tuple[str, ...] = ()
    files: Mapping[str, CleanedFile] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    superseded: Mapping[str, CleanedFile] = field(default_factory=dict)
    own: Mapping[str, CleanedFile] = field(default_factory=dict)
    job: str = ""

    @property
    def path(self) -> str:
        """Its absolute path."""
        return f"{self.folder}/{self.base}"

    @property
    def aside_path(self) -> str:
        """Its absolute path while it is removed."""
        return f"{self.folder}/{self.aside}"

    @property
    def is_here(self) -> bool:
        """True where something of its name lies here: it is not gone, or has come back."""
        return os.path.lexists(self.path)  # a symlink that leads nowhere is something too

    @property
    def n_bytes(self) -> int:
        """Of the files that are at the targets."""
        return sum(file.size for file in self.files.values())


@dataclass(frozen=True, slots=True)
class CleanedPlace:
    """A target as it was when it had everything: address as configured, real paths of its folders."""

    host: str
    user: str | None
    port: int | None
    sweeps: str
    wandb: str


@dataclass(frozen=True, slots=True)
class Cleaning:
    """One clean of one sweep.

    Attributes:
        sweep: Its id.
        at: By this machine's clock, ISO 8601 in UTC.
        host: This machine.
        is_quick: Sizes and times at the targets were compared, not checksums.
        places: Of the targets, by name.
        units: The runs and folders that were removed.
        place: Of a Hydra sweep: its folder, relative to the project.
    """

    sweep: str
    at: str
    host: str
    is_quick: bool
    places: Mapping[str, CleanedPlace]
    units: tuple[CleanedUnit, ...]
    place: str = ""


def make_aside_name() -> str:
    """Make a fresh name for something that is about to be removed."""
    return f"{ASIDE_PREFIX}{secrets.token_hex(8)}"


def make_cleaning_path(project: Path, cleaning: Cleaning) -> Path:
    """Make a fresh path for the record of a clean; names sort by time."""
    word = re.sub(r"[^0-9TZ]", "", cleaning.at.replace("+00:00", "Z"))
    return ProjectFolder(project).cleaned(cleaning.sweep) / f"{word}-{secrets.token_hex(4)}.json"


def save_cleaning(path: Path, cleaning: Cleaning) -> None:
    """Write a record, so that it is on the disk with its name and its folders when this returns.

    The caller holds the sweep's locks, so that what lies half written in the folder is of a call that was killed.

    Raises:
        OSError: It could not be written.
    """
    for half in path.parent.glob(".hsm-*"):
        half.unlink(missing_ok=True)
    save_json(path, _make_document(cleaning), schema=SCHEMA)
    for folder in list(path.parents)[:4]:  # up to the project's: each may have been made for this record
        _sync_folder(folder)


def load_cleanings(project: Path, sweep: str, *, skips_denied: bool = False) -> tuple[Cleaning, ...]:
    """Read the records of a sweep's cleans, oldest first.

    Args:
        project: Holds the records.
        sweep: Its id.
        skips_denied: Leave out what this user may not read: for who changes nothing.

    Raises:
        ConfigError: A record is damaged, cannot be read, or a newer version of HSM wrote it.
    """
    found = []
    for path in _list_records(ProjectFolder(project).cleaned(sweep), skips_denied=skips_denied):
        try:
            document = load_json(path, schema=SCHEMA)
            if document is not None:
                found.append(_parse(document))
        except NewerFileError as error:
            raise ConfigError(f"{error}.", hint="Upgrade HSM here.", kind="newer_schema") from error
        except PermissionError as error:
            if not skips_denied:
                raise make_records_denied_error(path, error) from error
        except (DamagedFileError, ValueError, RecursionError, OSError) as error:
            raise ConfigError(
                f"The record of a clean {path} cannot be read: {error}.",
                hint="It says where removed results are. Restore it from a backup, or move it away.",
                kind="bad_clean_record",
            ) from error
    return tuple(found)


def _list_records(folder: Path, *, skips_denied: bool) -> list[Path]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a glob takes a folder that it may not read for an empty one
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        if skips_denied:
            return []
        raise make_records_denied_error(folder, error) from error
    return [folder / name for name in sorted(names) if name.endswith(".json")]


def make_records_denied_error(path: Path, error: OSError) -> ConfigError:
    """Make the error of records that this user may not read."""
    reason, hint = explain_os_error(error, path)
    return ConfigError(f"The records of cleans {path} cannot be read: {reason}.", hint=hint, kind="project_denied")


def find_cleaned(project: Path, sweep: str, *, skips_denied: bool = False) -> dict[str, CleanedUnit]:
    """Find the runs and the folder of a sweep that were removed and are not here: the last record of each, by its name.

    Raises:
        ConfigError: As `load_cleanings`.
    """
    cleanings = load_cleanings(project, sweep, skips_denied=skips_denied)
    units = {unit.name: unit for cleaning in cleanings for unit in cleaning.units if not unit.job}
    return {name: unit for name, unit in units.items() if not unit.is_here}


def iter_cleaned_files(sweep: str, unit: CleanedUnit, place: str = "") -> Iterator[tuple[FileKey, CleanedFile]]:
    """Yield the removed files of a unit, each by its place at a target. Pure.

    Args:
        sweep: The sweep's id.
        unit: Of it.
        place: Of a Hydra sweep: its folder, relative to the project.
    """
    folder = sweep_folder(sweep, place)
    own = f"{folder}/{unit.job}" if unit.job else folder
    root, prefix = (Root.WANDB, unit.name) if unit.name else (Root.SWEEPS, own)
    for path, file in unit.files.items():
        yield (root, f"{prefix}/{path}"), file


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_document(cleaning: Cleaning) -> dict[str, Any]:
    document = asdict(cleaning)
    for unit in document["units"]:
        if not unit["job"]:  # earlier versions read records without such a key alone
            del unit["job"]
    return document


def _parse(document: Mapping[str, Any]) -> Cleaning:
    try:
        return Cleaning(
            sweep=str(document["sweep"]),
            at=str(document["at"]),
            host=str(document["host"]),
            is_quick=bool(document["is_quick"]),
            places={str(name): CleanedPlace(**place) for name, place in document["places"].items()},
            units=tuple(_parse_unit(unit) for unit in document["units"]),
            place=str(document.get("place", "")),
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is no record of a clean ({error})") from error


def _parse_unit(document: Mapping[str, Any]) -> CleanedUnit:
    # A later clean removes what a record names: no path in an edited or damaged record may lead anywhere else.
    unit = CleanedUnit(
        **{
            **document,
            "copies": tuple(map(str, document["copies"])),
            "files": _parse_files(document["files"]),
            "links": {_check_path(path): str(target) for path, target in document["links"].items()},
            "folders": tuple(map(_check_path, document["folders"])),
            "superseded": _parse_files(document["superseded"]),
            "own": _parse_files(document["own"]),
        }
    )
    if not _ASIDE.fullmatch(unit.aside) or "/" in unit.name + unit.base or unit.base in ("", ".", ".."):
        raise ValueError(f"it speaks of {unit.aside!r} and {unit.base!r}")
    if not unit.folder.startswith("/") or (unit.name and unit.name != unit.base):
        raise ValueError(f"it speaks of {unit.name!r} in {unit.folder!r}")
    if unit.job and (unit.name or _check_path(unit.job).rpartition("/")[2] != unit.base):
        raise ValueError(f"it speaks of the job {unit.job!r} as {unit.base!r}")
    return unit


def _parse_files(document: Mapping[str, Any]) -> dict[str, CleanedFile]:
    files = {_check_path(path): CleanedFile(**file) for path, file in document.items()}
    for path, file in files.items():
        if type(file.size) is not int or type(file.mtime_ns) is not int or not _SHA256.fullmatch(file.sha256):
            raise ValueError(f"it speaks wrongly of {path!r}")
    return files


def _check_path(path: str) -> str:
    if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{path!r} is no path in a run")
    return path
