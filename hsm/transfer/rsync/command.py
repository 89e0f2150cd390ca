"""rsync's command line and file list, as text. Pure.

Sources: rsync(1); what versions differ in is measured, see docs/design/rsync.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hsm.model import Root, SourceFile
from hsm.remote.guard import REPLACED_SUFFIX
from hsm.remote.shell import quote_path
from hsm.transfer.base import PARTIAL_FOLDER, count_name_bytes
from hsm.transfer.modes import RSYNC_CHMOD
from hsm.transfer.rsync.output import NAME_PREFIX
from hsm.transfer.rsync.setup import RsyncSetup, StreamDirection

IO_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RsyncCall:
    """Everything that decides the command line of one rsync.

    Attributes:
        setup: Of the transfer.
        root: The destination's folder that files land in.
        workspace: Below it, the folder for files under way (`hsm.transfer.base.Batch.get_workspace`).
        address: The remote host in rsync's form; empty for a local copy.
        ssh_argv: The ssh command of a session, without the host.
        compression: The method's name as `--compress-choice` takes it; empty for none.
        compares: Compare by checksum and change nothing.
        keeps_parts: A file is large enough for a part of it to be continued.
        keeps_holes: A file is sparse.
        names: The files themselves, from `make_names`; empty where a list on standard input names them.
        program: The rsync of this machine.
    """

    setup: RsyncSetup
    root: Root
    workspace: str
    address: str = ""
    ssh_argv: tuple[str, ...] = ()
    compression: str = ""
    compares: bool = False
    keeps_parts: bool = True
    keeps_holes: bool = False
    names: tuple[str, ...] = ()
    program: str = "rsync"


def make_argv(call: RsyncCall) -> list[str]:
    """Build the command that sends the files of `call.names`, or those of the list on standard input.

    Every name says by `/./` where the kept part begins, so that runs of many folders share one stream; names of a list
    are below the source `/`.
    """
    setup = call.setup
    # Not `-a`: owner, group and permissions are the destination's, since clusters count quotas by group.
    argv = [
        call.program,
        *(["--relative"] if call.names else ["--files-from=-", "--from0"]),
        "--times",
        "--omit-dir-times",
        # wandb links saved files by absolute paths; what the user wants is the content. One that leads nowhere is 23.
        "--copy-links",
        "--8-bit-output",
        *(_make_comparing_options() if call.compares else _make_sending_options(call)),
    ]
    if setup.pair.protocol >= 30:
        # Without it rsync replaces either with exit code 0. 3.5.0 then ends with 23 at a symlink, 3.2.7 follows it all
        # the same; at protocol 29 the option itself ends it with 2.
        argv.append("--no-implied-dirs")  # a folder that is a symlink or a file there stays what it is
    source, destination = "/", f"{setup.roots[call.root].rstrip('/')}/"
    if setup.direction is not StreamDirection.LOCAL:
        argv += _make_remote_options(call)
    if setup.direction is StreamDirection.PUSH:
        destination = f"{call.address}:{destination}"
    elif setup.direction is StreamDirection.PULL:
        source = f"{call.address}:{source}"
    return [*argv, "--", *(call.names or [source]), destination]


def _make_remote_options(call: RsyncCall) -> list[str]:
    setup = call.setup
    return [
        # openrsync refuses `--protect-args`; a client that speaks to it quotes for the shell there by itself.
        *(["--protocol=29", "--no-protect-args"] if setup.pair.to_openrsync else ["--protect-args"]),
        f"--rsh={make_remote_shell(call.ssh_argv)}",
        *([f"--rsync-path={quote_path(setup.rsync_path)}"] if setup.rsync_path else []),
    ]


def _make_sending_options(call: RsyncCall) -> list[str]:
    """Make the options by which files get their names only when they are whole."""
    setup = call.setup
    # The plan has compared already, and better: rsync compares whole seconds. Where it has not, rsync does, to the
    # nanosecond.
    # Never `--append` or `--append-verify`: they leave a longer stale copy as it is, with exit code 0, and a half file
    # under the final name when killed. Nor `--inplace`: the delta of a 13 MB log that grew by 100 kB costs 115 kB out
    # and 22 kB back in 0.39 s, appending 100 kB in 0.37 s.
    comparing = ["--update"] if setup.update_only else ["--ignore-times"]
    if setup.update_only and setup.pair.has_fine_times:
        comparing.append("--modify-window=-1")
    return [
        f"--chmod={RSYNC_CHMOD[setup.receive_mode]}",
        f"--temp-dir={setup.get_temporary(call.root, call.workspace)}",
        # A file that came there since the check gets its name back (`hsm.transfer.destination.replaced`).
        *(["--backup", f"--backup-dir={call.workspace}{REPLACED_SUFFIX}"] if setup.keeps_replaced else []),
        # Relative, so that a part lies beside its file: see `PARTIAL_FOLDER`.
        # With `-W` a part would be dropped; `--delay-updates` places nothing at all when the disk fills.
        *([f"--partial-dir={PARTIAL_FOLDER}"] if call.keeps_parts else []),
        *(["--sparse"] if call.keeps_holes else []),
        *_make_compression_words(call.compression),
        # Without it and ssh's keepalive a frozen link hangs for ever: with 5 s here it ended in 6 s with 30;
        # ServerAliveInterval=3, twice, in 9 s with 255.
        f"--timeout={IO_TIMEOUT_SECONDS}",
        "--no-human-readable",
        "--info=progress2",
        "--outbuf=L",
        f"--out-format={NAME_PREFIX}%n",
        *comparing,
    ]


def _make_compression_words(method: str) -> list[str]:
    """Name the method, and of zstd the quickest level."""
    if not method:
        return []
    # rsync's own level, 3, computes longer than most links take: the 136 MB of 1,000 runs become 79 MB with either, in
    # 1.41 s at level 1 and 1.72 s at level 3. `--skip-compress` does nothing.
    return ["--compress", f"--compress-choice={method}", *(["--compress-level=1"] if method == "zstd" else [])]


def _make_comparing_options() -> list[str]:
    """Make the options of a comparison."""
    # Without `--timeout`: nothing travels while an end reads a large file. ssh's keepalive watches the link.
    return ["--dry-run", "--checksum", f"--out-format={NAME_PREFIX}%i %n"]


def make_remote_shell(argv: Sequence[str]) -> str:
    """Join a command as rsync's `--rsh` splits it: at spaces, quotes keep together, a doubled quote is one."""
    return " ".join(
        '"' + word.replace('"', '""') + '"' if not word or re.search(r"[\s'\"]", word) else word for word in argv
    )


def make_names(files: Sequence[SourceFile], direction: StreamDirection, *, max_bytes: int) -> tuple[str, ...]:
    """Name files on the command line itself; empty where a list has to."""
    # A sending rsync reads a list byte by byte, with two system calls for each (`io.c`, `read_line`): 340,000 for 1,500
    # files, a quarter of a first sync on a fast link. 15,000 files of 500 bytes took 1.9 s by a list, 1.0 s by words. A
    # receiving one passes the list on in blocks.
    if direction is StreamDirection.PULL or sum(map(count_name_bytes, files)) >= max_bytes:
        return ()
    return tuple(f"{file.prefix.rstrip('/')}/./{file.path}" for file in files)


def make_file_list(files: Iterable[SourceFile]) -> bytes:
    """Make the list for `--files-from=- --from0`."""
    # Each begins with `./`: rsync takes one that begins with `#` or `;` for a comment, also with `--from0`, silently
    # and with exit code 0.
    entries = (f".{file.prefix.rstrip('/')}/./{file.path}\0" for file in files)
    return b"".join(os.fsencode(entry) for entry in entries)
