"""The rsync engine: over SSH in either direction, or between folders of this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from hsm.errors import HsmError, SessionsRefusedError, UnexplainedError, UnreachableError
from hsm.model import Root
from hsm.process.runner import CommandTooLongError, Completed, ProgramMissingError, Runner, WaitingProgram
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.shell import quote_path
from hsm.transfer.base import (
    TEMPORARY_FOLDER,
    Batch,
    BatchEnd,
    Capabilities,
    Comparison,
    OnMoved,
    get_temporary_folder,
)
from hsm.transfer.rsync.command import (
    OutputReader,
    RsyncCall,
    StreamDirection,
    make_argv,
    make_file_list,
    make_names,
    parse_comparison,
)
from hsm.transfer.rsync.diagnosis import diagnose_rsync, find_complaints
from hsm.transfer.rsync.versions import choose_compression, make_missing_here_error

MAX_LOCAL_WORKERS = 8

MAX_LIST_BYTES = 32 * 1024
"""A sending rsync reads a longer list so slowly, byte by byte, that a stream that is open already is no gain."""

PART_BYTES = 1024 * 1024
"""Of smaller files nothing is kept when they are cut off; looking for their parts costs more."""


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
        to_openrsync: The other end is openrsync.
        compress: As the target's option says.
        compressions: What both ends know.
        round_trip_seconds: Of the link the last time, until it is measured.
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
        to_openrsync: bool = False,
        compress: str = "none",
        compressions: Sequence[str] = (),
        round_trip_seconds: float | None = None,
    ) -> None:
        self._runner = runner.make_child()
        self._roots = roots
        self._sweep = sweep
        self._ssh = ssh
        self._direction = (
            StreamDirection.LOCAL if ssh is None else StreamDirection.PULL if pulls else StreamDirection.PUSH
        )
        self._program = rsync_path or "rsync"
        self._rsync_path = quote_path(rsync_path) if rsync_path else ""
        self._protocol = protocol
        self._skips_newer = skips_newer
        self._has_fine_times = has_fine_times
        self._to_openrsync = to_openrsync
        self._compress = compress
        self._compressions = compressions
        self._known_round_trip_seconds = round_trip_seconds
        self._begun: dict[Root, WaitingProgram] = {}

    @property
    def capabilities(self) -> Capabilities:
        """See `hsm.transfer.base.Engine.capabilities`."""
        return Capabilities(
            "rsync",
            resumes=True,
            sends_deltas=self._direction is not StreamDirection.LOCAL,
            max_workers=self._ssh.max_workers if self._ssh else MAX_LOCAL_WORKERS,
            round_trip_seconds=self._round_trip_seconds,
            compression=self._choose_compression(),
            max_name_bytes=None if self._direction is StreamDirection.PULL else get_max_name_bytes(),
        )

    def begin(self, roots: Sequence[Root]) -> None:
        """Open a stream to each of these folders before it is known what to send there.

        `send` uses it for what a short list can name. Until then the other end has been told nothing but the folder.

        Raises:
            HsmError: There is no rsync here, or no login.
        """
        for root in roots:
            try:
                self._begun[root] = self._runner.start(make_argv(self._make_call(root)))
            except ProgramMissingError as error:
                raise make_missing_here_error() from error

    def send(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        """See `hsm.transfer.base.Engine.send`."""
        reader = OutputReader()

        def read(chunk: bytes) -> None:
            reader.read(chunk)
            on_moved(reader.n_bytes, max(0, len(reader.sent) - 1))

        try:
            completed = self._stream(self._make_call(batch.root), batch, read)
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
        if isinstance(error, SessionsRefusedError) and self._ssh is not None and self._ssh.close_shell():
            return self.send(batch, on_moved)
        return BatchEnd(is_clean=False, sent=sent, complaints=find_complaints(text, batch.files), error=error)

    def compare(self, batch: Batch) -> Comparison:
        """See `hsm.transfer.base.Engine.compare`."""
        output = bytearray()
        try:
            completed = self._stream(replace(self._make_call(batch.root), compares=True), batch, output.extend)
        except ProgramMissingError as error:
            raise make_missing_here_error() from error
        if completed.returncode != 0:
            raise self._explain(completed.returncode, completed.stderr_text)
        different, missing = parse_comparison(bytes(output))
        return Comparison(frozenset(different), frozenset(missing))

    def stop(self) -> None:
        """See `hsm.transfer.base.Engine.stop`."""
        self._runner.stop()
        while self._begun:
            self._begun.popitem()[1].end()

    @property
    def _name(self) -> str:
        return self._ssh.name if self._ssh else "this machine"

    def _stream(self, call: RsyncCall, batch: Batch, on_output: Callable[[bytes], None]) -> Completed:
        begun = self._begun.pop(batch.root, None) if not call.compares else None
        if begun is not None:
            content = make_file_list(batch.files)
            if len(content) < MAX_LIST_BYTES and begun.is_running:
                return begun.finish(content, on_output)
            begun.end()
        call = replace(call, keeps_parts=any(file.size >= PART_BYTES for file in batch.files))
        if names := make_names(batch.files, self._direction, max_bytes=get_max_name_bytes()):
            with contextlib.suppress(CommandTooLongError):
                return self._runner.stream(make_argv(replace(call, names=names)), stdin=b"", on_output=on_output)
        return self._runner.stream(make_argv(call), stdin=make_file_list(batch.files), on_output=on_output)

    def _explain(self, returncode: int, text: str) -> HsmError:
        command_line = self._ssh.program.command_line if self._ssh else ""
        error = diagnose_rsync(
            returncode,
            text,
            name=self._name,
            ssh_command=command_line,
            pulls=self._direction is StreamDirection.PULL,
            rsync_path=self._program,
            noise=self._ssh.noise if self._ssh else b"",
        )
        if self._ssh is None or not isinstance(error, UnreachableError):
            return error
        by_ssh = self._ssh.program.explain(text)
        if not isinstance(by_ssh, SessionsRefusedError):
            self._ssh.forget_login()
        return error if isinstance(by_ssh, UnexplainedError) else by_ssh

    def _make_call(self, root: Root) -> RsyncCall:
        return RsyncCall(
            direction=self._direction,
            destination=self._roots[root],
            temporary=self._make_temporary(root),
            address=self._ssh.program.address if self._ssh else "",
            ssh_argv=tuple(self._ssh.make_session_argv()) if self._ssh else (),
            rsync_path=self._rsync_path,
            protocol=self._protocol,
            skips_newer=self._skips_newer,
            has_fine_times=self._has_fine_times,
            to_openrsync=self._to_openrsync,
            compression=self._choose_compression(),
        )

    def _choose_compression(self) -> str:
        if self._ssh is None:
            return ""
        return choose_compression(self._compress, self._compressions, round_trip_seconds=self._round_trip_seconds)

    @property
    def _round_trip_seconds(self) -> float | None:
        return (self._ssh.round_trip_seconds if self._ssh else None) or self._known_round_trip_seconds

    def _make_temporary(self, root: Root) -> str:
        """Relative to the destination; openrsync looks from where it was started."""
        folder = get_temporary_folder(self._roots[root], self._sweep)
        return folder if self._to_openrsync else f"{TEMPORARY_FOLDER}/{self._sweep}"


@cache
def get_max_name_bytes() -> int:
    """Half of what this system lets a command line and its environment take (2 MiB on Linux, 1 MiB on macOS)."""
    environment = sum(len(name) + len(value) + 10 for name, value in os.environb.items())
    return max(0, os.sysconf("SC_ARG_MAX") // 2 - environment)
