"""ssh's command line, built from a target's settings, and the output of `ssh -G`, read. Pure but for `~`.

ssh takes the first value that it meets: HSM's fixed options come first, then the target's own, then defaults of HSM.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

CONNECT_TIMEOUT_SECONDS = 20

QUICK_CIPHER = "aes128-gcm@openssh.com"
"""On processors with AES 400 MiB take 1.22 s with it, 1.89 s with chacha20-poly1305, OpenSSH's own first choice."""

_FIXED_OPTIONS = (
    "RemoteCommand=none",
    "RequestTTY=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "NoHostAuthenticationForLocalhost=no",
    "UpdateHostKeys=no",
    "CheckHostIP=no",
    "LogLevel=INFO",
)
"""Normal settings of users break a shared login or hide why it failed; these win over them.

Host keys are checked always, and with UpdateHostKeys or CheckHostIP ssh would add to the known hosts by itself.
"""

LOGIN_OPTIONS = ("LogLevel=DEBUG1", "FingerprintHash=sha256")
"""For the log of a login: ssh names an offered host key, and why a server drops a connection, at DEBUG1 alone.

Not `-v`, which a jump host's ssh would get too: it then keeps HSM's standard error open.
"""

_KEEPALIVE_OPTIONS = (
    f"ConnectTimeout={CONNECT_TIMEOUT_SECONDS}",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)
"""Without these a frozen link hangs for ever; it ends within a minute. The user's own options win over them."""


class SshOptions(Protocol):
    """The `ssh` settings of a target that ssh's command line depends on."""

    @property
    def config(self) -> str | None:
        """For `-F`."""

    @property
    def identity_file(self) -> str | None:
        """For `-i`."""

    @property
    def options(self) -> Mapping[str, str]:
        """For `-o`."""


class SshTarget(Protocol):
    """The settings of a target that ssh's command line depends on; `hsm.config.schema.TargetSettings` is one."""

    @property
    def host(self) -> str:
        """A name that ssh knows, or an address."""

    @property
    def user(self) -> str | None:
        """For `-l`."""

    @property
    def port(self) -> int | None:
        """For `-p`."""

    @property
    def ssh(self) -> SshOptions:
        """Further settings of the call."""


def make_ssh_arguments(
    settings: SshTarget, control_path: Path, fixed: Sequence[str] = (), *, wishes: Sequence[str] = ()
) -> list[str]:
    """Make the options of every ssh over a control path, without the program and the host.

    Args:
        settings: The target's.
        control_path: Of the shared login.
        fixed: Further options that win over all others, as `Name=value`.
        wishes: Options that the target's own win over.
    """
    first = [f"ControlPath={control_path}", *fixed, *_FIXED_OPTIONS]
    return [*_make_option_words(first), *make_user_words(settings), *_make_option_words([*wishes, *_KEEPALIVE_OPTIONS])]


def make_session_words(settings: SshTarget, control_path: Path | None, fixed: Sequence[str] = ()) -> list[str]:
    """Make the options of a session that asks nothing: over a shared login and never a new one, or as its own login.

    Args:
        settings: The target's.
        control_path: Of the shared login; None for a login of its own. At the server's MaxSessions ssh would open a
            new login without a word; `ProxyCommand=false` makes it fail at once instead.
        fixed: As in `make_ssh_arguments`.
    """
    only = ("ProxyCommand=false",) if control_path is not None else ()
    always = ("ControlMaster=no", "BatchMode=yes", *only, "StrictHostKeyChecking=yes")
    return make_ssh_arguments(settings, control_path or Path("none"), (*fixed, *always))


def make_user_words(settings: SshTarget) -> list[str]:
    """Make the options that the target's settings ask for, as a person would type them."""
    words = _make_option_words([f"{name}={value}" for name, value in settings.ssh.options.items()])
    if settings.ssh.config:
        words += ["-F", _expand(settings.ssh.config)]
    if settings.ssh.identity_file:
        words += ["-i", _expand(settings.ssh.identity_file)]
    if settings.user:
        words += ["-l", settings.user]
    if settings.port:
        words += ["-p", str(settings.port)]
    return words


def make_control_name(settings: SshTarget, resolved: Mapping[str, str]) -> str:
    """Make the name of a target's control socket: 16 hex digits over everything that decides the login.

    Not ssh's `%C`: it ignores keys and options, so that another key would use the first one's master, and since
    OpenSSH 9.6 it covers the jump host, which later sessions do not see.
    """
    ssh = settings.ssh
    own = (settings.host, settings.user, settings.port, ssh.config, ssh.identity_file, sorted(ssh.options.items()))
    asked = repr(own)
    digest = hashlib.sha256((asked + repr(sorted(resolved.items()))).encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def make_cipher_wish(resolved: Mapping[str, str]) -> tuple[str, ...]:
    """Make the option that asks for `QUICK_CIPHER` first, where the settings in force allow that cipher at all."""
    ciphers = resolved.get("ciphers", "").split(",")
    if QUICK_CIPHER not in ciphers:
        return ()
    others = (cipher for cipher in ciphers if cipher != QUICK_CIPHER)
    return (f"Ciphers={','.join((QUICK_CIPHER, *others))}",)


def parse_resolved(text: str) -> dict[str, str]:
    """Read the output of `ssh -G`: by name in lower case; several values of one name in lines."""
    resolved: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        resolved[name] = f"{resolved[name]}\n{value}" if name in resolved else value
    return resolved


def _make_option_words(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("-o", setting)]


def _expand(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 - a name without a home stays as it is
