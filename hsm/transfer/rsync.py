"""The rsync engine: over SSH in either direction, or between folders of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hsm.errors import HsmError, TargetError, UnreachableError
from hsm.model import Root
from hsm.remote.command import ProgramMissingError, Runner
from hsm.remote.openssh import OpenSsh
from hsm.remote.shell import quote_path
from hsm.transfer.base import (
    Batch,
    BatchEnd,
    Capabilities,
    Comparison,
    OnMoved,
    get_temporary_folder,
)
from hsm.transfer.rsync_command import (
    MIN_VERSION,
    Direction,
    OutputReader,
    RsyncCall,
    RsyncVersion,
    make_argv,
    make_file_list,
    parse_comparison,
    parse_version,
)
from hsm.transfer.rsync_diagnosis import diagnose_rsync, find_complaints

FINE_TIMES_VERSION = (3, 1, 3)
"""From here on a receiver compares times to the nanosecond (`--modify-window=-1`)."""

MAX_WORKERS = 8
"""sshd allows ten sessions over one login by default; two stay free for HSM's own."""


class RsyncEngine:
    """Keeps `hsm.transfer.base.Engine` with rsync.

    Args:
        runner: Starts the processes.
        roots: The destination's folders, real paths.
        sweep: Whose files are sent.
        ssh: The client of the remote end, or None for a copy within this machine.
        pulls: The source is the remote end.
        rsync_path: The program at the remote end, as configured.
        protocol: The lower protocol of both ends, see `check_versions`.
        skips_newer: Leave what is newer at the destination.
        has_fine_times: Both ends compare times to the nanosecond.
    """

    def __init__(
        self,
        runner: Runner,
        roots: Mapping[Root, str],
        *,
        sweep: str,
        ssh: OpenSsh | None = None,
        pulls: bool = False,
        rsync_path: str | None = None,
        protocol: int = 30,
        skips_newer: bool = False,
        has_fine_times: bool = True,
    ) -> None:
        self._runner = runner.make_child()
        self._roots = roots
        self._sweep = sweep
        self._ssh = ssh
        self._direction = Direction.LOCAL if ssh is None else Direction.PULL if pulls else Direction.PUSH
        self._program = rsync_path or "rsync"
        self._rsync_path = quote_path(rsync_path) if rsync_path else ""
        self._protocol = protocol
        self._skips_newer = skips_newer
        self._has_fine_times = has_fine_times

    @property
    def capabilities(self) -> Capabilities:
        """See `hsm.transfer.base.Engine.capabilities`."""
        return Capabilities(
            "rsync",
            resumes=True,
            sends_deltas=self._direction is not Direction.LOCAL,
            max_workers=MAX_WORKERS,
        )

    def send(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        """See `hsm.transfer.base.Engine.send`."""
        reader = OutputReader()

        def read(chunk: bytes) -> None:
            reader.read(chunk)
            on_moved(reader.n_bytes, max(0, len(reader.sent) - 1))

        try:
            argv = make_argv(self._make_call(batch.root))
            completed = self._runner.stream(argv, stdin=make_file_list(batch.files), on_output=read)
        except HsmError as failure:
            return BatchEnd(is_clean=False, error=failure)
        except ProgramMissingError:
            return BatchEnd(is_clean=False, error=make_missing_here_error())
        sent = frozenset(reader.sent)
        if completed.returncode == 0:
            on_moved(reader.n_bytes, len(sent))
            return BatchEnd(is_clean=True, sent=sent)
        text = completed.stderr_text
        error = self._explain(completed.returncode, text)
        return BatchEnd(is_clean=False, sent=sent, complaints=find_complaints(text, batch.files), error=error)

    def compare(self, batch: Batch) -> Comparison:
        """See `hsm.transfer.base.Engine.compare`."""
        output = bytearray()
        argv = make_argv(replace(self._make_call(batch.root), compares=True))
        try:
            completed = self._runner.stream(argv, stdin=make_file_list(batch.files), on_output=output.extend)
        except ProgramMissingError as error:
            raise make_missing_here_error() from error
        if completed.returncode != 0:
            raise self._explain(completed.returncode, completed.stderr_text)
        different, missing = parse_comparison(bytes(output))
        return Comparison(frozenset(different), frozenset(missing))

    def stop(self) -> None:
        """See `hsm.transfer.base.Engine.stop`."""
        self._runner.stop()

    @property
    def _name(self) -> str:
        return self._ssh.name if self._ssh else "this machine"

    def _explain(self, returncode: int, text: str) -> HsmError:
        command_line = self._ssh.command_line if self._ssh else ""
        error = diagnose_rsync(
            returncode,
            text,
            name=self._name,
            ssh_command=command_line,
            pulls=self._direction is Direction.PULL,
            rsync_path=self._program,
            noise=self._ssh.noise if self._ssh else b"",
        )
        if self._ssh is None or not isinstance(error, UnreachableError):
            return error
        self._ssh.forget_login()
        by_ssh = self._ssh.explain(text)
        return error if by_ssh.kind == "unreachable" else by_ssh

    def _make_call(self, root: Root) -> RsyncCall:
        return RsyncCall(
            direction=self._direction,
            destination=self._roots[root],
            temporary=get_temporary_folder(self._roots[root], self._sweep),
            address=self._ssh.address if self._ssh else "",
            ssh_argv=tuple(self._ssh.make_session_argv()) if self._ssh else (),
            rsync_path=self._rsync_path,
            protocol=self._protocol,
            skips_newer=self._skips_newer,
            has_fine_times=self._has_fine_times,
        )


def read_local_version(runner: Runner) -> RsyncVersion:
    """Ask this machine's rsync for its version.

    Raises:
        TargetError: There is none, or it is too old or another program.
    """
    try:
        completed = runner.run(["rsync", "--version"], timeout_seconds=20)
    except ProgramMissingError as error:
        raise make_missing_here_error() from error
    return _check_version(completed.stdout.decode("utf-8", "replace").partition("\n")[0], "on this machine")


def check_remote_version(line: str, *, name: str) -> RsyncVersion:
    """Check the rsync that the survey found at a target.

    Raises:
        TargetError: There is none, or it is too old or another program.
    """
    if not line:
        raise TargetError(
            f"There is no rsync at {name}.",
            hint="Install it there, or name it with `rsync_path` in the target's configuration.",
            kind="rsync_missing",
        )
    return _check_version(line, f"at {name}")


def make_missing_here_error() -> TargetError:
    """The error for a machine without rsync."""
    return TargetError(
        "There is no rsync on this machine.",
        hint="Install it, for example `apt-get install rsync` or `brew install rsync`.",
        kind="rsync_missing_here",
    )


def _check_version(line: str, place: str) -> RsyncVersion:
    version = parse_version(line)
    if version is None or version.version < MIN_VERSION:
        raise TargetError(
            f"The rsync {place} cannot be used: {line.strip() or 'it names no version'}.",
            hint="HSM needs samba's rsync from 3.1.0 on; name another one with `rsync_path`.",
            kind="rsync_too_old",
        )
    return version
