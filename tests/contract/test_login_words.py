"""Logins that fail, and servers that run no program: both clients say why, in the server's own words."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from private_sshd import PrivateSshd

from hsm.errors import HsmError, LoginRefusedError, NoShellError
from hsm.process.runner import Runner
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.paramiko.client import ParamikoClient
from tests.contract.conftest import make_settings
from tests.contract.test_clients import Client, add_key

MakeClient = Callable[..., Client]
StartSshd = Callable[..., PrivateSshd]


@pytest.fixture(params=["openssh", "paramiko"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Return a function that makes a client of a kind that tries once; further arguments are its `ssh` section."""
    made: list[Client] = []

    def make(sshd: PrivateSshd, **ssh: object) -> Client:
        kind = OpenSsh if request.param == "openssh" else ParamikoClient
        made.append(kind("desktop", make_settings(sshd, **ssh), Runner(), pauses_seconds=()))
        return made[-1]

    yield make
    for client in made:
        client.logout()


@contextmanager
def run_agent(folder: Path, n_keys: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent that holds keys which no server knows."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("there is no ssh-agent")
    socket = folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        keys = [str(add_key(folder / f"stranger-{number}")) for number in range(n_keys)]
        subprocess.run(["ssh-add", "-q", *keys], check=True, capture_output=True)
        yield
    finally:
        agent.kill()
        agent.wait()


def test_the_key_that_is_named_is_offered_alone(
    make_client: MakeClient, start_sshd: StartSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = start_sshd(settings={"MaxAuthTries": "3"})
    with run_agent(tmp_path, 4, monkeypatch):
        assert make_client(sshd).run("echo in").stdout == b"in\n"


def test_where_the_named_key_is_missing_the_agents_are_offered(
    make_client: MakeClient, sshd: PrivateSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_agent(tmp_path, 1, monkeypatch):
        subprocess.run(["ssh-add", "-q", str(sshd.identity_file)], check=True, capture_output=True)
        assert make_client(sshd, identity_file=str(tmp_path / "gone")).run("echo in").stdout == b"in\n"


def test_too_many_keys_are_told_as_that(
    make_client: MakeClient, start_sshd: StartSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = start_sshd(settings={"MaxAuthTries": "3"})
    with run_agent(tmp_path, 4, monkeypatch), pytest.raises(LoginRefusedError) as caught:
        make_client(sshd, identity_file=None).login()
    assert caught.value.kind == "too_many_keys"
    assert "Too many authentication failures" in caught.value.message
    assert all(word in caught.value.hint for word in ("ssh.identity_file", "IdentitiesOnly"))
    assert sshd.log_text().count("Connection from") == 1


def test_a_key_file_that_is_missing_is_named(make_client: MakeClient, sshd: PrivateSshd, tmp_path: Path) -> None:
    with pytest.raises(LoginRefusedError) as caught:
        make_client(sshd, identity_file=str(tmp_path / "no key")).login()
    assert caught.value.kind == "key_missing"
    assert f"{tmp_path / 'no key'} cannot be read: No such file or directory" in caught.value.message


def test_a_key_file_of_sshs_configuration_that_is_missing_is_named(
    make_client: MakeClient, sshd: PrivateSshd, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(f"IdentityFile {tmp_path}/gone\n")
    config.chmod(0o600)
    with pytest.raises(LoginRefusedError, match="gone cannot be read: No such file"):
        make_client(sshd, identity_file=None, config=str(config)).login()


EXPIRED = "WARNING: Your password has expired.\\nPassword change required but no TTY available.\\n"


@pytest.mark.parametrize("status", [1, 254, 255])
@pytest.mark.parametrize("stream", [1, 2])
def test_the_words_of_a_forced_command_are_quoted(
    make_client: MakeClient, start_sshd: StartSshd, status: int, stream: int
) -> None:
    sshd = start_sshd(settings={"ForceCommand": f"printf '{EXPIRED}' >&{stream}; exit {status}"})
    with pytest.raises(NoShellError) as caught:
        make_client(sshd).run("true")
    assert '"WARNING: Your password has expired. Password change required but no TTY' in caught.value.message


def test_the_words_of_one_are_quoted_by_a_shell_that_is_kept_open_too(sshd: PrivateSshd, start_sshd: StartSshd) -> None:
    sshd = start_sshd(settings={"ForceCommand": f"printf '{EXPIRED}' >&2; exit 1"})
    client = OpenSsh("desktop", make_settings(sshd), Runner(), pauses_seconds=())
    with client.keep_shell(), pytest.raises(NoShellError, match="Your password has expired"):
        client.run("true")
    client.logout()


def test_sftp_that_a_forced_command_answers_is_told_in_its_words(
    start_sshd: StartSshd, make_paramiko: Callable[..., ParamikoClient]
) -> None:
    client = make_paramiko(start_sshd(settings={"ForceCommand": f"printf '{EXPIRED}' >&2; exit 1"}))
    assert not client.can_run
    with pytest.raises(NoShellError, match=r"Your password has expired.*, and there is no SFTP"), client.open_sftp():
        pass


@pytest.fixture
def closed_sshd(start_sshd: StartSshd, require_program: Callable[..., None], tmp_path: Path) -> PrivateSshd:
    """A server whose PAM lets nobody in and says why, as pam_nologin and an expired account do."""
    require_program("unshare", "mount")
    if os.geteuid() != 0 or not Path("/etc/pam.d/sshd").exists():
        pytest.skip("only root can give sshd a PAM of its own, and it needs PAM")
    words, stack = tmp_path / "words", tmp_path / "stack"
    words.write_text("Maintenance until Monday 8:00\nask help@example.org\n")
    stack.write_text(f"account required pam_echo.so file={words}\naccount requisite pam_deny.so\n")
    script = f'mount --bind {stack} /etc/pam.d/sshd && exec "$@"'
    if subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", "true"], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    return start_sshd(settings={"UsePAM": "yes"}, prefix=("unshare", "--mount", "sh", "-c", script, "sh"))


def test_what_a_server_says_when_it_lets_nobody_in_is_quoted(make_client: MakeClient, closed_sshd: PrivateSshd) -> None:
    with pytest.raises(LoginRefusedError) as caught:
        make_client(closed_sshd).login()
    assert 'and said "Maintenance until Monday 8:00 ask help@example.org"' in caught.value.message
    assert closed_sshd.log_text().count("Connection from") == 1


SECRET = "hunter2topsecret"


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"AuthorizedKeysFile": "none"}, id="refused"),
        pytest.param({"ForceCommand": f"echo it is {SECRET} >&2; exit 1"}, id="said by the server"),
        pytest.param({"ForceCommand": f"echo it is {SECRET}; exit 255"}, id="said by the server, with ssh's status"),
    ],
)
def test_what_setenv_holds_is_in_no_error(
    make_client: MakeClient, start_sshd: StartSshd, settings: dict[str, str]
) -> None:
    sshd = start_sshd(settings=settings)
    options = {"UserKnownHostsFile": str(sshd.known_hosts), "setenv": f"TOKEN={SECRET}"}
    with pytest.raises(HsmError) as caught:
        make_client(sshd, options=options).run("true")
    error = caught.value
    assert SECRET not in error.message + error.hint + error.detail
    assert str(sshd.port) in error.hint


TUNNEL_SETTINGS = ("StdinNull yes", "SessionType none", "SessionType subsystem", "ForkAfterAuthentication yes")


@pytest.mark.parametrize("line", TUNNEL_SETTINGS)
def test_settings_for_a_tunnel_do_not_count(
    make_client: MakeClient, sshd: PrivateSshd, tmp_path: Path, line: str
) -> None:
    config = tmp_path / "config"
    config.write_text(f"{line}\n")
    config.chmod(0o600)
    if subprocess.run(["ssh", "-F", config, "-G", "-N", "x"], check=False, capture_output=True).returncode:
        pytest.skip(f"this ssh does not know {line.split()[0]}")
    client = make_client(sshd, config=str(config))
    assert client.run("cat", stdin=b"in").stdout == b"in"
    assert client.run("cat", stdin=b"again").stdout == b"again"
    assert sshd.count_logins() == 1
