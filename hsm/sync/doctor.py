"""`hsm sync doctor`: looks in advance at everything that a sync needs, at all targets at the same time.

It is polite: one login per target, the one that a sync would use, and no contact besides. What ssh says of that
login tells whether the name, the connection and the host key are right. Nothing is written anywhere.
"""

from __future__ import annotations

import math
import platform
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hsm._version import __version__
from hsm.config.schema import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.endpoint import Tree
from hsm.errors import ExitCode, HsmError, UnreachableError
from hsm.remote.command import CommandTimeoutError, Completed, ProgramMissingError, Runner
from hsm.remote.diagnosis import show_bytes
from hsm.remote.endpoint import RemoteEndpoint
from hsm.remote.openssh import MAX_SESSIONS, OpenSsh
from hsm.remote.shell import RemoteShell
from hsm.sync.checks import (
    Check,
    CheckState,
    Checkup,
    DoctorReport,
    check_clock,
    check_rsync,
    check_sessions,
    check_sessions_speed,
    check_space,
    make_failed,
    make_failure,
    make_not_checked,
    make_ok,
    make_warning,
    measure_skew,
)
from hsm.sync.doctor_folders import check_folders, examine_folder
from hsm.sync.serve import wait_awake
from hsm.transfer.rsync_probe import check_remote_version, read_local_version

NAMES = (
    "settings",
    "name",
    "connection",
    "host_key",
    "login",
    "shell",
    "round_trip",
    "rsync",
    "clock",
    "sweeps_folder",
    "sweeps_space",
    "wandb_folder",
    "wandb_space",
    "sessions",
)
"""The rows of a target, each of which depends on those before `shell`."""

_N_SAMPLES = 5
_NOISE_BYTES = 80
_N_TRIES = 10
_PAUSE_SECONDS = 0.2
_VERSION_TIMEOUT_SECONDS = 20
_BY_CONNECTION = frozenset(
    {
        "connection_refused",
        "connection_timeout",
        "connection_dropped",
        "throttled",
        "not_ssh",
        "no_common_algorithm",
        "jump_failed",
        "unreachable",
    }
)


def examine(
    targets: Mapping[str, TargetSettings], *, layout: Layout, runner: Runner, may_ask: bool = False
) -> DoctorReport:
    """Check this machine and targets.

    Whatever is wrong is a row of the report; nothing is raised for it.

    Args:
        targets: By name.
        layout: Where the project's own sweeps and runs lie.
        runner: Starts the processes.
        may_ask: ssh may ask in this terminal; logins are then made one after the other.
    """
    asking = threading.Lock()
    with ThreadPoolExecutor(len(targets) + 1, thread_name_prefix="hsm-doctor") as executor:
        here = executor.submit(_examine_here, runner, list(targets.values()))
        checkups = [
            executor.submit(examine_folder, name, settings, layout, runner)
            if settings.is_folder
            else executor.submit(_Examination(name, settings, runner, asking if may_ask else None).run)
            for name, settings in targets.items()
        ]
        try:
            wait_awake(checkups)
            return DoctorReport(here.result(), tuple(checkup.result() for checkup in checkups))
        except BaseException:
            runner.stop()
            raise


def _examine_here(runner: Runner, targets: Sequence[TargetSettings]) -> tuple[Check, ...]:
    needs_ssh = any(not settings.is_folder for settings in targets)
    needs_rsync = needs_ssh or any(settings.engine == "rsync" for settings in targets)
    return (
        make_ok("hsm", __version__),
        make_ok("python", f"{platform.python_version()} on {platform.system()}"),
        _check_ssh_here(runner) if needs_ssh else make_not_checked("ssh", "no target needs it"),
        _check_rsync_here(runner) if needs_rsync else make_not_checked("rsync", "each target says what it uses"),
    )


def _check_ssh_here(runner: Runner) -> Check:
    try:
        completed = runner.run(["ssh", "-V"], timeout_seconds=_VERSION_TIMEOUT_SECONDS)
    except (ProgramMissingError, CommandTimeoutError):
        hint = "Install OpenSSH's client, for example `apt-get install openssh-client`."
        found = "there is no `ssh` on this machine that works"
        return Check("ssh", CheckState.FAILED, found, hint, exit_code=ExitCode.UNREACHABLE)
    return make_ok("ssh", (completed.stderr_text.strip().splitlines() or ["it names no version"])[0])


def _check_rsync_here(runner: Runner) -> Check:
    try:
        return check_rsync("rsync", read_local_version(runner))
    except HsmError as error:
        return make_failure("rsync", error)
    except CommandTimeoutError as error:
        return make_failed("rsync", str(error), "Try `rsync --version` by hand.")


@dataclass(frozen=True, slots=True)
class PatientShell:
    """Keeps `hsm.remote.shell.RemoteShell`; waits for the server to count sessions that just ended as ended."""

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
            except UnreachableError as error:
                if error.kind != "sessions_refused":
                    raise
                self.runner.sleep(_PAUSE_SECONDS)
        return self.ssh.run(program, stdin=stdin)


class _Examination:
    """Fills the rows of one target, step by step; a step that fails ends it."""

    def __init__(self, name: str, settings: TargetSettings, runner: Runner, asking: threading.Lock | None) -> None:
        self._name = name
        self._settings = settings
        self._runner = runner
        self._asking = asking
        self._ssh = OpenSsh(name, settings, runner, pauses_seconds=())
        self._shell = PatientShell(self._ssh, runner)
        self._rows: dict[str, Check] = {}
        self._samples: list[float] = []

    def run(self) -> Checkup:
        steps: tuple[tuple[str, Callable[[], bool]], ...] = (
            ("settings", self._check_settings),
            ("login", self._check_login),
            ("shell", self._check_shell),
            ("rsync", self._check_survey),
            ("sweeps_folder", self._check_folders),
            ("sessions", self._check_sessions),
        )
        for name, step in steps:
            try:
                if not step():
                    break
            except HsmError as error:
                self._put(make_failure(name, error))
                break
        failed = next((row.name for row in self._rows.values() if row.state is CheckState.FAILED), "")
        reason = f"because of {failed.replace('_', ' ')}"
        rows = [self._rows.get(name) or make_not_checked(name, reason) for name in NAMES]
        return Checkup(self._name, tuple(rows))

    def _put(self, *rows: Check) -> None:
        self._rows.update((row.name, row) for row in rows)

    def _check_settings(self) -> bool:
        try:
            settings = self._ssh.resolve()
        except HsmError as error:
            code = error.exit_code if error.kind == "ssh_missing" else ExitCode.USAGE
            self._put(make_failure("settings", error, code))
            return False
        self._put(
            make_ok("settings", f"{settings.get('user', '')}@{self._place}{self._way}, as ssh's settings have it")
        )
        return True

    @property
    def _place(self) -> str:
        settings = self._ssh.resolve()
        return f"{settings.get('hostname', self._settings.host)} port {settings.get('port', '22')}"

    @property
    def _way(self) -> str:
        return f" through {self._ssh.jump}" if self._ssh.jump else ""

    def _check_login(self) -> bool:
        """How far ssh came tells which rows are right: those before the one that it failed at."""
        error = self._log_in()
        failed = find_row(error.kind) if error is not None else ""
        if error is not None and failed == "settings":
            self._put(make_failure(failed, error, ExitCode.USAGE))
            return False
        for name, check in (
            ("name", self._check_name),
            ("connection", lambda: make_ok("connection", f"{self._place} answers{self._way}")),
            ("host_key", self._check_host_key),
            ("login", lambda: make_ok("login", "one shared login is open, later commands use it without asking")),
        ):
            if error is not None and name == failed:
                self._put(make_failure(name, error))
                return False
            self._put(check())
        return True

    def _log_in(self) -> UnreachableError | None:
        try:
            if self._asking is None:
                self._ssh.login()
            else:
                with self._asking:
                    self._ssh.login(may_ask=True)
        except UnreachableError as error:
            return error
        return None

    def _check_name(self) -> Check:
        settings = self._ssh.resolve()
        host = settings.get("hostname", self._settings.host)
        if self._ssh.jump:
            return make_not_checked("name", f"{host} is looked up at the other end of {self._ssh.jump}")
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return make_warning("name", f"{host} does not resolve: {error}", "Check `host` and the network (VPN?).")
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        return make_ok("name", f"{host} is {', '.join(addresses)}" if [*addresses] != [host] else f"{host}, an address")

    def _check_host_key(self) -> Check:
        keys = self._ssh.list_known_keys()
        if not keys:
            return make_ok("host_key", "accepted by ssh, though not by a file of known hosts")
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        return make_ok("host_key", f"known: {keys[0].text} in {keys[0].place}{more}")

    def _check_shell(self) -> bool:
        for _ in range(_N_SAMPLES):
            start = time.monotonic()
            self._shell.run(":")
            self._samples.append(time.monotonic() - start)
        self._put(check_sessions_speed("round_trip", self._samples))
        noise = self._ssh.noise
        if not noise:
            self._put(make_ok("shell", "runs commands and prints nothing of its own"))
            return True
        self._put(
            make_failed(
                "shell",
                f"prints text of its own, which rsync cannot do with: {show_bytes(noise, limit=_NOISE_BYTES)}",
                "Silence its start-up files (~/.bashrc and the like) for sessions without a terminal: "
                f"`{self._ssh.command_line} true` must print nothing.",
            )
        )
        return True

    def _check_survey(self) -> bool:
        """Look at rsync, the clock and the room, in one session."""
        endpoint = RemoteEndpoint(self._shell, rsync_path=self._settings.rsync_path or "rsync")
        paths = self._settings.paths
        before = time.time_ns()
        survey = endpoint.survey([Tree(paths.sweeps, names=()), Tree(paths.wandb, names=())])
        after = time.time_ns()
        try:
            self._put(check_rsync("rsync", check_remote_version(survey.machine.rsync_version, name=self._name)))
        except HsmError as error:
            self._put(make_failure("rsync", error))
        clock = survey.machine.clock_ns
        skew = measure_skew(clock, before_ns=before, after_ns=after)
        self._put(check_clock("clock", skew) if clock else make_not_checked("clock", "it does not tell its time"))
        for name, listing in zip(("sweeps_space", "wandb_space"), survey.listings, strict=True):
            self._put(check_space(name, listing.space))
        return True

    def _check_folders(self) -> bool:
        self._put(*check_folders(self._shell, self._settings))
        return True

    def _check_sessions(self) -> bool:
        """Open sessions over the shared login, all at once, and count those that are refused."""
        n_wanted = min(self._settings.options.parallel_transfers, MAX_SESSIONS)
        seconds = min(5, math.ceil(1 + 4 * max(self._samples)))  # all begin before the first one ends
        self._runner.sleep(_PAUSE_SECONDS)
        with ThreadPoolExecutor(n_wanted, thread_name_prefix="hsm-session") as executor:
            is_open = list(executor.map(self._hold_session, [seconds] * n_wanted))
        self._put(check_sessions("sessions", sum(is_open), n_wanted=n_wanted))
        return True

    def _hold_session(self, seconds: int) -> bool:
        try:
            self._ssh.run(f"sleep {seconds}")
        except UnreachableError as error:
            if error.kind != "sessions_refused":
                raise
            return False
        return True


def find_row(kind: str) -> str:
    """Which row a failed login belongs to."""
    if kind == "bad_ssh_configuration":
        return "settings"
    if kind == "host_unknown":
        return "name"
    if kind.startswith("host_key_"):
        return "host_key"
    return "connection" if kind in _BY_CONNECTION else "login"
