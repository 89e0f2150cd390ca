"""Proof of who we are, as servers ask for it: keys, their passphrases, passwords and second factors."""

from __future__ import annotations

import base64
import binascii
import contextlib
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm.remote.paramiko.diagnosis import LoginTraces
from hsm.remote.paramiko.settings import LoginSettings

if TYPE_CHECKING:
    from paramiko import PKey, Transport

Prompt = Callable[[str, bool], str]
"""Asks the person at the terminal; takes the question, and whether the answer is shown while it is typed."""

_MOST_ANSWERS = 3
_METHODS = ("publickey", "keyboard-interactive", "password")


class Authentication:
    """Proof by keys of the agent, key files and their certificates, then by the answers of a person.

    Implements the part of `paramiko.AuthStrategy` that a connection calls.

    Args:
        settings: Of the login.
        ask: As in `hsm.remote.paramiko.login.open_login`.
        traces: Takes the reasons why keys could not be used.
    """

    def __init__(self, settings: LoginSettings, ask: Prompt | None, traces: LoginTraces) -> None:
        self._settings = settings
        self._ask = ask
        self._traces = traces
        self._notes = traces.notes

    def authenticate(self, transport: Transport) -> None:
        """Log in.

        Raises:
            paramiko.AuthenticationException: The server accepts none of our proofs.
        """
        from paramiko import AuthenticationException, BadAuthenticationType  # noqa: PLC0415

        allowed: list[str] = []
        try:  # the only way to ask which methods the server takes (RFC 4252, section 5.2)
            transport.auth_none(self._settings.user)
        except BadAuthenticationType as error:
            allowed = error.allowed_types
        methods = [method for method in _METHODS if method == "publickey" or self._ask is not None]
        while not transport.is_authenticated():
            method = next((method for method in methods if method in allowed), None)
            if method is None:
                raise AuthenticationException(f"it takes {', '.join(allowed) or 'nothing'}")
            further = self._try_method(method, transport)
            if further is None:
                methods.remove(method)
            else:
                allowed = further

    def _try_method(self, method: str, transport: Transport) -> list[str] | None:
        """Try one method; the methods that the server still wants after a success, None after a failure."""
        from paramiko import AuthenticationException, BadAuthenticationType  # noqa: PLC0415

        user = self._settings.user
        with contextlib.ExitStack() as stack:
            for proof in self._iter_proofs(method, stack):
                try:
                    if method == "publickey":
                        return list(transport.auth_publickey(user, proof))
                    if method == "password":
                        return list(transport.auth_password(user, proof, fallback=False))
                    return list(transport.auth_interactive(user, proof))
                except BadAuthenticationType:
                    return None
                except AuthenticationException:
                    if not transport.is_active():
                        raise
        return None

    def _iter_proofs(self, method: str, stack: contextlib.ExitStack) -> Iterator[Any]:
        if method == "publickey":
            yield from self._iter_keys(stack)
        for _ in range(_MOST_ANSWERS):
            if method == "password":
                yield self._question(f"{self._settings.user}@{self._settings.host}'s password: ", is_shown=False)
            elif method == "keyboard-interactive":
                yield self._answer

    def _question(self, text: str, *, is_shown: bool) -> str:
        if self._ask is None:
            raise AssertionError("nobody may be asked")
        return self._ask(text, is_shown)

    def _answer(self, title: str, instructions: str, fields: list[tuple[str, bool]]) -> list[str]:
        """Answer a server's questions; its texts go before the first one."""
        head = "".join(f"{text.strip()}\n" for text in (title, instructions) if text.strip())
        answers = []
        for text, is_shown in fields:
            answers.append(self._question(head + text, is_shown=bool(is_shown)))
            head = ""
        return answers

    def _iter_keys(self, stack: contextlib.ExitStack) -> Iterator[PKey]:
        own = {blob for path in self._settings.identity_files if (blob := _read_public_blob(path))}
        if self._settings.uses_agent:
            from paramiko import Agent  # noqa: PLC0415

            agent = Agent()
            stack.callback(agent.close)
            # The wanted ones first: servers refuse a login after some six keys (MaxAuthTries).
            keys = sorted(agent.get_keys(), key=lambda key: key.asbytes() not in own)
            yield from (key for key in keys if not self._settings.only_identities or key.asbytes() in own)
        locked: list[str] = []
        for path in self._settings.identity_files:
            yield from self._iter_file_keys(path, None, locked)
        for path in locked:
            yield from self._iter_locked_keys(path)

    def _iter_locked_keys(self, path: str) -> Iterator[PKey]:
        if self._ask is None:
            self._notes.append(f"{path} needs a passphrase, and nobody may be asked")
            return
        for _ in range(_MOST_ANSWERS):
            passphrase = self._question(f"Enter passphrase for key '{path}': ", is_shown=False)
            if not passphrase:
                return
            refused: list[str] = []
            yield from self._iter_file_keys(path, passphrase, refused)
            if not refused:
                return

    def _iter_file_keys(self, path: str, passphrase: str | None, locked: list[str]) -> Iterator[PKey]:
        """Yield a key with its certificates, then alone.

        `locked` takes its path where the passphrase is missing or wrong.
        """
        if not Path(path).is_file():
            if path in self._settings.named_files:
                self._traces.missing_keys[path] = _explain_missing(path)
            return
        if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:  # OpenSSH does not use such a key either
            self._notes.append(f"{path} is open to others (`chmod 600` it)")
            return
        certificates = [f"{path}-cert.pub", *self._settings.certificate_files]
        for certificate in (*filter(_is_file, certificates), ""):
            key = self._load_key(path, passphrase, certificate, locked)
            if key is None:
                return
            yield key

    def _load_key(self, path: str, passphrase: str | None, certificate: str, locked: list[str]) -> PKey | None:
        from paramiko import PasswordRequiredException, PKey, SSHException  # noqa: PLC0415

        try:
            secret = None if passphrase is None else passphrase.encode()
            key: PKey = PKey.from_path(path, secret)  # type: ignore[arg-type]  # it wants bytes
            key.public_blob = None
            if certificate:
                with contextlib.suppress(ValueError, SSHException):  # of another type of key
                    key.load_certificate(certificate)
        except (TypeError, PasswordRequiredException):
            locked.append(path)
        except Exception as error:  # cryptography has its own for each flaw of a key
            if passphrase is not None:
                locked.append(path)
            self._notes.append(f"{path} cannot be used: {error}")
        else:
            return key
        return None


def _is_file(path: str) -> bool:
    return Path(path).is_file()


def _explain_missing(path: str) -> str:
    try:
        Path(path).stat()
    except OSError as error:
        return error.strerror or str(error)
    return "it is no file"


def _read_public_blob(path: str) -> bytes:
    """Read the public key that belongs to an identity file; empty where none can be read."""
    for name in (f"{path}.pub", path):
        with contextlib.suppress(OSError, ValueError, IndexError, binascii.Error):
            words = Path(name).read_text("ascii").split()
            if words[0].startswith(("ssh-", "ecdsa-", "sk-")):
                return base64.b64decode(words[1], validate=True)
    return b""
