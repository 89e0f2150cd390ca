"""rsync's command line, file list, output and exit codes, as text. Pure.

Sources: rsync(1) and rsync's `errcode.h`; what versions differ in is measured, see docs/design/rsync.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from hsm.model import SourceFile
from hsm.transfer.base import PARTIAL_FOLDER, count_name_bytes

IO_TIMEOUT_SECONDS = 60

_NAME_PREFIX = "hsm:"
_PROGRESS = re.compile(r"\s*([\d,.]+)\s+\d+%")


class StreamDirection(str, Enum):
    """Which of the two ends is behind SSH."""

    PUSH = "push"
    PULL = "pull"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class RsyncCall:
    """Everything that decides the command line of one rsync.

    Attributes:
        direction: Which end is remote.
        destination: Real path of the destination root.
        temporary: Where files are written there.
        address: The remote host in rsync's form; empty for a local copy.
        ssh_argv: The ssh command of a session, without the host.
        rsync_path: The program at the remote end; empty for what its PATH finds.
        protocol: The lower of both ends' protocols.
        skips_newer: Leave what is newer at the destination (when nothing was compared).
        has_fine_times: Both ends can compare times to the nanosecond (3.1.3).
        compares: Compare by checksum and change nothing.
        keeps_parts: Files are large enough for a part of one to be gone on with.
        compression: The method's name as `--compress-choice` takes it; empty for none.
        to_openrsync: The other end is openrsync, which receives.
        program: The rsync of this machine.
        names: The files themselves, from `make_names`; empty where a list on standard input names them.
    """

    direction: StreamDirection
    destination: str
    temporary: str
    address: str = ""
    ssh_argv: tuple[str, ...] = ()
    rsync_path: str = ""
    protocol: int = 30
    skips_newer: bool = False
    has_fine_times: bool = True
    compares: bool = False
    keeps_parts: bool = True
    compression: str = ""
    to_openrsync: bool = False
    program: str = "rsync"
    names: tuple[str, ...] = ()


def make_argv(call: RsyncCall) -> list[str]:
    """Build the command that sends the files of `call.names`, or what the list on standard input names.

    Every name says by `/./` where the kept part begins, so that runs of many folders share one stream; those of a list
    are below the source `/`. No `-a`: times are kept, owner, group and permissions are the destination's.
    `--ignore-times`: the plan has compared already. Where it has not, rsync does, to the nanosecond
    (`--modify-window=-1`).
    """
    folder = call.destination.rstrip("/")
    argv = [
        call.program,
        *(["--relative"] if call.names else ["--files-from=-", "--from0"]),
        "--times",
        "--omit-dir-times",
        "--copy-links",
        "--8-bit-output",
        *(_make_comparing_options() if call.compares else _make_sending_options(call)),
    ]
    if call.protocol >= 30:
        argv.append("--no-implied-dirs")
    source, destination = "/", f"{folder}/"
    if call.direction is not StreamDirection.LOCAL:
        # openrsync knows no `-s`; a client that speaks to it quotes for the shell there by itself.
        argv += ["--protocol=29", "--no-protect-args"] if call.to_openrsync else ["--protect-args"]
        argv.append(f"--rsh={make_remote_shell(call.ssh_argv)}")
        if call.rsync_path:
            argv.append(f"--rsync-path={call.rsync_path}")
    if call.direction is StreamDirection.PUSH:
        destination = f"{call.address}:{destination}"
    elif call.direction is StreamDirection.PULL:
        source = f"{call.address}:{source}"
    return [*argv, "--", *(call.names or [source]), destination]


def _make_sending_options(call: RsyncCall) -> list[str]:
    return [
        "--chmod=Du+rwx,Fu+rw",
        f"--temp-dir={call.temporary}",
        *([f"--partial-dir={PARTIAL_FOLDER}"] if call.keeps_parts else []),
        *_make_compression_words(call.compression),
        f"--timeout={IO_TIMEOUT_SECONDS}",
        "--no-human-readable",
        "--info=progress2",
        "--outbuf=L",
        f"--out-format={_NAME_PREFIX}%n",
        *(["--update"] if call.skips_newer else ["--ignore-times"]),
        *(["--modify-window=-1"] if call.skips_newer and call.has_fine_times else []),
    ]


def _make_compression_words(method: str) -> list[str]:
    """Which method, and of zstd the quickest level: rsync's own, 3, computes longer than most links take."""
    if not method:
        return []
    return ["--compress", f"--compress-choice={method}", *(["--compress-level=1"] if method == "zstd" else [])]


def _make_comparing_options() -> list[str]:
    """No `--timeout`: while an end reads a large file nothing travels; ssh's keepalive watches the link."""
    return ["--dry-run", "--checksum", f"--out-format={_NAME_PREFIX}%i %n"]


def make_remote_shell(argv: Sequence[str]) -> str:
    """Join a command as rsync's `--rsh` splits it: at spaces, quotes keep together, a doubled quote is one."""
    return " ".join(
        '"' + word.replace('"', '""') + '"' if not word or re.search(r"[\s'\"]", word) else word for word in argv
    )


def make_names(files: Sequence[SourceFile], direction: StreamDirection, *, max_bytes: int) -> tuple[str, ...]:
    """Name files on the command line itself; empty where a list has to.

    A sending rsync reads a list byte by byte, with two system calls for each (`io.c`, `read_line`): 340,000 for 1,500
    files, a quarter of a first sync on a fast link, half of it where files are small. A receiving one passes it on in
    blocks.
    """
    if direction is StreamDirection.PULL or sum(map(count_name_bytes, files)) >= max_bytes:
        return ()
    return tuple(f"{file.prefix.rstrip('/')}/./{file.path}" for file in files)


def make_file_list(files: Iterable[SourceFile]) -> bytes:
    """The list for `--files-from=- --from0`; `./` keeps entries with a leading `#` or `;` from being comments."""
    entries = (f".{file.prefix.rstrip('/')}/./{file.path}\0" for file in files)
    return b"".join(os.fsencode(entry) for entry in entries)


class OutputReader:
    """Reads rsync's standard output as it comes: names and running totals.

    Attributes:
        sent: Destination paths that rsync has begun to send.
        n_bytes: As its progress says.
    """

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.n_bytes = 0
        self._rest = b""

    def read(self, chunk: bytes) -> None:
        """Take the next piece of output."""
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + chunk)
        for line in lines:
            self._read_line(os.fsdecode(line))

    def _read_line(self, line: str) -> None:
        if line.startswith(_NAME_PREFIX):
            if not line.endswith("/"):  # protocol 29 names the folders above a file too
                self.sent.add(unescape(line[len(_NAME_PREFIX) :]))
            return
        match = _PROGRESS.match(line)
        if match is not None:
            self.n_bytes = max(self.n_bytes, int(re.sub(r"\D", "", match[1])))


def parse_comparison(output: bytes) -> tuple[set[str], set[str]]:
    """Read what a comparing rsync printed: itemised changes, `<f` or `>f` for files that would be sent.

    Returns:
        Destination paths of files that differ in content, and of those that are missing.
    """
    different: set[str] = set()
    missing: set[str] = set()
    for line in os.fsdecode(output).split("\n"):
        changes, _, name = line.removeprefix(_NAME_PREFIX).partition(" ")
        if line.startswith(_NAME_PREFIX) and changes[:2] in ("<f", ">f"):
            (missing if "+" in changes else different).add(unescape(name))
    return different, missing


def unescape(name: str) -> str:
    r"""Undo rsync's `\#033` for control bytes (`log.c`, `filtered_fwrite`)."""
    if "\\#" not in name:
        return name
    return os.fsdecode(re.sub(rb"\\#([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), os.fsencode(name)))
