"""The rsync of each end, and the abilities that two of them have together.

The command is built from these, never from hope. Sources: `rsync --version` of samba's rsync 3.1 to 3.5 and of macOS's
openrsync, and openrsync's table of options (`main.c`, `rsync_lopts`; docs/design/rsync.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hsm.errors import NoRsyncError, NoRsyncHereError
from hsm.process.runner import ProgramMissingError, Runner

MIN_VERSION = (3, 1, 0)
"""Older ones have neither `--info` nor `--outbuf`."""

FINE_TIMES_VERSION = (3, 1, 3)
"""From here on a receiver compares times to the nanosecond (`--modify-window=-1`)."""

REFUSING_LINKS_VERSION = (3, 5, 0)
"""From here on a receiver refuses a symlink where it expects a folder (`secure_relative_open`)."""

TORN_SPARSE_PARTS_VERSIONS = ((3, 2, 0), (3, 3, 0))
"""From the first on a receiver continues a part in place; from the second on it cuts what lies behind a last hole."""

FINE_TIMES_PROTOCOL = 31
"""From here on times travel with all digits; before it as whole seconds."""

ESCAPING_VERSION = (3, 2, 4)
"""From here on a client quotes paths for the shell there by itself; before it needs `--protect-args`."""

_SAMBA = re.compile(r"rsync\s+version v?(?P<version>\d+(?:\.\d+)+)\S*\s+protocol version (?P<protocol>\d+)")
_OPENRSYNC = re.compile(r"openrsync: protocol version (?P<protocol>\d+)")
_COMPATIBLE = re.compile(r"rsync version (?P<version>\d+(?:\.\d+)+) compatible")
_LIST = r"^{title} list:\n((?:[ \t]+\S.*\n?)+)"
_OPENRSYNC_PROTOCOL = 29
_HINT = "HSM needs samba's rsync from 3.1.0 on; name another one with `rsync_path`."
_HINT_OLD = "Update it, or name samba's rsync there with `rsync_path`."
_HINT_HERE = "Install samba's rsync from 3.1.0 on, for example with `brew install rsync`, and let PATH find it first."

COMPRESSING_SECONDS = 0.005
"""From this round trip on a link is slow enough for compression to pay."""


@dataclass(frozen=True, slots=True)
class RsyncVersion:
    """An rsync, as `rsync --version` describes it.

    Attributes:
        version: Of samba's rsync; of openrsync the version that it calls itself compatible with.
        protocol: The highest that it speaks.
        is_openrsync: It is openrsync, as on macOS.
        checksums: By name, the preferred first; empty before 3.2.0.
        compressions: Likewise.
    """

    version: tuple[int, ...]
    protocol: int
    is_openrsync: bool = False
    checksums: tuple[str, ...] = ()
    compressions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For messages, for example `3.2.7`."""
        return "openrsync" if self.is_openrsync else ".".join(str(part) for part in self.version)


@dataclass(frozen=True, slots=True)
class RsyncPair:
    """Two rsyncs that work together.

    Attributes:
        here: This machine's.
        there: The other end's; this machine's own for a local copy.
    """

    here: RsyncVersion
    there: RsyncVersion

    @property
    def protocol(self) -> int:
        """The one that they will speak."""
        return min(self.here.protocol, self.there.protocol)

    @property
    def has_fine_times(self) -> bool:
        """Both compare times to the nanosecond."""
        return not self.to_openrsync and min(self.here.version, self.there.version) >= FINE_TIMES_VERSION

    @property
    def to_openrsync(self) -> bool:
        """The other end is openrsync, which refuses options that samba's rsync passes on."""
        return self.there.is_openrsync

    @property
    def compressions(self) -> tuple[str, ...]:
        """The compressions that both know, in the order that this machine's prefers."""
        return tuple(name for name in self.here.compressions if name in self.there.compressions)

    @property
    def checksums(self) -> tuple[str, ...]:
        """The checksums that both know, in the order that this machine's prefers."""
        return tuple(name for name in self.here.checksums if name in self.there.checksums)


def choose_compression(wish: str, common: Sequence[str], *, round_trip_seconds: float | None) -> str:
    """Choose the method that content is compressed with. Pure.

    zstd costs next to nothing on content that does not shrink and makes JSON lines five times smaller; on a fast link
    it costs more than it saves. zlib, all that an rsync before 3.2.0 knows, is slower than most links.

    Args:
        wish: `auto`, `none`, or a method's name.
        common: The methods that both ends know.
        round_trip_seconds: Of the link; None where unknown, which counts as far away.

    Returns:
        The method's name as rsync takes it; empty for none, also where one end does not know the method of the wish.
    """
    if wish == "auto":
        is_far = round_trip_seconds is None or round_trip_seconds >= COMPRESSING_SECONDS
        # zstd costs next to nothing on content that does not shrink and makes JSON lines 5.6 times smaller. zlib, all
        # that an rsync before 3.2.0 knows, ends at about 47 MB/s.
        return "zstd" if is_far and "zstd" in common else ""
    return wish if wish in common and wish != "none" else ""


def parse_rsync_version(text: str) -> RsyncVersion | None:
    """Read the output of `rsync --version`; None when it is no rsync that HSM knows. Pure."""
    if match := _OPENRSYNC.match(text):
        compatible = _COMPATIBLE.search(text)
        version = _parse_numbers(compatible["version"]) if compatible else ()
        return RsyncVersion(version, int(match["protocol"]), is_openrsync=True)
    match = _SAMBA.match(text)
    if match is None:
        return None
    return RsyncVersion(
        _parse_numbers(match["version"]),
        int(match["protocol"]),
        checksums=_parse_list(text, "Checksum"),
        compressions=_parse_list(text, "Compress"),
    )


def _parse_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _parse_list(text: str, title: str) -> tuple[str, ...]:
    """Read the names below a title; brackets hold the library behind a name, as in `xxh64 (xxhash)`."""
    match = re.search(_LIST.format(title=title), text, re.MULTILINE)
    return tuple(word for word in match[1].split() if not word.startswith("(")) if match else ()


def make_pair(here: RsyncVersion, there: RsyncVersion, *, name: str, pulls: bool) -> RsyncPair:
    """Make a pair of two rsyncs that were checked one by one. Pure.

    openrsync receives well; it cannot send, since it does not know the `/./` that marks the kept part of a name, and
    as the client it knows none of the options that show progress and protect names.

    Args:
        here: This machine's.
        there: The target's.
        name: The target's name.
        pulls: The target sends.

    Raises:
        NoRsyncError: They cannot do what HSM needs.
    """
    # As the sender it does not know the `/./` in a name (`main.c`, `fargs.c`), on which the form of the list rests.
    if there.is_openrsync and pulls:
        raise _make_unusable("openrsync", f"at {name}", "cannot send what HSM names", _HINT)
    if there.is_openrsync and there.protocol < _OPENRSYNC_PROTOCOL:
        raise _make_unusable(f"openrsync, protocol {there.protocol}", f"at {name}", "is too old", _HINT)
    if there.is_openrsync and here.version < ESCAPING_VERSION:
        why = f"cannot tell names to the openrsync at {name}: that needs 3.2.4 here"
        raise _make_unusable(here.text, "on this machine", why, _HINT_OLD)
    return RsyncPair(here, there)


def read_local_version(runner: Runner) -> RsyncVersion:
    """Ask this machine's rsync for its version.

    Raises:
        NoRsyncError: There is none, or it is too old or another program.
    """
    try:
        completed = runner.run(["rsync", "--version"], timeout_seconds=20)
    except ProgramMissingError as error:
        raise make_missing_here_error() from error
    version = _check_version(completed.stdout.decode("utf-8", "replace"), "on this machine")
    if version.is_openrsync:
        raise _make_unusable("openrsync", "on this machine", "cannot send what HSM names", _HINT_HERE)
    return version


def check_remote_version(text: str, *, name: str, rsync_path: str | None = None) -> RsyncVersion:
    """Check the rsync that the survey found at a target.

    Args:
        text: The version that it told, or why it told none (`hsm.remote.shell_programs.lister`).
        name: The target's name.
        rsync_path: The program, where the configuration names one.

    Raises:
        NoRsyncError: There is none, or it is too old or another program.
    """
    if rsync_path and parse_rsync_version(text) is None:
        from hsm.transfer.rsync.diagnosis import make_wrong_path_error  # noqa: PLC0415 - only after a failure

        raise make_wrong_path_error(rsync_path, text, name)
    if not text:
        raise NoRsyncError(
            f"There is no rsync at {name}.",
            hint="Install it there, or name it with `rsync_path` in the target's configuration.",
        )
    return _check_version(text, f"at {name}")


def make_missing_here_error() -> NoRsyncHereError:
    """Make the error for a machine without rsync."""
    return NoRsyncHereError(
        "There is no rsync on this machine.",
        hint="Install it, for example `apt-get install rsync` or `brew install rsync`.",
    )


def _check_version(text: str, place: str) -> RsyncVersion:
    version = parse_rsync_version(text)
    if version is None or (not version.is_openrsync and version.version < MIN_VERSION):
        found = text.strip().partition("\n")[0].strip() or "it names no version"
        raise NoRsyncError(f"The rsync {place} cannot be used: {found}.", hint=_HINT, kind="rsync_too_old")
    return version


def _make_unusable(program: str, place: str, why: str, hint: str) -> NoRsyncError:
    return NoRsyncError(f"The rsync {place} is {program}, which {why}.", hint=hint, kind="rsync_too_old")
