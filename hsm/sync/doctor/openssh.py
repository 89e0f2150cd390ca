"""Examination of a target over OpenSSH: name, login, shell, rsync, folders, sessions."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hsm.config.settings import TargetSettings
from hsm.errors import ExitCode, HsmError, NoShellError, NoSshError, SessionsRefusedError
from hsm.process.runner import CommandTimeoutError, Completed, Runner
from hsm.remote.noise import show_bytes
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.sessions import MAX_SESSIONS
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.sync.doctor.findings import (
    DoctorRow,
    check_rsync,
    check_sessions,
    check_sessions_speed,
    make_failed,
    make_failed_finding,
    make_not_checked,
    make_ok,
    make_warning,
)
from hsm.sync.doctor.folders import check_folders, check_upload
from hsm.sync.doctor.rows import Rows, check_name, check_settings, check_target_login
from hsm.sync.doctor.silence import check_answers_there
from hsm.targets.auto import find_fallback
from hsm.targets.contract import get_roots
from hsm.transfer.rsync.versions import check_remote_version, make_pair, read_local_version

if TYPE_CHECKING:
    from hsm.sync.doctor.sftp import SftpExamination

_N_SAMPLES = 5
_NOISE_BYTES = 80
_N_TRIES = 10
# sshd counts a session that has just ended for a moment more; at MaxSessions 1 the next one is then refused.
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class PatientShell:
    """Implements `hsm.remote.shell.RemoteShell`; gives the server time to count sessions that just ended as ended."""

    ssh: RemoteShell
    runner: Runner

    @property
    def name(self) -> str:
        """The target's name."""
        return self.ssh.name

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program there."""
        for _ in range(_N_TRIES):
            try:
                return self.ssh.run(program, stdin=stdin)
            except SessionsRefusedError:
                self.runner.sleep(_PAUSE_SECONDS)
        return self.ssh.run(program, stdin=stdin)


class OpenSshExamination:
    """Fills the rows of one target over OpenSSH; turns to SFTP where a sync would.

    Args:
        ssh: Reaches the target, without further tries.
        settings: The target's.
        runner: Starts rsync here; interrupts.
        asking: Held while the user may be asked; None where they may not.
        rows: To be filled.
        make_sftp: Makes the examination over SFTP that fills the same rows, given why.
    """

    def __init__(
        self,
        ssh: OpenSsh,
        settings: TargetSettings,
        runner: Runner,
        asking: threading.Lock | None,
        rows: Rows,
        make_sftp: Callable[[str], SftpExamination],
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._asking = asking
        self._rows = rows
        self._make_sftp = make_sftp
        self._ssh = ssh
        self._shell = PatientShell(ssh, runner)
        self._samples: list[float] = []
        self._version = ""

    def fill(self) -> None:
        """Fill all rows; nothing is raised for what is wrong. The login stays open for later commands."""
        self._rows.fill(
            (
                ("settings", self._check_settings),
                ("login", self._check_login),
                ("shell", self._check_shell),
                ("sweeps_folder", self._check_answers),
                ("rsync", self._check_survey),
                ("engine", self._check_engine),
                ("sweeps_folder", self._check_folders),
                ("sessions", self._check_sessions),
            )
        )

    def _turn(self, error: HsmError) -> bool:
        """Let SFTP fill all rows where a sync would turn to it after an error, else raise the error. Ends the steps."""
        fallback = find_fallback(self._settings, error)
        if fallback is None:
            raise error
        self._make_sftp(fallback.reason).fill()
        return False

    def _check_settings(self) -> bool:
        try:
            settings = self._ssh.program.resolve()  # starts ssh here; nothing is sent yet
        except NoSshError as error:
            return self._turn(error)
        except HsmError as error:
            self._rows.put(make_failed_finding("settings", error, ExitCode.USAGE))
            return False
        found = f"{settings.get('user', '')}@{self._place}{self._way}, as ssh's settings have it"
        self._rows.put(check_settings(found, self._settings))
        return True

    @property
    def _place(self) -> str:
        settings = self._ssh.program.resolve()
        return f"{settings.get('hostname', self._settings.host)} port {settings.get('port', '22')}"

    @property
    def _way(self) -> str:
        return f" through {self._ssh.program.jump}" if self._ssh.program.jump else ""

    def _check_login(self) -> bool:
        host = self._ssh.program.resolve().get("hostname", self._settings.host)
        return self._rows.fill_login(
            check_target_login(self._ssh.login, self._asking),
            (
                ("name", lambda: check_name(host, self._ssh.program.jump)),
                ("connection", lambda: make_ok("connection", f"{self._place} answers{self._way}")),
                ("host_key", self._check_host_key),
                ("login", lambda: make_ok("login", "one shared login is open, later commands use it without asking")),
            ),
        )

    def _check_host_key(self) -> DoctorRow:
        keys = self._ssh.program.list_known_keys()
        if not keys:
            return make_ok("host_key", "accepted by ssh, though not by a file of known hosts")
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        return make_ok("host_key", f"known: {keys[0].text} in {keys[0].place}{more}")

    def _check_shell(self) -> bool:
        # Several, of which the median counts: one slow session says nothing.
        for _ in range(_N_SAMPLES):
            start = time.monotonic()
            try:
                self._shell.run(":")
            except NoShellError as error:
                self._turn(error)
                if self._rows.has_failed("engine"):  # SFTP does not help: what the shell said is the reason
                    self._rows.put(make_failed_finding("shell", error), make_not_checked("engine", "because of shell"))
                return False
            self._samples.append(time.monotonic() - start)
        self._rows.put(check_sessions_speed("round_trip", self._samples))
        noise = self._ssh.noise
        if not noise:
            self._rows.put(make_ok("shell", "runs commands and prints nothing of its own"))
            return True
        self._rows.put(
            make_failed(
                "shell",
                f"prints text of its own, which rsync cannot do with: {show_bytes(noise, limit=_NOISE_BYTES)}",
                "Silence its start-up files (~/.bashrc and the like) for sessions without a terminal: "
                f"`{self._ssh.program.command_line} true` must print nothing.",
            )
        )
        return True

    def _check_answers(self) -> bool:
        """See that the places answer, since whoever looks at one that does not waits for ever."""
        check_answers_there(self._shell, list(get_roots(self._settings).values()))
        return True

    def _check_survey(self) -> bool:
        """Look at rsync, the clock and the free space, in one session."""
        endpoint = RemoteEndpoint(self._shell, rsync_path=self._settings.rsync_path or "rsync")
        self._version = self._rows.fill_survey(endpoint, self._settings, knows_time=True).machine.rsync_version
        try:
            self._rows.put(
                check_rsync(
                    "rsync",
                    check_remote_version(self._version, name=self._ssh.name, rsync_path=self._settings.rsync_path),
                )
            )
        except HsmError as error:
            may_do_without = find_fallback(self._settings, error) is not None
            self._rows.put(
                make_warning("rsync", error.message, error.hint)
                if may_do_without
                else make_failed_finding("rsync", error)
            )
        return True

    def _check_engine(self) -> bool:
        """Find what will carry the files; where rsync is missing at an end, try SFTP."""
        try:
            there = check_remote_version(self._version, name=self._ssh.name, rsync_path=self._settings.rsync_path)
            make_pair(read_local_version(self._runner), there, name=self._ssh.name, pulls=False)
        except HsmError as error:
            if find_fallback(self._settings, error) is not None:
                self._make_sftp(error.message).fill_engine()
            else:
                self._rows.put(make_not_checked("engine", "because of rsync"))
        except CommandTimeoutError:
            self._rows.put(make_not_checked("engine", "because of rsync on this machine"))
        else:
            self._rows.put(make_ok("engine", "rsync over ssh"))
        return True

    def _check_folders(self) -> bool:
        self._rows.put(*check_folders(self._shell, self._settings), *check_upload(self._shell, self._settings))
        return True

    def _check_sessions(self) -> bool:
        """Open as many sessions as a sync would over the login, all at once, and count those that are refused."""
        n_wanted = min(self._settings.options.parallel_transfers, MAX_SESSIONS)
        seconds = min(5, math.ceil(1 + 4 * max(self._samples)))  # all begin before the first one ends
        self._runner.sleep(_PAUSE_SECONDS)  # sshd counts the last session as open for a moment
        with ThreadPoolExecutor(n_wanted, thread_name_prefix="hsm-session") as executor:
            is_open = list(executor.map(self._hold_session, [seconds] * n_wanted))
        self._rows.put(check_sessions("sessions", sum(is_open), n_wanted=n_wanted))
        return True

    def _hold_session(self, seconds: int) -> bool:
        try:
            self._ssh.run(f"sleep {seconds}")
        except SessionsRefusedError:
            return False
        return True
