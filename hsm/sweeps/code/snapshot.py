"""Snapshot of a project's code in `.hsm/code/<hash>`, where the tasks of a sweep start.

Files are copied, those that did not change are hard links to the last snapshot, and what git ignores is a symlink to
the project's own. The hash is of the content, so the same code is one snapshot however many sweeps run it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from hsm.errors import TargetError, UsageError
from hsm.file_errors import explain_os_error
from hsm.files import make_private_folder
from hsm.project_folder import ProjectFolder
from hsm.sweeps.code.listing import SnapshotListing
from hsm.sweeps.code.manifest import SnapshotFile, SnapshotManifest, is_untouched, read_file
from hsm.units import format_bytes

MOST_BYTES = 2 * 1000**3
"""Of all files together; more is data."""

_MOST_TRIES = 3
_HASH = re.compile(r"[0-9a-f]{20}")


class SnapshotFailedError(TargetError):
    """A snapshot of the code cannot be made."""

    kind = "snapshot_failed"


class _ChangedError(Exception):
    """A file changed while it was copied."""


class SnapshotStore:
    """The snapshots of a project.

    Attributes:
        folder: Which holds them.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self.folder = ProjectFolder(project).snapshots

    def take(self, listing: SnapshotListing) -> str:
        """Make a snapshot, unless the same one is there, and return its hash.

        Nothing is left behind where it fails. A file of an older snapshot that somebody changed is made anew.

        Raises:
            SnapshotFailedError: A file cannot be read or written, or the code changes all the time.
            UsageError: It is far too large (kind `too_much_code`).
        """
        try:
            make_private_folder(self.folder)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
            for _ in range(_MOST_TRIES):
                manifest = self._read(listing)
                with contextlib.suppress(_ChangedError):
                    return self._place(manifest)
        except OSError as error:
            raise self._make_error(error) from None
        raise SnapshotFailedError(
            "No snapshot of the code can be made: files change while they are copied",
            hint="Wait until what writes to them is done, or have git ignore them.",
        )

    def find_hash(self, listing: SnapshotListing) -> str:
        """Return the hash that a snapshot would have now; nothing is written.

        Raises:
            SnapshotFailedError: A file cannot be read.
            UsageError: It is far too large (kind `too_much_code`).
        """
        try:
            return self._read(listing).make_hash()
        except OSError as error:
            raise self._make_error(error) from None

    def place(self, name: str) -> Path:
        """Return the folder of a snapshot."""
        return self.folder / name

    def remove(self, name: str) -> None:
        """Remove a snapshot; what it links to stays.

        Raises:
            OSError: It cannot be removed.
        """
        if not _HASH.fullmatch(name):
            raise ValueError(f"{name!r} is no snapshot")
        aside = self.folder / f".hsm-{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):
            self.place(name).rename(aside)  # at once: nobody shall find half of it
            shutil.rmtree(aside)
        self._record(name).unlink(missing_ok=True)

    def _make_error(self, error: OSError) -> SnapshotFailedError:
        place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else self.folder
        reason, hint = explain_os_error(error, place)
        return SnapshotFailedError(f"No snapshot of the code can be made: {place}: {reason}", hint=hint)

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _read(self, listing: SnapshotListing) -> SnapshotManifest:
        """Read what the code is now."""
        files: dict[str, SnapshotFile] = {}
        for path in listing.files:
            try:
                files[path] = self._adapt(path, read_file(self._project / path))
            except FileNotFoundError:  # deleted since git listed it
                continue
        size = sum(file.size for file in files.values())
        if size > MOST_BYTES:
            largest = max(files, key=lambda path: files[path].size)
            raise UsageError(
                f"A snapshot of the code would have {format_bytes(size)}; the largest file is {largest}",
                hint="Have git ignore data and results (.gitignore), or use `--code live`.",
                kind="too_much_code",
            )
        return SnapshotManifest(files, listing.links)

    def _adapt(self, path: str, file: SnapshotFile) -> SnapshotFile:
        """Let a relative symlink that leads out of the project lead to the same place from the snapshot."""
        if file.mode or file.content.startswith("/"):
            return file
        lands = os.path.normpath(f"{os.path.dirname(path) or '.'}/{file.content}")  # noqa: PTH120 - text alone
        if lands != ".." and not lands.startswith("../"):
            return file
        return file._replace(content=os.path.normpath(f"{self._project}/{lands}"))

    def _place(self, manifest: SnapshotManifest) -> str:
        name = manifest.make_hash()
        target = self.place(name)
        if target.is_dir():
            self._repair(target, SnapshotManifest.load(self._record(name)), manifest)
            return name
        beside = self.folder / f".hsm-{secrets.token_hex(8)}"
        former, shared = self._find_last()
        try:
            beside.mkdir(mode=0o755)
            made = {
                path: self._make(path, file, beside, former, shared.get(path)) for path, file in manifest.files.items()
            }
            for path in manifest.links:
                self._link(path, beside)
            # The record first: a snapshot without one could never be checked.
            SnapshotManifest(made, manifest.links).save(self._record(name))
            with contextlib.suppress(FileExistsError):
                _rename_new(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return name

    def _find_last(self) -> tuple[Path, Mapping[str, SnapshotFile]]:
        """Find the newest snapshot and its files."""
        records = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for record in records:
            if record.with_suffix("").is_dir():
                return record.with_suffix(""), SnapshotManifest.load(record).files
        return self.folder, {}

    def _make(
        self, path: str, file: SnapshotFile, folder: Path, former: Path, shared: SnapshotFile | None
    ) -> SnapshotFile:
        """Make one file in a new folder, as a link to the last snapshot's where that is the same, and return it."""
        to = folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        if not file.mode:
            to.symlink_to(file.content)
            return file
        is_same = shared is not None and (shared.content, shared.mode) == (file.content, file.mode)
        if shared is not None and is_same and is_untouched(former / path, shared):
            # Not every file system has links, and each has a most of them for one file.
            with contextlib.suppress(OSError):
                os.link(former / path, to)
                return shared
        return self._copy(path, file, to)

    def _copy(self, path: str, file: SnapshotFile, to: Path) -> SnapshotFile:
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            found = read_file(self._project / path, copy=descriptor)
            if (found.content, found.mode) != (file.content, file.mode):
                raise _ChangedError
            os.fchmod(descriptor, file.mode)
            os.utime(descriptor, ns=(file.mtime_ns, file.mtime_ns))
            # As it was kept: many file systems keep less than nanoseconds.
            return file._replace(mtime_ns=os.fstat(descriptor).st_mtime_ns)
        finally:
            os.close(descriptor)

    def _link(self, path: str, folder: Path) -> None:
        to = folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        # The new folder takes its name later, beside where it is made: the way back is as long from both.
        to.symlink_to(os.path.relpath(self._project / path, to.parent))

    def _repair(self, folder: Path, kept: SnapshotManifest, wanted: SnapshotManifest) -> None:
        """Make files of a snapshot anew that are not what they were."""
        for path, file in wanted.files.items():
            if is_untouched(folder / path, kept.files.get(path, file)):
                continue
            beside = folder / path
            beside = beside.with_name(f".hsm-{secrets.token_hex(8)}")
            beside.parent.mkdir(parents=True, exist_ok=True)
            if file.mode:
                self._copy(path, file, beside)
            else:
                beside.symlink_to(file.content)
            beside.replace(folder / path)
        for path in wanted.links:
            if not (folder / path).is_symlink():
                self._link(path, folder)


def _rename_new(folder: Path, target: Path) -> None:
    """Rename a folder to a name that is free.

    Raises:
        FileExistsError: It is taken; another process made the same snapshot meanwhile.
    """
    try:
        folder.rename(target)
    except OSError as error:
        if target.is_dir():  # "not empty" has several numbers
            raise FileExistsError(error.errno, error.strerror, str(target)) from None
        raise
