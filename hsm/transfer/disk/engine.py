"""The copy engine: plain copies between folders of this machine, where rsync is missing."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from hsm.config.settings import ReceiveMode
from hsm.errors import DiskError, HsmError, TargetError, WorkspaceGoneError
from hsm.model import Root, SourceFile
from hsm.process.runner import Runner
from hsm.transfer.base import (
    MAX_LOCAL_WORKERS,
    PARTIAL_FOLDER,
    TEMPORARY_FOLDER,
    Batch,
    BatchEnd,
    Capabilities,
    Comparison,
    OnMoved,
    make_workspace_gone_error,
)
from hsm.transfer.complaints import explain_number
from hsm.transfer.disk.content import copy_content, iter_chunks, read_bytes
from hsm.transfer.disk.landing import StrangerError, give_name
from hsm.transfer.modes import choose_mode


class CopyEngine:
    """Implements `hsm.transfer.base.Engine` by reading and writing.

    It does not resume and sends whole files, since both ends are read and written at the speed of the disk. A file is
    not flushed to the disk before it takes its name: rsync does not either, and 100,000 of them would cost minutes on a
    network file system.

    Args:
        runner: Interrupts what runs here too.
        roots: The destination's folders, real paths.
        workspace: Below each root, the folder for files under way (`hsm.transfer.base.make_workspace`).
        update_only: Skip files that are newer at the destination, or have the same size and time there.
        receive_mode: As the target's option says.
    """

    def __init__(
        self,
        runner: Runner,
        roots: Mapping[Root, str],
        *,
        workspace: str,
        update_only: bool = False,
        receive_mode: ReceiveMode = "private",
    ) -> None:
        self._runner = runner.make_child()
        self._roots = roots
        self._workspace = workspace
        self._update_only = update_only
        self._receive_mode: ReceiveMode = receive_mode

    @property
    def capabilities(self) -> Capabilities:
        """See `hsm.transfer.base.Engine.capabilities`."""
        return Capabilities("copy", resumes=False, sends_deltas=False, max_workers=MAX_LOCAL_WORKERS)

    @property
    def time_step_ns(self) -> int:
        """See `hsm.transfer.base.Engine.time_step_ns`."""
        return 1

    def send(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        """See `hsm.transfer.base.Engine.send`."""
        root = self._roots[batch.root]
        state = _State(on_moved)
        for file in batch.files:
            self._runner.sleep(0)  # raises once the user has interrupted
            path = f"{root.rstrip('/')}/{file.path}"
            if self._update_only and _is_as_new(file, path):
                continue
            try:
                self._copy(file, root, batch, state)
            except StrangerError:
                state.strangers.add(file.path)
            except OSError as error:
                state.add_failure(file, error)
                if isinstance(state.error, DiskError | WorkspaceGoneError):
                    break
            else:
                state.add_sent(file)
        return BatchEnd(
            state.error is None, frozenset(state.sent), dict(state.complaints), state.error, frozenset(state.strangers)
        )

    def compare(self, batch: Batch) -> Comparison:
        """See `hsm.transfer.base.Engine.compare`; byte by byte."""
        root = self._roots[batch.root]
        different: set[str] = set()
        missing: set[str] = set()
        for file in batch.files:
            try:
                if self._differs(_get_source_path(file), f"{root.rstrip('/')}/{file.path}"):
                    different.add(file.path)
            except _MissingThereError:
                missing.add(file.path)
            except OSError as error:
                raise _explain(error, file) from error
        return Comparison(frozenset(different), frozenset(missing))

    def stop(self) -> None:
        """See `hsm.transfer.base.Engine.stop`."""
        self._runner.stop()

    def _copy(self, file: SourceFile, root: str, batch: Batch, state: _State) -> None:
        """Write beside, check, and rename; a failure leaves nothing under the final name that was not there."""
        path = f"{root.rstrip('/')}/{file.path}"
        temporary = f"{root.rstrip('/')}/{batch.get_workspace(self._workspace)}/{secrets.token_hex(6)}"
        with open(_get_source_path(file), "rb", buffering=0) as source:  # noqa: PTH123 - bytes that are no UTF-8 stay
            folder, _, name = file.path.rpartition("/")
            has_parts = state.make_folders(root, folder)
            status = os.fstat(source.fileno())
            descriptor = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _choose_mode(status, path, self._receive_mode)
            )
            try:
                with os.fdopen(descriptor, "wb", buffering=0) as copy:
                    copy_content(source.fileno(), copy.fileno(), status, check=self._check, on_bytes=state.add_bytes)
                # Size and time before the name: a final name with both is a whole file.
                os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
                # Not flushed to the disk: rsync does not do that either, and 100,000 times it would cost minutes on a
                # network file system.
                give_name(temporary, root, file, batch.seen)
                if has_parts:
                    _drop_part(root, folder, name)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):  # gone where another process took the lock over
                    os.unlink(temporary)  # noqa: PTH108 - as above
                raise

    def _check(self) -> None:
        """Raise once the user has interrupted."""
        self._runner.sleep(0)

    def _differs(self, here: str, there: str) -> bool:
        with open(here, "rb", buffering=0) as source:  # noqa: PTH123 - as above
            try:
                copy = open(there, "rb", buffering=0)  # noqa: PTH123, SIM115 - closed below
            except FileNotFoundError as error:
                raise _MissingThereError from error
            with copy:
                if os.fstat(source.fileno()).st_size != os.fstat(copy.fileno()).st_size:
                    return True
                for chunk in iter_chunks(source.fileno(), check=self._check):
                    if read_bytes(copy.fileno(), len(chunk)) != chunk:
                        return True
                return bool(os.read(copy.fileno(), 1))


class _MissingThereError(Exception):
    """The destination does not have the file."""


@dataclass(slots=True)
class _State:
    """The progress of one call of `send`."""

    on_moved: OnMoved
    n_bytes: int = 0
    sent: set[str] = field(default_factory=set)
    complaints: dict[str, str] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    error: HsmError | None = None
    folders: dict[str, bool] = field(default_factory=dict)

    def make_folders(self, root: str, folder: str) -> bool:
        """Make a folder of the destination, once; whether rsync left parts of files in it."""
        if folder not in self.folders:
            _make_folders(root, folder)
            parts = f"{root}/{folder}/{PARTIAL_FOLDER}"
            self.folders[folder] = os.path.isdir(parts) and not os.path.islink(parts)  # noqa: PTH112, PTH114 - as above
        return self.folders[folder]

    def add_bytes(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes
        self.on_moved(self.n_bytes, len(self.sent))

    def add_sent(self, file: SourceFile) -> None:
        self.sent.add(file.path)
        self.on_moved(self.n_bytes, len(self.sent))

    def add_failure(self, file: SourceFile, error: OSError) -> None:
        """Keep what is said of the file, and the error that says most of the whole."""
        self.complaints[file.path] = error.strerror or str(error)
        explained = _explain(error, file)
        if self.error is None or isinstance(explained, DiskError | WorkspaceGoneError):
            self.error = explained


def _explain(error: OSError, file: SourceFile) -> TargetError:
    if error.errno == errno.ENOENT and error.filename == _get_source_path(file):
        return TargetError("A file vanished while it was sent.", hint="Run the same command again.", kind="vanished")
    if error.errno == errno.ENOENT and TEMPORARY_FOLDER in os.fsdecode(error.filename or ""):
        return make_workspace_gone_error("on this machine", detail=str(error))
    is_making = error.filename is not None  # `os.write` names no file
    known = explain_number(error.errno or 0, "on this machine", is_making=is_making)
    if known is not None:
        known.detail = str(error)
        return known
    return TargetError(
        f"{file.path} could not be copied: {error.strerror or error}.",
        hint="Look at the two files, then run the same command again.",
        kind="copy_failed",
        detail=str(error),
    )


def _get_source_path(file: SourceFile) -> str:
    return f"{file.prefix.rstrip('/')}/{file.path}"


def _is_as_new(file: SourceFile, path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    is_same = status.st_size == file.size and status.st_mtime_ns == file.mtime_ns
    return is_same or status.st_mtime_ns > file.mtime_ns


def _choose_mode(source: os.stat_result, path: str, receive_mode: ReceiveMode) -> int:
    try:
        there = os.lstat(path)
    except OSError:
        return choose_mode(source.st_mode, None, receive_mode)
    return choose_mode(source.st_mode, there.st_mode if stat.S_ISREG(there.st_mode) else None, receive_mode)


def _make_folders(root: str, folder: str) -> None:
    """Make a folder below the root, which is there, without walking through a symlink."""
    path = root.rstrip("/")
    for name in folder.split("/") if folder else ():
        path = f"{path}/{name}"
        try:
            os.mkdir(path)  # noqa: PTH102 - bytes that are no UTF-8 stay as they are
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None


def _drop_part(root: str, folder: str, name: str) -> None:
    """Remove what rsync kept of a file that is whole, and the folder of such parts once it is empty."""
    parts = f"{root}/{folder}/{PARTIAL_FOLDER}"
    with contextlib.suppress(OSError):
        os.unlink(f"{parts}/{name}")  # noqa: PTH108 - as above
        os.rmdir(parts)  # noqa: PTH106 - as above
