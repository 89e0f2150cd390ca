"""Tries after a dropped connection, as a table."""

from __future__ import annotations

import pytest

from hsm.errors import (
    ConnectionDroppedError,
    HostUnknownError,
    LoginRefusedError,
    NoAnswerError,
    NoSshError,
    SessionsRefusedError,
    TargetError,
    UnreachableError,
)
from hsm.remote.retry import Retry


class Link:
    """A connection that fails as it is told, and what was done about it."""

    def __init__(
        self, *errors: Exception, has_connected: bool = False, pauses: tuple[float, ...] = (5.0, 15.0)
    ) -> None:
        self.errors = list(errors)
        self.n_calls = 0
        self.n_forgotten = 0
        self.slept: list[float] = []
        self.told: list[tuple[float, UnreachableError]] = []
        self.retry = Retry(self.slept.append, pauses, lambda seconds, error: self.told.append((seconds, error)))
        self.retry.has_connected = has_connected

    def call(self) -> str:
        return self.retry.call(self._try, forget=self._forget)

    def _try(self) -> str:
        self.n_calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    def _forget(self) -> None:
        self.n_forgotten += 1


@pytest.mark.parametrize(
    ("error", "at_first", "later"),
    [
        pytest.param(ConnectionDroppedError("x"), True, True, id="dropped"),
        pytest.param(SessionsRefusedError("x"), True, True, id="no further session"),
        pytest.param(NoAnswerError("x"), False, True, id="no answer"),
        pytest.param(HostUnknownError("x"), False, True, id="no such name"),
        pytest.param(LoginRefusedError("x"), False, False, id="the login is refused"),
        pytest.param(NoSshError("x"), False, False, id="no ssh here"),
        pytest.param(UnreachableError("x"), False, False, id="another reason"),
    ],
)
def test_what_may_pass_is_tried_again(error: UnreachableError, at_first: bool, later: bool) -> None:
    for has_connected, is_tried_again in ((False, at_first), (True, later)):
        link = Link(error, has_connected=has_connected)
        if is_tried_again:
            assert link.call() == "answer"
        else:
            with pytest.raises(type(error)):
                link.call()
        assert (link.n_calls, link.n_forgotten) == (1 + is_tried_again, 1)


def test_the_last_try_has_no_pause_behind_it() -> None:
    link = Link(*[ConnectionDroppedError("x")] * 3)
    with pytest.raises(ConnectionDroppedError):
        link.call()
    assert (link.n_calls, link.n_forgotten) == (3, 2)
    assert [5.0 <= link.slept[0] <= 6.0, 15.0 <= link.slept[1] <= 18.0, len(link.slept)] == [True, True, 2]
    assert [seconds for seconds, _ in link.told] == link.slept


def test_without_pauses_there_is_one_try() -> None:
    link = Link(ConnectionDroppedError("x"), pauses=())
    with pytest.raises(ConnectionDroppedError):
        link.call()
    assert (link.n_calls, link.slept) == (1, [])


def test_an_error_of_the_target_is_no_matter_of_the_link() -> None:
    link = Link(TargetError("x"), has_connected=True)
    with pytest.raises(TargetError):
        link.call()
    assert (link.n_calls, link.n_forgotten) == (1, 0)
