"""Rows of a remote target's examination, and the row that a failed login belongs to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence

from hsm.config.named_files import find_missing_key
from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.endpoint import Endpoint, Survey, Tree
from hsm.errors import (
    BadSshConfigError,
    ConnectionDroppedError,
    ExitCode,
    HostKeyError,
    HostUnknownError,
    HsmError,
    JumpFailedError,
    NoAnswerError,
    NotSshError,
    SamePlaceError,
    UnexplainedError,
    UnreachableError,
)
from hsm.sync.doctor.findings import (
    CheckState,
    Checkup,
    DoctorRow,
    check_clock,
    check_space,
    make_failed_finding,
    make_not_checked,
    make_ok,
    make_warning,
    measure_skew,
)
from hsm.targets.apart import ApartEndpoint
from hsm.targets.contract import get_roots

NAMES = (
    "settings",
    "name",
    "connection",
    "host_key",
    "login",
    "shell",
    "round_trip",
    "rsync",
    "engine",
    "clock",
    "sweeps_folder",
    "sweeps_space",
    "wandb_folder",
    "wandb_space",
    "sessions",
)
"""The rows of a target, each of which depends on those before `shell`."""

# Rows that a login can fail at before its own.
_BY_ERROR: tuple[tuple[str, tuple[type[UnreachableError], ...]], ...] = (
    ("settings", (BadSshConfigError,)),
    ("name", (HostUnknownError,)),
    ("host_key", (HostKeyError,)),
    ("connection", (NoAnswerError, ConnectionDroppedError, NotSshError, JumpFailedError, UnexplainedError)),
)

CheckStep = tuple[str, Callable[[], bool]]
"""The row that an error of a step belongs to; the step, which fills rows and returns False where no next is useful."""


class Rows:
    """The rows of one target, as they are filled.

    Args:
        target: Its name.
        layout: The folders of this project, which the target's must not be.
    """

    def __init__(self, target: str, layout: Layout) -> None:
        self._target = target
        self._layout = layout
        self._rows: dict[str, DoctorRow] = {}

    def put(self, *rows: DoctorRow) -> None:
        """Add rows, in the place of those of the same name."""
        self._rows.update((row.name, row) for row in rows)

    def has_failed(self, name: str) -> bool:
        """Tell whether a row has been filled with a failure."""
        row = self._rows.get(name)
        return row is not None and row.state is CheckState.FAILED

    def fill(self, steps: Sequence[CheckStep]) -> None:
        """Take the steps, until one says that the next is useless, or fails."""
        for name, step in steps:
            try:
                if not step():
                    break
            except SamePlaceError as error:  # told of the first look at the folders, whatever row that look fills
                self.put(make_failed_finding("sweeps_folder", error))
                break
            except HsmError as error:
                self.put(make_failed_finding(name, error))
                break

    def fill_login(self, error: UnreachableError | None, checks: Sequence[tuple[str, Callable[[], DoctorRow]]]) -> bool:
        """Fill the rows of a login; those before the one that it failed at are right.

        Args:
            error: The login's error; None where it is open.
            checks: Rows before and of the login, in order; each is made where the login came so far.

        Returns:
            True where it is open.
        """
        failed = find_row(error) if error is not None else ""
        if error is not None and failed == "settings":
            self.put(make_failed_finding(failed, error, ExitCode.USAGE))
            return False
        for name, check in checks:
            if error is not None and name == failed:
                self.put(make_failed_finding(name, error))
                return False
            self.put(check())
        return True

    def fill_survey(self, endpoint: Endpoint, settings: TargetSettings, *, knows_time: bool) -> Survey:
        """Look at the clock and the free space, in one session.

        Raises:
            HsmError: It cannot be looked at, or is this very project.
        """
        paths = settings.paths
        end = ApartEndpoint(endpoint, get_roots(settings), self._layout)
        before = time.time_ns()
        survey = end.survey([Tree(paths.sweeps, names=()), Tree(paths.wandb, names=())])
        after = time.time_ns()
        clock = survey.machine.clock_ns if knows_time else 0
        skew = measure_skew(clock, before_ns=before, after_ns=after)
        self.put(check_clock("clock", skew) if clock else make_not_checked("clock", "it does not tell its time"))
        for name, listing in zip(("sweeps_space", "wandb_space"), survey.listings, strict=True):
            self.put(check_space(name, listing.space))
        return survey

    def make_checkup(self) -> Checkup:
        """Make all rows; those not filled were not checked, because of the first that failed. Others come last."""
        failed = next((row.name for row in self._rows.values() if row.state is CheckState.FAILED), "")
        reason = f"because of {failed.replace('_', ' ')}"
        rows = [self._rows.get(name) or make_not_checked(name, reason) for name in NAMES]
        more = [row for name, row in self._rows.items() if name not in NAMES]
        return Checkup(self._target, (*rows, *more))


def check_target_login(login: Callable[..., None], asking: threading.Lock | None) -> UnreachableError | None:
    """Log in; one target after the other where the user may be asked. Returns the error, or None."""
    try:
        if asking is None:
            login()
        else:
            with asking:
                login(may_ask=True)
    except UnreachableError as error:
        return error
    return None


def check_settings(found: str, settings: TargetSettings) -> DoctorRow:
    """Judge the settings of a login, which ssh accepts: a private key may be missing, and another one is used."""
    if missing := find_missing_key(settings):
        return make_warning("settings", f"{found}; but {missing}", "Correct it, or copy the key there.")
    return make_ok("settings", found)


def check_name(host: str, jump: str) -> DoctorRow:
    """Look a host's name up, where that is done here and not at the other end of a jump host."""
    if jump:
        return make_not_checked("name", f"{host} is looked up at the other end of {jump}")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return make_warning("name", f"{host} does not resolve: {error}", "Check `host` and the network (VPN?).")
    addresses = dict.fromkeys(str(address[0]) for *_, address in found)
    return make_ok("name", f"{host} is {', '.join(addresses)}" if [*addresses] != [host] else f"{host}, an address")


def find_row(error: UnreachableError) -> str:
    """Find the row that a failed login belongs to. Pure."""
    return next((row for row, classes in _BY_ERROR if isinstance(error, classes)), "login")
