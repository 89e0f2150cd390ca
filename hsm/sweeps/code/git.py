"""State of a git repository, asked of git itself: which files are its own, and what was not committed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import TargetError
from hsm.process.runner import CommandTimeoutError, Completed, ProgramMissingError, Runner

_SECONDS = 300  # of a large repository on a busy parallel file system
_SUBMODULE = "160000"
MOST_DIFF_BYTES = 10 * 1024 * 1024
"""Of changes that are kept beside the results; the snapshot has all of them anyway."""


class GitFailedError(TargetError):
    """git does not say what is in a repository."""

    kind = "git_failed"


@dataclass(frozen=True, slots=True)
class GitFiles:
    """Files of a folder as git sees them, relative to it, with `/` at the end of folders.

    Attributes:
        own: Tracked ones that are there, and new ones that are not ignored.
        new: Of these, those that are not tracked.
        ignored: Files and whole folders that git ignores, and repositories that are no submodules.
    """

    own: tuple[str, ...]
    new: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GitState:
    """State of a repository.

    Attributes:
        commit: Of HEAD; empty before the first one.
        branch: Empty where none is checked out.
        changed: Tracked files that differ from the commit.
        diff: `git diff --binary HEAD`; empty where there is none, or far too much.
    """

    commit: str
    branch: str
    changed: tuple[str, ...]
    diff: bytes


class GitRepository:
    """The git repository that a folder lies in."""

    def __init__(self, folder: Path, runner: Runner) -> None:
        self._folder = folder
        self._runner = runner

    def is_there(self) -> bool:
        """Tell whether the folder lies in the work tree of a repository, and there is a git.

        Raises:
            GitFailedError: It does, and git does not work with it, for example since it belongs to somebody else.
        """
        try:
            completed = self._run("rev-parse", "--is-inside-work-tree")
        except ProgramMissingError:
            return False
        if completed.returncode and "not a git repository" not in completed.stderr_text:
            raise self._make_error(completed)
        return completed.returncode == 0 and completed.stdout.strip() == b"true"

    def list_files(self) -> GitFiles:
        """List the files of the folder, those of submodules included.

        Raises:
            GitFailedError: git cannot.
        """
        tracked, submodules = self._list_tracked()
        new = self._list("--others", "--exclude-standard")
        ignored = self._list("--others", "--ignored", "--exclude-standard", "--directory")
        own = [path for path in (*tracked, *new) if not path.endswith("/")]
        ignored += [path for path in new if path.endswith("/")]  # a repository of its own
        new = [path for path in new if not path.endswith("/")]
        for name in submodules:
            if (self._folder / name / ".git").exists():
                inner = GitRepository(self._folder / name, self._runner).list_files()
                own += [f"{name}/{path}" for path in inner.own]
                new += [f"{name}/{path}" for path in inner.new]
                ignored += [f"{name}/{path}" for path in inner.ignored]
        there = [path for path in dict.fromkeys(own) if os.path.lexists(self._folder / path)]
        return GitFiles(tuple(there), tuple(dict.fromkeys(new)), tuple(dict.fromkeys(ignored)))

    def read_state(self) -> GitState:
        """Read commit, branch and changes.

        Raises:
            GitFailedError: git cannot say what was changed.
        """
        head = self._run("rev-parse", "--verify", "--quiet", "HEAD")
        branch = self._run("symbolic-ref", "--quiet", "--short", "HEAD")
        commit = "" if head.returncode else os.fsdecode(head.stdout).strip()
        changed: tuple[str, ...] = ()
        diff = b""
        if commit:
            # No program of the repository's own choice, neither for a diff nor to make text of a file.
            plain = ("--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--", ".")
            changed = tuple(_split(self._ask("diff", "--name-only", "--relative", "-z", *plain).stdout))
            diff = self._ask("diff", "--binary", *plain).stdout if changed else b""
        return GitState(
            commit=commit,
            branch="" if branch.returncode else os.fsdecode(branch.stdout).strip(),
            changed=changed,
            diff=diff if len(diff) <= MOST_DIFF_BYTES else b"",
        )

    def _list_tracked(self) -> tuple[list[str], list[str]]:
        """List the files and the submodules in the index."""
        files: list[str] = []
        submodules: list[str] = []
        for line in _split(self._ask("ls-files", "-z", "--stage").stdout):
            head, _, path = line.partition("\t")
            (submodules if head.startswith(_SUBMODULE) else files).append(path)
        return files, submodules

    def _list(self, *options: str) -> list[str]:
        return _split(self._ask("ls-files", "-z", *options).stdout)

    def _ask(self, *words: str) -> Completed:
        completed = self._run(*words)
        if completed.returncode:
            raise self._make_error(completed)
        return completed

    def _run(self, *words: str) -> Completed:
        # Without its optional locks: a `git commit` of the user's at the same time must not fail.
        argv = ("git", "--no-optional-locks", "-C", str(self._folder), *words)
        try:
            return self._runner.run(argv, timeout_seconds=_SECONDS)
        except CommandTimeoutError as error:
            hint = "Run it again, or take the code as it is with `--code live`."
            raise GitFailedError(f"{error}", hint=hint) from None

    def _make_error(self, completed: Completed) -> GitFailedError:
        lines = completed.stderr_text.strip().splitlines() or [f"exit code {completed.returncode}"]
        return GitFailedError(
            f"git cannot read the repository of {self._folder}: {lines[0]}",
            hint="Make `git status` work there, or take the code as it is with `--code live`.",
            detail="\n".join(lines),
        )


def _split(content: bytes) -> list[str]:
    return [os.fsdecode(name) for name in content.split(b"\0") if name]
