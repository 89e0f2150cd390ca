"""Host keys: the one that a server offers, those that are stored for it, and how a person accepts one after comparing.

A message without the fingerprint invites to accept anything.

Files of known hosts are read by `ssh-keygen -F`, which knows hashed names too. Nothing here changes them.
Sources: sshconnect.c (`verify_host_key` and the messages around it), ssh-keygen(1) for `-F`, `-R` and `-l`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import ChangedHostKeyError, UnknownHostKeyError, UnreachableError
from hsm.process.runner import CommandTimeoutError, ProgramMissingError, Runner
from hsm.remote.shell import quote

_TIMEOUT_SECONDS = 20
_MOST_SHOWN = 3
_ASK_UNKNOWN = (
    "Ask whoever runs the machine for its fingerprint. Only if it is the same, log in once by hand and accept it:"
)
_ASK_CHANGED = (
    "Ask whoever runs the machine whether its key was replaced, and for the new fingerprint. Only if that is the "
    "offered one, remove the stored key, then log in once by hand and accept the new one:"
)
# From the log of the login that met the key. `ssh-keyscan` does not go through jump hosts, is one more contact with
# servers that ban, and may meet another machine.
_OFFERED = re.compile(r"^debug1: Server host (?:key|certificate): (?P<kind>\S+) (?P<print>\w+:[^\s,]+)", re.MULTILINE)
_SENT = re.compile(
    r"^The fingerprint for the (?P<kind>\S+) key sent by the remote host is\n(?P<print>\w+:\S+?)\.?$", re.MULTILINE
)
_OFFENDING = re.compile(r"^Offending (?P<kind>\S+) key in (?P<path>.+):(?P<line>\d+)$", re.MULTILINE)
_FOUND = re.compile(r"^# Host .* found: line (?P<line>\d+) ?(?P<marker>CA|REVOKED)?", re.MULTILINE)
_PRINT = re.compile(r" (?P<kind>\S+) (?P<print>\w+:\S+)")
_KINDS = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA", "ssh-dss": "DSA"}


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key in a file of known hosts.

    Attributes:
        path: The file.
        line: Counted from 1.
        text: Type and fingerprint, as `ED25519 SHA256:...`; empty where only the place is known.
        marker: `CA`, `REVOKED`, or empty.
    """

    path: str
    line: int
    text: str = ""
    marker: str = ""

    @property
    def place(self) -> str:
        """As `/home/ada/.ssh/known_hosts:3`."""
        return f"{self.path}:{self.line}"


def make_known_name(host: str, port: str, alias: str) -> str:
    """Make the name under which ssh stores a host's key: an alias as it is, else the host, with an unusual port."""
    if alias not in ("", "none"):
        return alias
    return host if port in ("", "22") else f"[{host}]:{port}"


def parse_offered_key(log: str) -> str:
    """Find the key that a server offered in the log of a login: `ED25519 SHA256:...`; empty when it tells none."""
    text = log.replace("\r", "")
    matches = [*_OFFERED.finditer(text)] or [*_SENT.finditer(text)]
    return f"{_shorten(matches[-1]['kind'])} {matches[-1]['print']}" if matches else ""


def parse_offending_keys(log: str) -> list[StoredKey]:
    """Find the places of stored keys that ssh names because another key was offered."""
    found = [StoredKey(match["path"], int(match["line"])) for match in _OFFENDING.finditer(log.replace("\r", ""))]
    return list(dict.fromkeys(found))


def make_find_argv(name: str, path: str) -> list[str]:
    """Make the command that prints the keys that a file holds for a name, also where its names are hashed."""
    return ["ssh-keygen", "-l", "-E", "sha256", "-F", name, "-f", path]


def parse_stored_keys(output: str, path: str) -> list[StoredKey]:
    """Read the output of the command of `make_find_argv`."""
    found: list[StoredKey] = []
    header: re.Match[str] | None = None
    for line in output.splitlines():
        key = _PRINT.search(line)
        if line.startswith("# Host "):
            header = _FOUND.match(line)
        elif header is not None and key is not None:
            text = f"{_shorten(key['kind'])} {key['print']}"
            found.append(StoredKey(path, int(header["line"]), text, header["marker"] or ""))
            header = None
    return found


def split_file_names(text: str, exists: Callable[[str], bool]) -> list[str]:
    """Split a list of files as `ssh -G` prints it: separated by blanks, while blanks in names are not quoted."""
    words = text.split(" ")
    names: list[str] = []
    while words:  # the longest name that exists
        sizes = range(len(words), 0, -1)
        n_words = next((size for size in sizes if exists(" ".join(words[:size]))), 1)
        names.append(" ".join(words[:n_words]))
        del words[:n_words]
    return [name for name in names if name not in ("", "none")]


def list_known_keys(runner: Runner, settings: Mapping[str, str], *, name: str) -> list[StoredKey]:
    """Look a host's keys up in the files of known hosts, the user's first.

    Args:
        runner: Starts `ssh-keygen`.
        settings: As `ssh -G` prints them.
        name: As `make_known_name` makes it.
    """
    files = [
        file
        for setting in ("userknownhostsfile", "globalknownhostsfile")
        for file in split_file_names(settings.get(setting, ""), lambda file: Path(file).expanduser().exists())
    ]
    return [key for file in files for key in list_stored_keys(runner, str(Path(file).expanduser()), name=name)]


def list_stored_keys(runner: Runner, path: str, *, name: str) -> list[StoredKey]:
    """Look a host's keys up in one file; there are none where it cannot be read."""
    if not Path(path).is_file():
        return []
    try:
        completed = runner.run(make_find_argv(name, path), timeout_seconds=_TIMEOUT_SECONDS)
    except (ProgramMissingError, CommandTimeoutError):
        return []
    return parse_stored_keys(completed.stdout.decode("utf-8", "replace"), path)


def explain_host_key(error: UnreachableError, log: str, *, runner: Runner, name: str, command: str) -> UnreachableError:
    """Add to an error which key is offered, which are stored where, and how to accept the new one.

    Args:
        error: The meaning of ssh's complaint on its own, of any kind.
        log: Of the login.
        runner: Starts `ssh-keygen`.
        name: As `make_known_name` makes it.
        command: The ssh command that asks about the key in the foreground.

    Returns:
        The error to raise: `error` itself where the log tells no more.
    """
    offered, offending = parse_offered_key(log), parse_offending_keys(log)
    if isinstance(error, UnknownHostKeyError) and offered:
        message = f"The host key that {name} offers is not known here: {offered}."
        return error.reword(message, hint=_make_hint(_ASK_UNKNOWN, [command]))
    if not isinstance(error, ChangedHostKeyError) or not offending:
        return error
    # A certificate authority in the same file is not in the way.
    found = [key for place in offending for key in list_stored_keys(runner, place.path, name=name) if not key.marker]
    stored = list(dict.fromkeys(found)) or offending
    removals = [f"ssh-keygen -R {quote(name)} -f {quote(path)}" for path in dict.fromkeys(key.path for key in stored)]
    offer = offered or "another one"
    return error.reword(
        f"The host key of {name} has changed: it offers {offer}, stored is {list_some_keys(stored)}.",
        hint=_make_hint(_ASK_CHANGED, [*removals, command]),
    )


def _make_hint(text: str, commands: Sequence[str]) -> str:
    """Make a hint of a sentence, and below it the commands to type, each a line of its own."""
    return "\n".join([text, *(f"  {command}" for command in commands)])


def list_some_keys(stored: Sequence[StoredKey]) -> str:
    """List stored keys with their places for a message, a few of many."""
    shown = [f"{key.text or 'the key'} in {key.place}" for key in stored[:_MOST_SHOWN]]
    more = f" and {len(stored) - _MOST_SHOWN} more" if len(stored) > _MOST_SHOWN else ""
    return ", ".join(shown) + more


def _shorten(kind: str) -> str:
    """Name a key's type as ssh does in its questions."""
    plain = kind.replace("-cert-v01@openssh.com", "").replace("@openssh.com", "")
    if plain.startswith("ecdsa-"):
        return "ECDSA"
    if plain.startswith("sk-"):
        return "ECDSA-SK" if "ecdsa" in plain else "ED25519-SK"
    return _KINDS.get(plain, plain)
