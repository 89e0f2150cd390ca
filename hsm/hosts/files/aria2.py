"""Download of one file from several servers at once, by aria2c."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hsm.errors import TargetError
from hsm.hosts.files.sources import FileSource
from hsm.hosts.reach.web import make_headers
from hsm.process.runner import CommandTimeoutError, ProgramMissingError, Runner

ARIA2 = "aria2c"
_MOST_PARTS = 16
_N_PER_SOURCE = 2


def has_aria2() -> bool:
    """Tell whether aria2c is installed here."""
    return shutil.which(ARIA2) is not None


def make_aria2_command(n_sources: int) -> list[str]:
    """Make the command that reads the input of `make_aria2_input`; nothing of the user's settings counts."""
    n_parts = min(_MOST_PARTS, _N_PER_SOURCE * n_sources)
    return [ARIA2, "--no-conf=true", "--input-file=-", "--quiet=true", "--no-netrc=true", "--all-proxy=",
            "--http-proxy=", "--https-proxy=", f"--split={n_parts}", f"--max-connection-per-server={_N_PER_SOURCE}",
            "--min-split-size=1M", "--file-allocation=none", "--auto-file-renaming=false", "--max-tries=3",
            "--retry-wait=1", "--connect-timeout=5", "--timeout=30", "--lowest-speed-limit=1K",
            # A torrent or a metalink is a file like any other, and not a list of what to fetch.
            "--follow-torrent=false", "--follow-metalink=false"]  # fmt: skip


def make_aria2_input(sources: Sequence[FileSource], path: Path) -> str:
    """Make the input file of aria2c, in the form of aria2c(1), "Input File".

    Args:
        sources: The same file at several servers.
        path: Where it is to lie; absolute, and printable, since the form knows no escapes.
    """
    # The token stands here and not in the command line, which every user of the machine can read.
    headers = [f"{name}: {value}" for name, value in make_headers().items()]
    options = [f"dir={path.parent}", f"out={path.name}", *(f"header={header}" for header in headers)]
    return "\n".join(["\t".join(source.url for source in sources), *(f"  {option}" for option in options)]) + "\n"


def run_aria2(sources: Sequence[FileSource], path: Path, *, timeout_seconds: float) -> None:
    """Fetch a file, of more than 0 bytes.

    Args:
        sources: The same file at several servers.
        path: Where it is to lie. A failure may leave a part of it, and aria2c's own file beside it.
        timeout_seconds: For all of it.

    Raises:
        TargetError: It failed (kind `fetch_failed`).
    """
    content = make_aria2_input(sources, path.absolute()).encode()
    try:
        done = Runner().run(make_aria2_command(len(sources)), stdin=content, timeout_seconds=timeout_seconds)
    except (ProgramMissingError, CommandTimeoutError) as error:
        raise TargetError(f"aria2c: {error}.", hint="Give more seconds with --timeout.", kind="fetch_failed") from error
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
        raise TargetError(
            f"aria2c failed with exit code {done.returncode}.",
            hint="Try again, or without aria2c: --no-aria2.",
            kind="fetch_failed",
            detail=said[-2000:],
        )
