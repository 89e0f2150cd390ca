"""Bringing along what artifacts of offline runs wait in: wandb's staging folders, to the same paths at a target.

The paths stand in the runs' logs, so they are whatever somebody wrote there. Only plain files below a folder
`artifacts/staging` are taken, never through a symlink below it, and what is there already is never replaced.
Source of the folder's name: `get_staging_dir` of `wandb/sdk/artifacts/staging.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.discover.results import OWN_PREFIX
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.errors import HsmError, UnwritableError
from hsm.model import Entry, EntryKind, Problem, Root, Run, SourceFile
from hsm.plan.planner import is_same_time
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter, StepStarted
from hsm.remote.guard import GuardPlaces
from hsm.sweep_folder import RECEIPT_FOLDER
from hsm.targets.contract import Connection
from hsm.targets.lock import give_lock_back, take_target_lock
from hsm.transfer.base import PARTIAL_FOLDER, Batch, Engine, get_temporary_folder
from hsm.transfer.outcome import Outcome, TransferResult
from hsm.wandb_log.artifacts import StagedArtifact

_STAGING = ["artifacts", "staging"]
_MANIFESTS = "artifact_manifests/"
"""Lists of the files of very large artifacts: one that came along alone would hide that the files did not."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What was brought along, or in a dry run would be.

    Attributes:
        n_files: So many files.
        n_bytes: Of them.
        paths: Their absolute paths without the leading slash, as of `hsm.sync.after.upload.list_staging`.
        awaited: Likewise, what could not be brought now and may be another time.
        problems: What did not go as it should.
    """

    n_files: int = 0
    n_bytes: int = 0
    paths: frozenset[str] = frozenset()
    awaited: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Staging:
    """Brings waiting files to one target.

    Attributes:
        connection: A login has been made.
        source: Where the files wait.
        source_id: This project's.
        sweep: Whose runs logged the artifacts.
        runner: Interrupts what runs.
        reporter: Told what moves.
        n_workers: That send at the same time.
        breaks_lock: Take the lock there whoever holds it.
    """

    connection: Connection
    source: Endpoint
    source_id: str
    sweep: str
    runner: Runner
    reporter: Reporter
    n_workers: int = 4
    breaks_lock: bool = False

    def bring(self, runs: Mapping[Run, Sequence[StagedArtifact]], *, is_dry_run: bool) -> Staged:
        """Bring what waits here and is not there to the same absolute paths there.

        What is there with the same content is left, what is there with another one is a problem. A second call finds
        nothing to do. A failure leaves whole files under their names, and nothing else there.

        Args:
            runs: The artifacts of each run's log.
            is_dry_run: Change nothing.

        Raises:
            CommandStoppedError: The user interrupted.
        """
        files = find_waiting(self.source, runs)
        parts = [self._bring_to(base, found, is_dry_run=is_dry_run) for base, found in files.items()]
        return Staged(
            sum(part.n_files for part in parts),
            sum(part.n_bytes for part in parts),
            frozenset(path for part in parts for path in part.paths),
            frozenset(path for part in parts for path in part.awaited),
            tuple(problem for part in parts for problem in part.problems),
        )

    def _bring_to(self, base: str, files: Sequence[SourceFile], *, is_dry_run: bool) -> Staged:
        try:
            look = self._look(base, files)
            if is_dry_run or not look.sends:
                return _make_staged(base, look.sends, problems=look.problems)
            return self._send(base, files, look.base)
        except UnwritableError as error:
            return Staged(problems=(_make_unwritable(base, self.connection.name, error.message),))
        except HsmError as error:
            problem = Problem(base, error.kind, error.message, error.hint)
            return Staged(awaited=_make_paths(base, files), problems=(problem,))

    def _look(self, base: str, files: Sequence[SourceFile]) -> Look:
        names = _list_places(files)
        listing = self.connection.endpoint.survey([Tree(base, names, 0)]).listings[0]
        look = compare_staging(base, files, listing, target=self.connection.name)
        if not look.doubtful:
            return look
        engine = self._make_engine(look.base)
        differs = engine.compare(Batch(Root.WANDB, look.doubtful)).different
        problems = (_make_conflict(f"{base}/{file.path}") for file in look.doubtful if file.path in differs)
        return Look(look.base, look.sends, (), (*look.problems, *problems))

    def _make_engine(self, base: str) -> Engine:
        return self.connection.make_engine({Root.WANDB: base}, sweep=self.sweep, skips_newer=True)

    def _send(self, base: str, files: Sequence[SourceFile], base_there: str) -> Staged:
        """With the lock held: look again, since somebody else may have been there, and send."""
        places = GuardPlaces(
            f"{base_there}/{RECEIPT_FOLDER}.{self.sweep}", (get_temporary_folder(base_there, self.sweep),)
        )
        lock = take_target_lock(
            self.connection.make_guard,
            places,
            source_id=self.source_id,
            sweep=self.sweep,
            target=self.connection.name,
            breaks=self.breaks_lock,
        )
        try:
            look = self._look(base, files)
            result = self._transfer(look, tidy=lock.guard.tidy)
        finally:
            give_lock_back(lock.guard)
            self.reporter.report(StepStarted(self.connection.name, "after_sync"))
        if result.is_interrupted:
            raise CommandStoppedError
        sent = [file for key, file in result.files.items() if result.outcomes.get(key) is Outcome.SENT]
        awaited = [file for file in look.sends if file.key not in result.files]
        return _make_staged(base, sent, awaited, problems=(*look.problems, *_iter_failures(base, result)))

    def _transfer(self, look: Look, *, tidy: Callable[[], None]) -> TransferResult:
        from hsm.transfer.rounds import Transfer  # noqa: PLC0415 - where nothing is sent, it is not needed

        if not look.sends:
            return TransferResult()
        transfer = Transfer(
            self._make_engine(look.base),
            source=self.source,
            destination=self.connection.endpoint,
            roots={Root.WANDB: look.base},
            reporter=self.reporter,
            target=self.connection.name,
            sleep=self.runner.sleep,
            tidy=tidy,
        )
        return transfer.run(look.sends, n_workers=self.n_workers)


@dataclass(frozen=True, slots=True)
class Look:
    """What of the waiting files is at the target.

    Attributes:
        base: The staging folder's real path there, or the path it is to have.
        sends: What is not there.
        doubtful: What is there with the same size and another time.
        problems: What stands in the way.
    """

    base: str
    sends: tuple[SourceFile, ...] = ()
    doubtful: tuple[SourceFile, ...] = ()
    problems: tuple[Problem, ...] = field(default_factory=tuple)


def parse_staging_path(path: str) -> tuple[str, str] | None:
    """Take a path of a log apart into the staging folder and the path below it. Pure.

    Returns:
        Both, or None for whatever is no absolute, normalised path below a folder `artifacts/staging`, or has a name
        of HSM's own in it, or is a list of files (`_MANIFESTS`).
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
        source: Where they wait.
        runs: The artifacts of each run's log.
    """
    wanted: dict[str, dict[str, str]] = {}
    for run, artifacts in runs.items():
        for parsed in (parse_staging_path(path) for artifact in artifacts for path in artifact.paths):
            if parsed is not None:
                wanted.setdefault(parsed[0], {}).setdefault(parsed[1], run.name)
    if not wanted:
        return {}
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


def compare_staging(base: str, files: Sequence[SourceFile], listing: Listing, *, target: str) -> Look:
    """Compare waiting files with what is at the target. Pure.

    Args:
        base: The staging folder as the logs name it.
        files: From `find_waiting`.
        listing: Of the folder there, with the files and every folder above them.
        target: The target's name, for messages.
    """
    if (listing.kind or listing.nearest) is not EntryKind.FOLDER:
        return Look(base, problems=(_make_unwritable(base, target, "something else has its name or a parent's"),))
    entries = {entry.path: entry for entry in listing.entries}
    sends: list[SourceFile] = []
    doubtful: list[SourceFile] = []
    problems: list[Problem] = []
    for file in files:
        entry = entries.get(file.path)
        obstacle = _find_obstacle(file.path, entries)
        if obstacle is not None:
            problems.append(_make_conflict(f"{base}/{obstacle}"))
        elif entry is None:
            sends.append(file)
        elif entry.kind is not EntryKind.FILE or entry.size != file.size:
            problems.append(_make_conflict(f"{base}/{file.path}"))
        elif not is_same_time(file.mtime_ns, entry.mtime_ns):
            doubtful.append(file)
    return Look(listing.base, tuple(sends), tuple(doubtful), tuple(dict.fromkeys(problems)))


def _list_places(files: Sequence[SourceFile]) -> tuple[str, ...]:
    """What a look at a target has to show: the files, the folders above them, and where rsync keeps parts of them."""
    names = [file.path for file in files]
    folders = _list_folders(names)
    parts = [f"{folder}/{PARTIAL_FOLDER}" for folder in folders]
    return (*folders, PARTIAL_FOLDER, *parts, *names)


def _list_folders(names: Iterable[str]) -> tuple[str, ...]:
    """The folders above paths, each once, without the base itself."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split("/")[:-1]
        found.update(("/".join(parts[: index + 1]), None) for index in range(len(parts)))
    return tuple(found)


def _find_obstacle(path: str, entries: Mapping[str, Entry]) -> str | None:
    """What is no folder above a file, or where rsync keeps a part of it: through a symlink there it would write."""
    folders = _list_folders([path])
    folder = path.rpartition("/")[0]
    for place in (*folders, f"{folder}/{PARTIAL_FOLDER}".lstrip("/")):
        entry = entries.get(place)
        if entry is not None and entry.kind is not EntryKind.FOLDER:
            return place
    return None


def _make_staged(
    base: str, files: Sequence[SourceFile], awaited: Sequence[SourceFile] = (), *, problems: tuple[Problem, ...]
) -> Staged:
    n_bytes = sum(file.size for file in files)
    return Staged(len(files), n_bytes, _make_paths(base, files), _make_paths(base, awaited), problems)


def _make_paths(base: str, files: Iterable[SourceFile]) -> frozenset[str]:
    return frozenset(f"{base}/{file.path}".lstrip("/") for file in files)


def _iter_failures(base: str, result: TransferResult) -> Iterator[Problem]:
    for problem in result.problems:
        yield Problem(f"{base}/{problem.path}", problem.kind, problem.message, problem.hint)
    if result.error is not None:
        yield Problem(base, result.error.kind, result.error.message, result.error.hint)


def _make_conflict(path: str) -> Problem:
    message = "A waiting file of an artifact was not brought along: something else is there under its path."
    hint = "Nothing there is replaced. Look at it, and move it away there if it is nobody's."
    return Problem(path, "staging_conflict", message, hint)


def _make_unwritable(base: str, target: str, reason: str) -> Problem:
    message = f"The staging folder cannot be used at {target}, so no file of an artifact was brought there: {reason}"
    hint = "Make it there, writable for you; or upload the runs from here with `wandb sync`."
    return Problem(base, "staging_unwritable", message, hint)
