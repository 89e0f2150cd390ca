"""Diagnosis of refused SFTP requests and of errors of this machine's files."""

from __future__ import annotations

import errno
import os
import socket

import pytest
from paramiko import AuthenticationException, ChannelException, SSHException
from paramiko.ssh_exception import IncompatiblePeer

from hsm.remote.paramiko.diagnosis import LoginTraces, explain_exception
from hsm.remote.sftp.replies import Room
from hsm.remote.sftp.wire import Code, SftpError
from hsm.transfer.sftp.diagnosis import diagnose_here, diagnose_sftp

FREE = Room(4096, 1000, 500, 1000, 500, is_read_only=False)


@pytest.mark.parametrize(
    ("code", "room", "kind"),
    [
        (Code.FAILURE, FREE, "sftp_failed"),
        (Code.FAILURE, None, "sftp_failed"),
        (Code.FAILURE, FREE._replace(n_free=0), "no_space"),
        (Code.FAILURE, FREE._replace(n_free=2), "no_space"),
        (Code.FAILURE, FREE._replace(n_free_inodes=0), "no_inodes"),
        (Code.FAILURE, FREE._replace(n_inodes=0, n_free_inodes=0), "sftp_failed"),
        (Code.FAILURE, FREE._replace(n_blocks=0, n_free=0), "sftp_failed"),
        (Code.FAILURE, FREE._replace(is_read_only=True), "read_only"),
        (Code.PERMISSION_DENIED, FREE, "no_permission"),
        (Code.PERMISSION_DENIED, FREE._replace(is_read_only=True), "read_only"),
        (Code.NO_SUCH_FILE, FREE, "sftp_failed"),
    ],
)
def test_what_a_refused_writing_means(code: int, room: Room | None, kind: str) -> None:
    error = diagnose_sftp(SftpError(code, "Failure", "/f"), name="hpc", room=room, n_bytes=10_000, writes=True)
    assert error.kind == kind
    assert "hpc" in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("code", "kind"),
    [(Code.NO_SUCH_FILE, "vanished"), (Code.PERMISSION_DENIED, "no_permission"), (Code.FAILURE, "sftp_failed")],
)
def test_what_a_refused_reading_means(code: int, kind: str) -> None:
    error = diagnose_sftp(SftpError(code, "", "/f"), name="hpc", room=None, n_bytes=0, writes=False)
    assert error.kind == kind


@pytest.mark.parametrize(
    ("number", "is_making", "kind"),
    [
        (errno.ENOENT, False, "vanished"),
        (errno.EACCES, False, "no_permission"),
        (errno.ENOSPC, False, "no_space"),
        (errno.ENOSPC, True, "no_inodes"),
        (errno.EDQUOT, False, "quota"),
        (errno.EROFS, True, "read_only"),
        (errno.EIO, False, "failing_disk"),
        (errno.EISDIR, False, "type_conflict"),
        (errno.EMFILE, False, "copy_failed"),
    ],
)
def test_what_an_error_here_means(number: int, is_making: bool, kind: str) -> None:
    assert diagnose_here(OSError(number, os.strerror(number)), is_making=is_making).kind == kind


@pytest.mark.parametrize(
    ("error", "traces", "kind"),
    [
        (AuthenticationException("it takes password"), LoginTraces(), "login_refused"),
        (AuthenticationException("cut"), LoginTraces(words=["Too many authentication failures"]), "too_many_keys"),
        (AuthenticationException("it takes publickey"), LoginTraces(missing_keys={"/k": "gone"}), "key_missing"),
        (AuthenticationException("cut"), LoginTraces(words=["Maintenance"], is_cut=True), "login_refused"),
        (IncompatiblePeer("no acceptable kex algorithm"), LoginTraces(), "no_common_algorithm"),
        (ChannelException(1, "Administratively prohibited"), None, "sessions_refused"),
        (ChannelException(2, "Connect failed"), LoginTraces(), "jump_failed"),
        (SSHException("Error reading SSH protocol banner"), LoginTraces(), "throttled"),
        (SSHException("Channel closed."), None, "connection_dropped"),
        (socket.gaierror(-2, "Name or service not known"), LoginTraces(), "host_unknown"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), LoginTraces(), "connection_refused"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), LoginTraces(), "connection_timeout"),
        (TimeoutError("timed out"), LoginTraces(), "connection_timeout"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), LoginTraces(), "throttled"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), None, "connection_dropped"),
        (EOFError("the connection was closed"), None, "connection_dropped"),
    ],
)
def test_what_the_clients_exceptions_mean(error: Exception, traces: LoginTraces | None, kind: str) -> None:
    found = explain_exception(error, target="hpc", host="login1", port=22, command="ssh hpc", traces=traces)
    assert found.kind == kind
    assert "hpc" in found.message
    assert "{" not in found.message + found.hint
    assert all(words in found.message for words in (traces.words if traces else ()))
