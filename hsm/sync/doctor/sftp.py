"""Examination of a target over SFTP: because it was asked for, or because ssh, rsync or a shell is missing."""

from __future__ import annotations

import contextlib
import threading
import time

from hsm.config.settings import TargetSettings
from hsm.endpoint import Listing, Survey
from hsm.errors import ExitCode, HsmError, SessionsRefusedError
from hsm.model import EntryKind
from hsm.process.runner import Runner
from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.paramiko.settings import LoginSettings, load_login_settings
from hsm.remote.sftp.endpoint import SftpEndpoint
from hsm.remote.sftp.wire import PacketType, make_path
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.sync.doctor.findings import (
    DoctorRow,
    check_sessions,
    check_sessions_speed,
    describe_engine,
    make_failed_finding,
    make_not_checked,
    make_ok,
)
from hsm.sync.doctor.folders import check_folders, check_upload, judge_folder
from hsm.sync.doctor.rows import Rows, check_name, check_settings, check_target_login
from hsm.sync.doctor.silence import check_answers_by_sftp, check_answers_there
from hsm.targets.contract import get_roots
from hsm.transfer.sftp.engine import CAPABILITIES

_N_SAMPLES = 5


class SftpExamination:
    """Fills the rows of one target over the second SSH client.

    Args:
        client: Reaches the target, without further tries; closed at the end.
        settings: The target's.
        runner: Starts ssh, for its settings; interrupts.
        asking: Held while the user may be asked; None where they may not.
        rows: To be filled.
        reason: The reason why SFTP is used; empty where the configuration asks for it.
    """

    def __init__(
        self,
        client: ParamikoClient,
        settings: TargetSettings,
        runner: Runner,
        asking: threading.Lock | None,
        rows: Rows,
        reason: str = "",
    ) -> None:
        self._client = client
        self._settings = settings
        self._runner = runner
        self._asking = asking
        self._rows = rows
        self._reason = reason
        self._login: LoginSettings | None = None

    def fill(self) -> None:
        """Fill all rows; nothing is raised for what is wrong, and the login is ended."""
        with self._client:
            self._rows.fill(
                (
                    ("settings", self._check_settings),
                    ("login", self._check_login),
                    ("shell", self._check_shell),
                    ("engine", self._check_engine),
                    ("sweeps_folder", self._check_places),
                    ("sessions", self._check_sessions),
                )
            )

    def fill_engine(self) -> None:
        """Fill the row of the engine alone, where the rest goes over another client."""
        with self._client:
            error = check_target_login(self._client.login, self._asking)
            if error is not None:
                self._rows.put(make_failed_finding("engine", error))
            else:
                self._rows.fill((("engine", self._check_engine),))

    def _check_settings(self) -> bool:
        try:
            self._login = login = load_login_settings(self._client.name, self._settings, self._runner)
        except HsmError as error:
            self._rows.put(make_failed_finding("settings", error, ExitCode.USAGE))
            return False
        source = "as ssh's settings have it" if login.has_ssh else "as HSM reads ssh's settings, without ssh"
        found = f"{login.user}@{login.host} port {login.port}{self._way}, {source}"
        self._rows.put(check_settings(found, self._settings))
        return True

    @property
    def _jump(self) -> str:
        return ", ".join(hop.host for hop in self._login.jumps) if self._login else ""

    @property
    def _way(self) -> str:
        return f" through {self._jump}" if self._jump else ""

    def _check_login(self) -> bool:
        host, port = (self._login.host, self._login.port) if self._login else (self._settings.host, "")
        return self._rows.fill_login(
            check_target_login(self._client.login, self._asking),
            (
                ("name", lambda: check_name(host, self._jump)),
                ("connection", lambda: make_ok("connection", f"{host} port {port} answers{self._way}")),
                ("host_key", lambda: make_ok("host_key", "known, from the files of known hosts")),
                ("login", lambda: make_ok("login", "HSM's own client logs in, anew with each command")),
            ),
        )

    def _check_shell(self) -> bool:
        words = "runs commands" if self._client.can_run else "runs no commands, and none are needed"
        self._rows.put(make_ok("shell", words), make_not_checked("rsync", "SFTP carries the files"))
        return True

    def _check_engine(self) -> bool:
        with self._client.open_sftp():
            pass
        reason = f"{self._reason} SFTP carries the files: " if self._reason else ""
        self._rows.put(make_ok("engine", f"{reason}{describe_engine(CAPABILITIES)}"))
        return True

    def _check_places(self) -> bool:
        """Look at the round trip, the clock, the folders and the free space."""
        samples: list[float] = []
        for _ in range(_N_SAMPLES):
            start = time.monotonic()
            self._client.use_sftp(lambda session, check: session.ask(make_path(PacketType.REALPATH, "."), check=check))
            samples.append(time.monotonic() - start)
        self._rows.put(check_sessions_speed("round_trip", samples, what="an answer of the SFTP server"))
        roots = list(get_roots(self._settings).values())
        if self._client.can_run:
            check_answers_there(self._client, roots)
            endpoint = RemoteEndpoint(self._client, rsync_path=self._settings.rsync_path or "rsync")
            self._rows.fill_survey(endpoint, self._settings, knows_time=True)
            folders = check_folders(self._client, self._settings)
            self._rows.put(*folders, *check_upload(self._client, self._settings))
            return True
        check_answers_by_sftp(self._client, roots)
        survey = self._rows.fill_survey(SftpEndpoint(self._client), self._settings, knows_time=False)
        self._rows.put(*self._judge_folders(survey), *check_upload(None, self._settings))
        return True

    def _judge_folders(self, survey: Survey) -> list[DoctorRow]:
        names = [(f"{root.value}_folder", path) for root, path in get_roots(self._settings).items()]
        return [judge_listing(name, path, found) for (name, path), found in zip(names, survey.listings, strict=True)]

    def _check_sessions(self) -> bool:
        """Open as many channels as a sync would over the login, all at once, and count those that are refused."""
        n_wanted = min(self._settings.options.parallel_transfers, CAPABILITIES.max_workers)
        n_open = 0
        with contextlib.ExitStack() as stack, contextlib.suppress(SessionsRefusedError):
            for _ in range(n_wanted):
                stack.enter_context(self._client.open_sftp())
                n_open += 1
        self._rows.put(check_sessions("sessions", n_open, n_wanted=n_wanted))
        return True


def judge_listing(name: str, path: str, listing: Listing) -> DoctorRow:
    """Judge a folder that SFTP alone has looked at. Pure."""
    if listing.kind is EntryKind.FOLDER:
        return make_ok(name, f"{path} is there; whether it may be written to, SFTP does not tell")
    if listing.kind is not None or listing.nearest is not EntryKind.FOLDER:
        return judge_folder(name, path, path if listing.kind is not None else f"something above {path}", "n", "y")
    return make_ok(name, f"{path} is missing; whether it can be made, SFTP does not tell")
