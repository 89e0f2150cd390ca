"""Files of known hosts, read without OpenSSH: the keys that are stored for a name, held against an offered one.

Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT", and hostfile.c (`match_hostname`, `host_hash`). Nothing here changes
a file. Keys of certificate authorities are skipped, since paramiko knows no host certificates.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import ChangedHostKeyError, HostKeyError, UnknownHostKeyError
from hsm.remote.openssh.host_keys import StoredKey, list_some_keys
from hsm.remote.shell import quote

_CA_MARKER = "@cert-authority"
_REVOKED_MARKER = "@revoked"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that a file of known hosts holds for a name.

    Attributes:
        path: The file.
        line: Counted from 1.
        kind: As `ssh-ed25519`.
        blob: The public key.
        is_revoked: It must not be accepted.
    """

    path: str
    line: int
    kind: str
    blob: bytes
    is_revoked: bool = False

    @property
    def stored(self) -> StoredKey:
        """The key for messages."""
        return StoredKey(self.path, self.line, describe_key(self.kind, self.blob))


def parse_known_hosts(text: str, path: str, name: str) -> Iterator[KnownKey]:
    """Find the keys for a name in a file's text; lines that cannot be read are skipped."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker == _CA_MARKER or not matches_name(words[0], name):
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        yield KnownKey(path, number, words[1], blob, is_revoked=marker == _REVOKED_MARKER)


def matches_name(patterns: str, name: str) -> bool:
    """Tell whether the first field of a line means a name: hashed, or patterns of which a negated one excludes."""
    name = name.lower()
    if patterns.startswith("|1|"):
        return _matches_hash(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        if _matches_pattern(pattern.removeprefix("!"), name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _matches_pattern(pattern: str, name: str) -> bool:
    """`*` and `?` alone are special; brackets are those around a host with its port."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def _matches_hash(field: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in field.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode("utf-8", "surrogateescape"), hashlib.sha1).digest(), digest)


def describe_key(kind: str, blob: bytes) -> str:
    """Describe a key as ssh does in its questions: `ED25519 SHA256:...`."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")
    plain = kind.replace("@openssh.com", "")
    word = "ECDSA" if plain.startswith("ecdsa-") else plain.removeprefix("ssh-").upper()
    return f"{word} SHA256:{digest}"


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """The stored keys of one host.

    Attributes:
        name: As `hsm.remote.openssh.host_keys.make_known_name` makes it.
        keys: In the order of the files.
        files: That are in force, the user's first.
    """

    name: str
    keys: tuple[KnownKey, ...]
    files: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of the stored keys, to be asked for first: another type than the stored one tells nothing."""
        return tuple(dict.fromkeys(key.kind for key in self.keys if not key.is_revoked))

    def check(self, kind: str, blob: bytes, *, command: str) -> None:
        """Accept an offered key, or raise what is wrong with it.

        Args:
            kind: Its type.
            blob: The public key.
            command: The ssh command that asks a person about it; empty where there is no ssh.

        Raises:
            HostKeyError: It is unknown, revoked, or another one than the stored.
        """
        same = [key for key in self.keys if key.blob == blob]
        if any(key.is_revoked for key in same):
            raise HostKeyError(
                f"The host key of {self.name} is marked as revoked: {describe_key(kind, blob)} in "
                f"{same[0].stored.place}.",
                hint="Do not log in. Ask whoever runs the machine for its new key.",
                kind="host_key_revoked",
            )
        if same:
            return
        others = [key for key in self.keys if key.kind == kind and not key.is_revoked]
        raise self._make_changed(kind, blob, others, command) if others else self._make_unknown(kind, blob, command)

    def _make_unknown(self, kind: str, blob: bytes, command: str) -> UnknownHostKeyError:
        return UnknownHostKeyError(
            f"The host key that {self.name} offers is not known here: {describe_key(kind, blob)}.",
            hint="Ask whoever runs the machine for its fingerprint. Only if it is the same, accept it:\n"
            f"  {command or self._make_add_command(kind, blob)}",
        )

    def _make_changed(self, kind: str, blob: bytes, others: Sequence[KnownKey], command: str) -> ChangedHostKeyError:
        if command:
            files = dict.fromkeys(key.path for key in others)
            removals = [f"ssh-keygen -R {quote(self.name)} -f {quote(path)}" for path in files]
        else:
            removals = [f"sed -i.old {key.line}d {quote(key.path)}" for key in reversed(others)]
        commands = [*removals, command or self._make_add_command(kind, blob)]
        return ChangedHostKeyError(
            f"The host key of {self.name} has changed: it offers {describe_key(kind, blob)}, "
            f"stored is {list_some_keys([key.stored for key in others])}.",
            hint="Ask whoever runs the machine whether its key was replaced, and for the new fingerprint. Only if "
            "that is the offered one, remove the stored key and accept the new one:\n"
            + "\n".join(f"  {line}" for line in commands),
        )

    def _make_add_command(self, kind: str, blob: bytes) -> str:
        line = f"{self.name} {kind} {base64.b64encode(blob).decode('ascii')}"
        file = self.files[0] if self.files else "~/.ssh/known_hosts"
        return f"echo {quote(line)} >> {file if file.startswith('~/') else quote(file)}"


def load_known_hosts(names: Iterable[str], files: Sequence[str]) -> KnownHosts:
    """Look a host up in the files that are in force; one that is missing or unreadable holds nothing.

    Args:
        names: The first is the host's; a further one counts where the one before is not found (ssh does so for a
            host at an unusual port).
        files: The user's first.
    """
    texts = [(file, _read_text(file)) for file in files]
    first, *others = names
    for name in (first, *others):
        keys = tuple(key for file, text in texts for key in parse_known_hosts(text, file, name))
        if keys:
            return KnownHosts(first, keys, tuple(files))
    return KnownHosts(first, (), tuple(files))


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
