"""The rsync engine: over SSH in either direction, or between folders of this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from hsm.errors import HsmError, SessionsRefusedError, UnexplainedError, UnreachableError
from hsm.model import Root
from hsm.plan.disk.file_system import SECOND_NS
from hsm.process.runner import CommandTooLongError, Completed, ProgramMissingError, Runner, WaitingProgram
from hsm.remote.openssh.client import OpenSsh
from hsm.transfer.base import MAX_LOCAL_WORKERS, Batch, BatchEnd, Capabilities, Comparison, OnMoved, Replacing
from hsm.transfer.rsync.command import RsyncCall, make_argv, make_file_list, make_names
from hsm.transfer.rsync.diagnosis import diagnose_rsync, find_complaints
from hsm.transfer.rsync.output import OutputReader, parse_comparison
from hsm.transfer.rsync.setup import RsyncSetup, StreamDirection
from hsm.transfer.rsync.versions import FINE_TIMES_PROTOCOL, choose_compression, make_missing_here_error

MAX_LIST_BYTES = 32 * 1024
"""A sending rsync reads a longer list so slowly, byte by byte, that a stream that is open already is no gain."""

PULLED_NAME_BYTES = 256 * 1024
"""About 2,300 names. A receiving rsync looks for each name that comes in the list of those that it has asked for, from
its beginning (3.2.5 and later, `exclude.c`, `implied_filter_list`): 1,750 files of 10 kB took 0.4 s, 14,000 took 6.1 s,
where `-r` takes 1.1 s. `--trust-sender` would let a target write names that no plan has."""

KEPT_PART_BYTES = 1024 * 1024
"""Of smaller files nothing is kept when they are cut off; looking for their parts costs more."""


class RsyncEngine:
    """Implements `hsm.transfer.base.Engine` with rsync.

    Args:
        runner: Starts the processes.
        setup: Of the transfer.
        ssh: The client of the remote end, or None for a copy within this machine.
    """

    def __init__(self, runner: Runner, setup: RsyncSetup, ssh: OpenSsh | None = None) -> None:
        self._runner = runner.make_child()
        self._setup = setup
        self._ssh = ssh
        self._begun: dict[Root, WaitingProgram] = {}

    @property
    def capabilities(self) -> Capabilities:
        """See `hsm.transfer.base.Engine.capabilities`."""
        direction = self._setup.direction
        return Capabilities(
            "rsync",
            resumes=True,
            sends_deltas=direction is not StreamDirection.LOCAL,
            max_workers=self._ssh.max_workers if self._ssh else MAX_LOCAL_WORKERS,
            round_trip_seconds=self._round_trip_seconds,
            compression=self._choose_compression(),
            replacing=Replacing.KEEPS if self._setup.keeps_replaced else Replacing.BLIND,
            follows_links=self._setup.follows_links,
            max_name_bytes=PULLED_NAME_BYTES if direction is StreamDirection.PULL else get_max_name_bytes(),
        )

    @property
    def time_step_ns(self) -> int:
        """See `hsm.transfer.base.Engine.time_step_ns`."""
        return 1 if self._setup.pair.protocol >= FINE_TIMES_PROTOCOL else SECOND_NS

    def begin(self, roots: Sequence[Root]) -> None:
        """Open a stream to each of these folders before it is known what to send there.

        `send` uses it for a batch that a short list can name. Until then the other end has been told nothing but the
        folder.

        Raises:
            HsmError: There is no rsync here, or no login.
        """
        for root in roots:
            try:
                self._begun[root] = self._runner.start(make_argv(self._make_call(root, self._setup.workspace)))
            except ProgramMissingError as error:
                raise make_missing_here_error() from error

    def send(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        """See `hsm.transfer.base.Engine.send`."""
        reader = OutputReader()

        def read(chunk: bytes) -> None:
            reader.read(chunk)
            on_moved(reader.n_bytes, max(0, len(reader.sent) - 1))  # the last name is of the file under way

        try:
            completed = self._stream(self._make_batch_call(batch), batch, read)
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
        if self._makes_room(error):
            return self.send(batch, on_moved)
        return BatchEnd(is_clean=False, sent=sent, complaints=find_complaints(text, batch.files), error=error)

    def compare(self, batch: Batch) -> Comparison:
        """See `hsm.transfer.base.Engine.compare`."""
        output = bytearray()
        try:
            completed = self._stream(replace(self._make_batch_call(batch), compares=True), batch, output.extend)
        except ProgramMissingError as error:
            raise make_missing_here_error() from error
        if completed.returncode != 0:
            failure = self._explain(completed.returncode, completed.stderr_text)
            if self._makes_room(failure):
                return self.compare(batch)
            raise failure
        different, missing = parse_comparison(bytes(output))
        return Comparison(frozenset(different), frozenset(missing))

    def stop(self) -> None:
        """See `hsm.transfer.base.Engine.stop`."""
        self._runner.stop()
        while self._begun:
            self._begun.popitem()[1].end()

    def _stream(self, call: RsyncCall, batch: Batch, on_output: Callable[[bytes], None]) -> Completed:
        keeps_holes = batch.is_sparse and self._setup.keeps_holes
        begun = self._begun.pop(batch.root, None) if not (call.compares or batch.base or keeps_holes) else None
        if begun is not None:
            content = make_file_list(batch.files)
            # It was opened for a list; a longer one is quicker as names of another rsync.
            if len(content) < MAX_LIST_BYTES and begun.is_running:
                return begun.finish(content, on_output)
            begun.end()
        keeps_parts = any(file.size >= KEPT_PART_BYTES for file in batch.files)
        keeps_parts = keeps_parts and not (keeps_holes and self._setup.tears_sparse_parts)
        call = replace(call, keeps_parts=keeps_parts, keeps_holes=keeps_holes)
        if names := make_names(batch.files, self._setup.direction, max_bytes=get_max_name_bytes()):
            # The system may give a command less room than it says.
            with contextlib.suppress(CommandTooLongError):
                return self._runner.stream(make_argv(replace(call, names=names)), stdin=b"", on_output=on_output)
        return self._runner.stream(make_argv(call), stdin=make_file_list(batch.files), on_output=on_output)

    def _makes_room(self, error: HsmError) -> bool:
        """Close the open shell after a session was refused: at MaxSessions 1 the worker takes its place."""
        return isinstance(error, SessionsRefusedError) and self._ssh is not None and self._ssh.close_shell()

    def _explain(self, returncode: int, text: str) -> HsmError:
        ssh = self._ssh
        error = diagnose_rsync(
            returncode,
            text,
            name=ssh.name if ssh else "this machine",
            ssh_command=ssh.program.command_line if ssh else "",
            pulls=self._setup.direction is StreamDirection.PULL,
            rsync_path=self._setup.rsync_path or "rsync",
            noise=ssh.noise if ssh else b"",
        )
        if ssh is None or not isinstance(error, UnreachableError):
            return error
        by_ssh = ssh.program.explain(text)
        if not isinstance(by_ssh, SessionsRefusedError):  # which says that the login stands
            ssh.forget_login()
        return error if isinstance(by_ssh, UnexplainedError) else by_ssh

    def _make_batch_call(self, batch: Batch) -> RsyncCall:
        return self._make_call(batch.root, batch.get_workspace(self._setup.workspace))

    def _make_call(self, root: Root, workspace: str) -> RsyncCall:
        return RsyncCall(
            self._setup,
            root,
            workspace,
            address=self._ssh.program.address if self._ssh else "",
            ssh_argv=tuple(self._ssh.make_session_argv()) if self._ssh else (),
            compression=self._choose_compression(),
        )

    def _choose_compression(self) -> str:
        if self._ssh is None:
            return ""
        setup = self._setup
        return choose_compression(setup.compress, setup.pair.compressions, round_trip_seconds=self._round_trip_seconds)

    @property
    def _round_trip_seconds(self) -> float | None:
        return (self._ssh.round_trip_seconds if self._ssh else None) or self._setup.round_trip_seconds


@cache
def get_max_name_bytes() -> int:
    """Return the room for names on a command line: half of what this system gives it and its environment.

    That is 1 MiB of 2 MiB on Linux, 512 KiB of 1 MiB on macOS.
    """
    environment = sum(len(name) + len(value) + 10 for name, value in os.environb.items())
    return max(0, os.sysconf("SC_ARG_MAX") // 2 - environment)
