from __future__ import annotations

import pytest

from hsm.errors import (
    ConnectionDroppedError,
    ExitCode,
    HsmError,
    NoRsyncHereError,
    NoSshError,
    TargetError,
    UnknownSweepError,
    UnreachableError,
    UntoldSweepError,
)


@pytest.mark.parametrize(
    ("error", "kind", "exit_code"),
    [
        (HsmError("a"), "error", ExitCode.USAGE),
        (UnknownSweepError("a"), "unknown_sweep", ExitCode.USAGE),
        (UntoldSweepError("a"), "not_a_log", ExitCode.PARTIAL),
        (UnreachableError("a"), "error", ExitCode.UNREACHABLE),
        (NoSshError("a"), "ssh_missing", ExitCode.UNREACHABLE),
        (ConnectionDroppedError("a", kind="throttled"), "throttled", ExitCode.UNREACHABLE),
        (NoRsyncHereError("a"), "rsync_missing_here", ExitCode.PARTIAL),
    ],
)
def test_a_class_has_a_kind_that_one_error_may_tell_finer(error: HsmError, kind: str, exit_code: ExitCode) -> None:
    assert (error.kind, error.exit_code) == (kind, exit_code)


def test_other_words_leave_an_error_what_it_is() -> None:
    first = TargetError("one", hint="do this", kind="quota", detail="raw")
    error = first.reword("two", hint="do that")
    assert (type(error), error.message, error.hint) == (TargetError, "two", "do that")
    assert (error.kind, error.detail, first.message) == ("quota", "raw", "one")
