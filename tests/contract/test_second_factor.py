"""Questions of the second client to a person: a passphrase, a password, a second factor; a script is never asked."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from private_sshd import PrivateSshd

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.errors import UnreachableError
from hsm.process.runner import Runner
from hsm.remote.paramiko.client import ParamikoClient

FACTORS = ("publickey", "keyboard-interactive", "password")


class StrictServer(paramiko.ServerInterface):
    """Wants its factors one after another: a key, the words of `answers`, a password."""

    def __init__(self, factors: tuple[str, ...]) -> None:
        self.left = list(factors)

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002
        return self.left[0]

    def _pass(self, factor: str, *, is_right: bool) -> int:
        if not is_right or self.left[0] != factor:
            return paramiko.AUTH_FAILED
        self.left.pop(0)
        return paramiko.AUTH_PARTIALLY_SUCCESSFUL if self.left else paramiko.AUTH_SUCCESSFUL

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        return self._pass("publickey", is_right=True)

    def check_auth_password(self, username: str, password: str) -> int:  # noqa: ARG002
        return self._pass("password", is_right=password == "the password")

    def check_auth_interactive(self, username: str, submethods: str) -> paramiko.InteractiveQuery:  # noqa: ARG002
        return paramiko.InteractiveQuery("Second factor", "Look at your phone", ("Code: ", True), ("PIN: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return self._pass("keyboard-interactive", is_right=responses == ["123", "pin"])


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., TargetSettings]]:
    """Return a function that starts such a server, and makes the settings of a target there."""
    transports: list[paramiko.Transport] = []
    listener = socket.create_server(("127.0.0.1", 0))
    host_key = paramiko.RSAKey.generate(2048)
    (tmp_path / "known").write_text(
        f"[127.0.0.1]:{listener.getsockname()[1]} {host_key.get_name()} {host_key.get_base64()}\n"
    )
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)

    def make(*factors: str) -> TargetSettings:
        def accept() -> None:
            client, _ = listener.accept()
            transports.append(paramiko.Transport(client))
            transports[-1].add_server_key(host_key)
            transports[-1].start_server(server=StrictServer(factors), event=threading.Event())

        threading.Thread(target=accept, daemon=True).start()
        return parse_target(
            {
                "host": "127.0.0.1",
                "user": "ada",
                "port": listener.getsockname()[1],
                "paths": {"sweeps": "~/sweeps", "wandb": "~/wandb"},
                "ssh": {
                    "identity_file": str(tmp_path / "key"),
                    "options": {"UserKnownHostsFile": str(tmp_path / "known")},
                },
            }
        )

    yield make
    for transport in transports:
        transport.close()
    listener.close()


@pytest.mark.parametrize("factors", [("publickey",), ("password",), ("keyboard-interactive",), FACTORS, FACTORS[::-1]])
def test_every_factor_is_asked_for_in_the_servers_order(
    serve: Callable[..., TargetSettings], factors: tuple[str, ...]
) -> None:
    asked: list[tuple[str, bool]] = []
    answers = {"Code": "123", "PIN": "pin", "password": "the password"}

    def ask(question: str, is_shown: bool) -> str:
        asked.append((question, is_shown))
        return next(answer for word, answer in answers.items() if word in question)

    with ParamikoClient("desktop", serve(*factors), Runner(), ask=ask, pauses_seconds=()) as client:
        client.login()
    expected = {
        "publickey": [],
        "password": [("ada@127.0.0.1's password: ", False)],
        "keyboard-interactive": [("Second factor\nLook at your phone\nCode: ", True), ("PIN: ", False)],
    }
    assert asked == [question for factor in factors for question in expected[factor]]


@pytest.mark.parametrize("factors", [("password",), ("keyboard-interactive",), FACTORS])
def test_a_script_is_refused_at_once(serve: Callable[..., TargetSettings], factors: tuple[str, ...]) -> None:
    with ParamikoClient("desktop", serve(*factors), Runner()) as client, pytest.raises(UnreachableError) as caught:
        client.login()
    assert caught.value.kind == "login_refused"


def test_wrong_answers_end_after_three(serve: Callable[..., TargetSettings]) -> None:
    asked: list[str] = []

    def ask(question: str, _is_shown: bool) -> str:
        asked.append(question)
        return "wrong"

    with (
        ParamikoClient("desktop", serve("password"), Runner(), ask=ask) as client,
        pytest.raises(UnreachableError) as caught,
    ):
        client.login()
    assert (caught.value.kind, len(asked)) == ("login_refused", 3)


def test_a_passphrase_is_asked_for_until_it_is_right(
    make_paramiko: Callable[..., ParamikoClient], sshd: PrivateSshd, tmp_path: Path
) -> None:
    key = tmp_path / "locked"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(key)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    (sshd.folder / "user_key.pub").write_text(key.with_suffix(".pub").read_text())
    answers = ["wrong", "secret"]
    client = make_paramiko(sshd, identity_file=str(key))
    client._connection.ask = lambda _question, _is_shown: answers.pop(0)
    client.login()
    assert answers == []
