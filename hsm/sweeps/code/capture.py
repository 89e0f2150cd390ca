"""Code of a sweep: a snapshot where the project is a git repository, else the project as it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hsm.errors import UsageError
from hsm.prepared_sweep.document import SweepCode
from hsm.process.runner import Runner
from hsm.sweeps.code.git import GitRepository, GitState
from hsm.sweeps.code.listing import SnapshotListing, choose_files
from hsm.sweeps.code.snapshot import SnapshotStore

_MOST_NAMES = 200


class CodeChoice(str, Enum):
    """Code that tasks are to run."""

    AUTO = "auto"
    SNAPSHOT = "snapshot"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class CapturedCode:
    """Code of a sweep.

    Attributes:
        code: As the prepared sweep has it.
        folder: That tasks start in.
        text: What is told of the repository; empty without one.
        diff: The changes that were not committed.
        n_files: Of the snapshot; 0 without one.
    """

    code: SweepCode
    folder: Path
    text: str = ""
    diff: bytes = b""
    n_files: int = 0


def capture_code(project: Path, *, outputs: str, choice: CodeChoice, runner: Runner, dry_run: bool) -> CapturedCode:
    """Take a snapshot of a project's code, or say that there is none to take.

    Args:
        project: Its folder.
        outputs: The folder of the sweeps' folders, relative to it.
        choice: What the user asks for.
        runner: Runs git.
        dry_run: Nothing is written; the folder is the one that the snapshot would have.

    Raises:
        UsageError: A snapshot is asked for and this is no git repository (kind `no_repository`), or it is too large.
        TargetError: git fails, or the snapshot does.
    """
    if choice is CodeChoice.LIVE:
        return CapturedCode(SweepCode(), project)
    repository = GitRepository(project, runner)
    if not repository.is_there():
        if choice is CodeChoice.AUTO:
            return CapturedCode(SweepCode(), project)
        raise UsageError(
            f"{project} is no git repository, so that nobody can say what is code there",
            hint="`git init`, or take the code as it is with `--code live`.",
            kind="no_repository",
        )
    found = repository.list_files()
    listing = choose_files(found, outputs=outputs)
    state = repository.read_state()
    store = SnapshotStore(project)
    name = store.find_hash(listing) if dry_run else store.take(listing)
    is_changed = bool(state.changed or not set(found.new).isdisjoint(listing.files))
    return CapturedCode(
        code=SweepCode(name, state.commit, is_changed),
        folder=store.place(name),
        text=_describe(state, listing, frozenset(found.new), name),
        diff=state.diff,
        n_files=len(listing.files),
    )


def _describe(state: GitState, listing: SnapshotListing, new: frozenset[str], name: str) -> str:
    untracked = [path for path in listing.files if path in new]
    lines = [
        f"Commit: {state.commit or 'none yet'}",
        f"Branch: {state.branch or 'none'}",
        f"Snapshot: .hsm/code/{name}",
    ]
    for title, paths in (("Changed", state.changed), ("New", untracked), ("Linked", listing.links)):
        lines += [f"{title}: {path if path.isprintable() else ascii(path)}" for path in paths[:_MOST_NAMES]]
        if len(paths) > _MOST_NAMES:
            lines.append(f"{title}: {len(paths) - _MOST_NAMES} more")
    if state.changed and not state.diff:
        lines.append("The changes are too large to be kept here; the snapshot has them.")
    return "\n".join(lines) + "\n"
