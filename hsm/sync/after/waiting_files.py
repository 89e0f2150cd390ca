"""Files of artifacts of offline runs that wait in wandb's staging folders: found here, compared with a target.

Their paths stand in the runs' logs, so they are text that anybody could have written. Only plain files below a folder
`artifacts/staging` are taken, never through a symlink below it, and what is there already is never replaced.
Source of the folder's name: `get_staging_dir` of `wandb/sdk/artifacts/staging.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hsm.discover.results import OWN_PREFIX
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Entry, EntryKind, Problem, Root, Run, SourceFile
from hsm.transfer.base import PARTIAL_FOLDER
from hsm.wandb_log.artifacts import StagedArtifact

_STAGING = ["artifacts", "staging"]
# Lists of the files of very large artifacts: one that is there alone would hide that the files are not.
_MANIFESTS = "artifact_manifests/"


@dataclass(frozen=True, slots=True)
class WaitingState:
    """Waiting files of one staging folder, by what is at the target.

    Attributes:
        base: The staging folder's real path there, or the path it is to have.
        sends: Those that are not there.
        doubtful: Those that are there with the same size and another time.
        problems: Everything that stands in the way.
    """

    base: str
    sends: tuple[SourceFile, ...] = ()
    doubtful: tuple[SourceFile, ...] = ()
    problems: tuple[Problem, ...] = ()


def parse_staging_path(path: str) -> tuple[str, str] | None:
    """Take a path of a log apart into the staging folder and the path below it. Pure.

    Returns:
        Both, or None for anything that is no absolute, normalised path below a folder `artifacts/staging`, or has a
        name of HSM's own in it, or is a list of files (`_MANIFESTS`).
    """
    first, *names = path.split("/")
    if first or "\0" in path or any(name in ("", ".", "..") or name.startswith(OWN_PREFIX) for name in names):
        return None
    for index in range(len(names) - len(_STAGING)):
        end = index + len(_STAGING)
        if names[index:end] == _STAGING:
            below = "/".join(names[end:])
            return None if below.startswith(_MANIFESTS) else ("/" + "/".join(names[:end]), below)
    return None


def find_waiting(source: Endpoint, runs: Mapping[Run, Sequence[StagedArtifact]]) -> dict[str, list[SourceFile]]:
    """Find the plain files that artifacts name and that wait in staging folders, by folder, each once.

    Args:
        source: The end at which they wait.
        runs: The artifacts of each run's log.
    """
    wanted: dict[str, dict[str, str]] = {}
    for run, artifacts in runs.items():
        for parsed in (parse_staging_path(path) for artifact in artifacts for path in artifact.paths):
            if parsed is not None:
                wanted.setdefault(parsed[0], {}).setdefault(parsed[1], run.name)
    if not wanted:
        return {}
    # With every folder above each file: one that is a symlink would lead out of the staging folder.
    trees = [Tree(base, (*_list_folders(names), *names), 0) for base, names in wanted.items()]
    found: dict[str, list[SourceFile]] = {}
    for (base, names), listing in zip(wanted.items(), source.survey(trees).listings, strict=True):
        files = list(_iter_files(names, listing))
        if files:
            found[base] = files
    return found


def _iter_files(names: Mapping[str, str], listing: Listing) -> Iterator[SourceFile]:
    entries = {entry.path: entry for entry in listing.entries}
    for name in sorted(names):
        entry = entries.get(name)
        if entry is None or entry.kind is not EntryKind.FILE or _find_obstacle(name, entries) is not None:
            continue
        if all(folder in entries for folder in _list_folders([name])):
            yield SourceFile(Root.WANDB, name, listing.base, entry.size, entry.mtime_ns, entry.inode, names[name])


def compare_waiting(base: str, files: Sequence[SourceFile], listing: Listing, *, target: str) -> WaitingState:
    """Compare waiting files with what is at the target. Pure.

    Args:
        base: The staging folder as the logs name it.
        files: From `find_waiting`.
        listing: Of the folder there, with the files and every folder above them.
        target: The target's name, for messages.
    """
    if (listing.kind or listing.nearest) is not EntryKind.FOLDER:
        return WaitingState(
            base, problems=(make_unwritable(base, target, "something else has its name or a parent's"),)
        )
    entries = {entry.path: entry for entry in listing.entries}
    sends: list[SourceFile] = []
    doubtful: list[SourceFile] = []
    problems: list[Problem] = []
    for file in files:
        entry = entries.get(file.path)
        obstacle = _find_obstacle(file.path, entries)
        if obstacle is not None:
            problems.append(make_conflict(f"{base}/{obstacle}"))
        elif entry is None:
            sends.append(file)
        elif entry.kind is not EntryKind.FILE or entry.size != file.size:
            problems.append(make_conflict(f"{base}/{file.path}"))
        # Another time alone is no other content: that is compared.
        elif file.mtime_ns != entry.mtime_ns:  # its content tells, whatever the disk there keeps of times
            doubtful.append(file)
    return WaitingState(listing.base, tuple(sends), tuple(doubtful), tuple(dict.fromkeys(problems)))


def list_names_there(files: Sequence[SourceFile]) -> tuple[str, ...]:
    """List what a look at a target has to show: the files, the folders above them, and where rsync keeps parts."""
    names = [file.path for file in files]
    folders = _list_folders(names)
    parts = [f"{folder}/{PARTIAL_FOLDER}" for folder in folders]
    return (*folders, PARTIAL_FOLDER, *parts, *names)


def _list_folders(names: Iterable[str]) -> tuple[str, ...]:
    """List the folders above paths, each once, without the base itself."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split("/")[:-1]
        found.update(("/".join(parts[: index + 1]), None) for index in range(len(parts)))
    return tuple(found)


def _find_obstacle(path: str, entries: Mapping[str, Entry]) -> str | None:
    """Find what is no folder above a file, or where rsync keeps a part of it: it would write through a symlink."""
    folders = _list_folders([path])
    folder = path.rpartition("/")[0]
    for place in (*folders, f"{folder}/{PARTIAL_FOLDER}".lstrip("/")):
        entry = entries.get(place)
        if entry is not None and entry.kind is not EntryKind.FOLDER:
            return place
    return None


def make_conflict(path: str) -> Problem:
    """Make the problem of a file in whose place something else is."""
    message = "A waiting file of an artifact was not brought along: something else is there under its path."
    hint = "Nothing there is replaced. Look at it, and move it away there if it is nobody's."
    return Problem(path, "staging_conflict", message, hint)


def make_unwritable(base: str, target: str, reason: str) -> Problem:
    """Make the problem of a staging folder that cannot be at the target."""
    message = f"The staging folder cannot be used at {target}, so no file of an artifact was brought there: {reason}"
    hint = "Make it there, writable for you; or upload the runs from here with `wandb sync`."
    return Problem(base, "staging_unwritable", message, hint)
