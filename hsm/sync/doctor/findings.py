"""Findings of the doctor as values, and what each means. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from hsm.endpoint import Space
from hsm.errors import ExitCode, HsmError
from hsm.sync.reports import SCHEMA
from hsm.transfer.base import Capabilities
from hsm.transfer.rsync.versions import RsyncVersion
from hsm.units import format_bytes

SAFE_RSYNC = (3, 4, 3)
"""The last release but one that fixed holes which a hostile other end can use; distributions mend older ones."""

_SLOW_SESSION_SECONDS = 2.0
# Less may be the time that a session takes to begin.
_SKEW_SECONDS = 5

_FEW_BYTES = 10**9
_FEW_INODES = 10_000


class CheckState(str, Enum):
    """End of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class DoctorRow:
    """One row of the doctor's table.

    Attributes:
        name: A stable word, such as `host_key`.
        state: Its end.
        found: The finding, or the reason why it was not looked at.
        hint: The way to mend it; empty where there is nothing to be done.
        detail: Raw lines of the program that failed, for `-v`.
        exit_code: The program's, were this row alone.
    """

    name: str
    state: CheckState
    found: str
    hint: str = ""
    detail: str = ""
    exit_code: ExitCode = ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Checkup:
    """All rows of one target, in the order in which they depend on one another."""

    name: str
    checks: tuple[DoctorRow, ...]

    @property
    def exit_code(self) -> ExitCode:
        """10 if the target cannot be reached, 2 if its configuration is wrong, 1 for another failure, else 0."""
        return _choose_code(self.checks)


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """A whole call.

    Attributes:
        here: Rows of this machine.
        targets: In the order asked for.
    """

    here: tuple[DoctorRow, ...]
    targets: tuple[Checkup, ...]

    @property
    def exit_code(self) -> ExitCode:
        """The common code if all agree, else 1. What this machine lacks counts like a target's failure."""
        codes = {target.exit_code for target in self.targets}
        here = _choose_code(self.here)
        if here is not ExitCode.DONE:
            codes.add(here)
        return codes.pop() if len(codes) == 1 else ExitCode.PARTIAL if codes else ExitCode.DONE


def _choose_code(checks: Sequence[DoctorRow]) -> ExitCode:
    codes = {check.exit_code for check in checks}
    order = (ExitCode.UNREACHABLE, ExitCode.USAGE, ExitCode.PARTIAL)
    return next((code for code in order if code in codes), ExitCode.DONE)


def make_doctor_document(report: DoctorReport) -> dict[str, object]:
    """Make the document of `hsm sync doctor` (docs/SYNC.md) as JSON values."""
    return {
        "schema": SCHEMA,
        "command": "sync doctor",
        "exit_code": int(report.exit_code),
        "error": None,
        "here": {"checks": _make_check_documents(report.here)},
        "targets": [{"name": target.name, "checks": _make_check_documents(target.checks)} for target in report.targets],
    }


def _make_check_documents(checks: Sequence[DoctorRow]) -> list[dict[str, str]]:
    return [
        {"name": check.name, "state": check.state.value, "found": check.found, "hint": check.hint} for check in checks
    ]


def make_ok(name: str, found: str) -> DoctorRow:
    """Make a row that is as it should be."""
    return DoctorRow(name, CheckState.OK, found)


def make_warning(name: str, found: str, hint: str) -> DoctorRow:
    """Make a row that a sync can live with."""
    return DoctorRow(name, CheckState.WARNING, found, hint)


def make_failed(name: str, found: str, hint: str) -> DoctorRow:
    """Make a row with which a sync will fail."""
    return DoctorRow(name, CheckState.FAILED, found, hint, exit_code=ExitCode.PARTIAL)


def make_failed_finding(name: str, error: HsmError, exit_code: ExitCode | None = None) -> DoctorRow:
    """Make a row whose check ended with an error."""
    code = error.exit_code if exit_code is None else exit_code
    return DoctorRow(name, CheckState.FAILED, error.message, error.hint, error.detail, code)


def make_not_checked(name: str, reason: str) -> DoctorRow:
    """Make a row that was not looked at."""
    return DoctorRow(name, CheckState.NOT_CHECKED, reason)


def check_rsync(name: str, version: RsyncVersion) -> DoctorRow:
    """Judge an rsync that HSM can work with."""
    found = f"{version.text}, protocol {version.protocol}"
    if version.is_openrsync:
        return make_ok(name, f"{found}: it can receive, and keeps whole seconds")
    if version.version >= SAFE_RSYNC:
        return make_ok(name, found)
    safe = ".".join(map(str, SAFE_RSYNC))
    return make_warning(
        name,
        f"{found}: older than {safe}",
        f"rsync {safe} and the releases before it fixed security holes: update it, unless your distribution "
        "backported the fixes (its changelog says so).",
    )


def describe_engine(engine: Capabilities) -> str:
    """Describe what carries the files of a target, and what it cannot do."""
    lacks = [
        word
        for word, has in (("goes on with a cut file", engine.resumes), ("sends only what changed", engine.sends_deltas))
        if not has
    ]
    return f"{engine.name}, {engine.max_workers} workers at most" + (f"; never {' or '.join(lacks)}" if lacks else "")


def check_sessions_speed(
    name: str, seconds: Sequence[float], *, what: str = "a session over the shared login"
) -> DoctorRow:
    """Judge the time of something that does nothing: by default a session."""
    median = statistics.median(seconds)
    found = f"{median * 1000:.0f} ms for {what} (median of {len(seconds)})"
    if median < _SLOW_SESSION_SECONDS:
        return make_ok(name, found)
    return make_warning(name, found, "The network or the start-up files of the shell there are slow.")


def measure_skew(there_ns: int, *, before_ns: int, after_ns: int) -> int:
    """Measure how far another clock is ahead, in whole seconds; negative: behind.

    The length of the question explains a part of the difference; only the rest counts.

    Args:
        there_ns: Its answer, cut to whole seconds.
        before_ns: This machine's clock before it was asked.
        after_ns: And after.
    """
    least, most = there_ns - after_ns, there_ns + 10**9 - before_ns
    nearest = least if least > 0 else min(most, 0)
    return round(nearest / 10**9)


def check_clock(name: str, skew_seconds: int) -> DoctorRow:
    """Judge another machine's clock."""
    if abs(skew_seconds) <= _SKEW_SECONDS:
        return make_ok(name, "agrees with this machine's, as far as a session can tell")
    way = "ahead of" if skew_seconds > 0 else "behind"
    return make_warning(
        name,
        f"{_format_seconds(abs(skew_seconds))} {way} this machine's",
        "HSM copes, but what is changed at both ends is judged by these clocks: let both keep time by NTP.",
    )


def check_space(name: str, space: Space) -> DoctorRow:
    """Judge the free space on a file system."""
    n_bytes, n_inodes = space.free_bytes, space.free_inodes
    words = [
        "free space unknown" if n_bytes is None else f"{format_bytes(n_bytes)} free",
        "free inodes unknown" if n_inodes is None else f"{n_inodes:,} inodes free",
    ]
    found = ", ".join(words)
    if n_bytes == 0 or n_inodes == 0:
        lacks = "space" if n_bytes == 0 else "files"
        return make_failed(name, found, f"Free some {lacks} there, or choose other `paths`.")
    if (n_bytes is not None and n_bytes < _FEW_BYTES) or (n_inodes is not None and n_inodes < _FEW_INODES):
        return make_warning(name, found, "That may not be enough: `hsm sync to ... --dry-run` says what is needed.")
    return make_ok(name, found)


def check_sessions(name: str, n_allowed: int, *, n_wanted: int) -> DoctorRow:
    """Judge the number of sessions that a server allows over one login."""
    if n_allowed >= n_wanted:
        return make_ok(name, f"{n_wanted} at once over one login, as many as wanted")
    return make_warning(
        name,
        f"{n_allowed} at once over one login, {n_wanted} are wanted",
        f"HSM then works with {n_allowed}. Set `parallel_transfers: {n_allowed}`, or ask for a higher MaxSessions "
        "there (another sync at the same time uses sessions too).",
    )


def _format_seconds(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h {seconds % 3600 // 60} min"
