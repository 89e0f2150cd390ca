"""OpenSSH's client with a stand-in for ssh, whose other end is this machine; e2e tests have a real sshd."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hsm.config.schema import parse_target
from hsm.errors import (
    ConnectionDroppedError,
    LoginRefusedError,
    NoShellError,
    NoSshError,
    SessionsRefusedError,
    UnreachableError,
)
from hsm.process.runner import CommandStoppedError, Runner
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.sessions import MAX_SESSIONS

# Every call is a line of $HERE/calls. $HERE/refuse ends a login, $HERE/full a session; $HERE/session is run before the
# command of a session, and stands in for start-up files there.
FAKE_SSH = r"""#!/bin/sh
control= last= kind=session
for word do
  case $word in ControlPath=*) control=${word#ControlPath=} ;; -G) kind=settings ;; -M) kind=login ;; esac
  case $last in -O) kind=$word ;; esac
  last=$word
done
echo "$kind" >>"$HERE/calls"
case $kind in
settings) echo "hostname fake"; echo "user ada"; echo "port 22" ;;
login)
  if [ -e "$HERE/refuse" ]; then echo "ada@fake: Permission denied (publickey)." >&2; exit 255; fi
  : >"$control" ;;
check) [ -e "$control" ] || exit 255 ;;
exit) rm -f "$control" ;;
session)
  if [ "$control" != none ] && [ ! -e "$control" ]; then
    echo "Control socket connect($control): No such file or directory" >&2; exit 255
  fi
  if [ -e "$HERE/full" ]; then
    rm "$HERE/full"; echo "mux_client_request_session: session request failed: Session open refused by peer" >&2
    exit 255
  fi
  if [ -e "$HERE/session" ]; then . "$HERE/session"; fi
  exec sh -c "$last" ;;
esac
"""


@dataclass
class Fake:
    """A stand-in for ssh, and the clients that use it."""

    folder: Path
    clients: list[OpenSsh]

    def make(self, *, runner: Runner | None = None, **options: Any) -> OpenSsh:
        settings = parse_target(
            # A name of its own for each test, so that none finds another's socket.
            {"host": f"fake-{self.folder.name}", "paths": {"sweeps": "~/s", "wandb": "~/w"}}
        )
        self.clients.append(OpenSsh("desktop", settings, runner or Runner(), **{"pauses_seconds": (), **options}))
        return self.clients[-1]

    def say(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def count(self, kind: str) -> int:
        calls = self.folder / "calls"
        return calls.read_text().split().count(kind) if calls.exists() else 0


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(FAKE_SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HERE", str(tmp_path))
    found = Fake(tmp_path, [])
    yield found
    for client in found.clients:
        client.logout()


def test_sessions_share_one_login(fake: Fake) -> None:
    client = fake.make()
    client.login()
    answers = [client.run("cat; echo complaint >&2; (exit 7)", stdin=b"in") for _ in range(2)]
    assert [(answer.returncode, answer.stdout, answer.stderr) for answer in answers] == [(7, b"in", b"complaint\n")] * 2
    assert (fake.count("login"), fake.count("session"), client.max_workers) == (1, 2, MAX_SESSIONS)
    assert fake.make().run("echo another").stdout == b"another\n"
    assert fake.count("login") == 1
    assert client.logout()
    assert not client.logout()


def test_a_kept_shell_answers_in_one_session(fake: Fake) -> None:
    client = fake.make()
    with client.keep_shell():
        assert [client.run(f"echo {number}").stdout for number in range(3)] == [b"0\n", b"1\n", b"2\n"]
        assert client.run("cat", stdin=b"x" * 200_000).stdout == b"x" * 200_000
        assert fake.count("session") == 2  # what is long has a session of its own
        assert client.round_trip_seconds is not None
        assert client.close_shell()
        assert not client.close_shell()
        assert client.run("echo again").stdout == b"again\n"
    assert not client.close_shell()
    assert client.run("echo apart").stdout == b"apart\n"
    assert (fake.count("login"), fake.count("session")) == (1, 4)


def test_a_question_that_was_interrupted_leaves_no_half_answer(fake: Fake) -> None:
    runner = Runner()
    client = fake.make(runner=runner)
    with client.keep_shell():
        client.run(":")
        threading.Timer(0.5, runner.interrupt).start()
        with pytest.raises(CommandStoppedError):
            client.run("echo half; sleep 60")
        assert client.run("echo whole").stdout == b"whole\n"
    assert fake.count("session") == 2


def test_what_start_up_files_print_is_noise(fake: Fake) -> None:
    fake.say("session", "echo Welcome")
    client = fake.make()
    assert client.run("echo in").stdout == b"in\n"
    assert client.noise == b"Welcome\n"
    with client.keep_shell():
        assert client.run("echo in").stdout == b"in\n"
        assert client.run("echo in").stdout == b"in\n"
        assert client.noise == b"Welcome\n"


def test_a_session_takes_the_place_of_the_open_shell_where_there_is_one_alone(fake: Fake) -> None:
    client = fake.make()
    with client.keep_shell():
        client.run(":")
        fake.say("full")
        assert client.run("cat", stdin=b"x" * 200_000).stdout == b"x" * 200_000
        assert not client.close_shell()
        fake.say("full")
        with pytest.raises(SessionsRefusedError):
            client.run("cat", stdin=b"x" * 200_000)


@pytest.mark.parametrize("keeps_shell", [False, True])
@pytest.mark.parametrize(
    ("session", "said"),
    [
        pytest.param("echo This service allows sftp connections only.; exit 1", "allows sftp", id="a sentence"),
        pytest.param("exit 0", "without a word", id="nothing"),
        pytest.param("echo 'shell request failed on channel 0' >&2; exit 255", "refuses to start", id="refused"),
        pytest.param("exit 255", "refuses to start", id="refused without a word"),
    ],
)
def test_a_target_that_runs_no_commands_is_told(fake: Fake, session: str, said: str, keeps_shell: bool) -> None:
    fake.say("session", session)
    client = fake.make()
    stack = client.keep_shell()
    if keeps_shell:
        stack.__enter__()
    with pytest.raises(NoShellError, match=said):
        client.run("echo in")
    if keeps_shell:
        stack.__exit__(None, None, None)


def test_once_a_command_has_run_a_silent_end_is_the_links(fake: Fake) -> None:
    client = fake.make()
    client.run(":")
    fake.say("session", "exit 255")
    with pytest.raises(ConnectionDroppedError):
        client.run(":")


def test_a_login_that_has_ended_is_made_again(fake: Fake) -> None:
    told: list[float] = []
    client = fake.make(pauses_seconds=(0.0,), on_wait=lambda seconds, _: told.append(seconds))
    with client.keep_shell():
        client.run(":")
        client.close_shell()
        assert fake.make().logout()  # of another process
        assert client.run("echo in").stdout == b"in\n"
    assert (fake.count("login"), told) == (2, [0.0])


def test_a_refused_login_is_not_tried_again(fake: Fake) -> None:
    fake.say("refuse")
    client = fake.make(pauses_seconds=(0.0, 0.0))
    with pytest.raises(LoginRefusedError):
        client.login()
    assert fake.count("login") == 1


def test_a_shell_that_was_begun_is_used(fake: Fake) -> None:
    client = fake.make()
    with client.keep_shell():
        client.begin()
        assert client.run("echo in").stdout == b"in\n"
        assert (fake.count("login"), fake.count("session")) == (1, 1)


def test_where_it_may_not_log_in_a_shell_is_begun_over_an_open_login_alone(fake: Fake) -> None:
    client = fake.make()
    with client.keep_shell():
        client.begin(may_log_in=False)
        client.drop_begun()
        assert (fake.count("login"), fake.count("session")) == (0, 0)
        client.login()
        client.begin(may_log_in=False)
        assert client.run("echo in").stdout == b"in\n"
        assert (fake.count("login"), fake.count("session")) == (1, 1)


def test_the_error_of_what_was_begun_is_told_once_by_what_needs_it(fake: Fake) -> None:
    fake.say("refuse")
    client = fake.make()
    client.begin()
    with pytest.raises(LoginRefusedError):
        client.login()
    (fake.folder / "refuse").unlink()
    client.login()
    assert fake.count("login") == 2


def test_a_machine_without_ssh_is_told(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fake.folder))
    for call in (OpenSsh.login, OpenSsh.logout):
        with pytest.raises(NoSshError):
            call(fake.make())
    monkeypatch.undo()


def test_several_threads_make_one_login(fake: Fake) -> None:
    client = fake.make()
    found: list[bytes] = []
    errors: list[UnreachableError] = []

    def work() -> None:
        try:
            found.append(client.run("cat", stdin=b"x").stdout)
        except UnreachableError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, errors, fake.count("login")) == ([b"x"] * 6, [], 1)
