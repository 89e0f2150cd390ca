"""This machine, where the programs of executors run."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hsm.files import PRIVATE_FOLDER_MODE
from hsm.process.runner import Completed, Runner

_SCRIPT_MODE = 0o700
# These tell Slurm's commands where the cluster is; what a job that HSM runs in has set is not meant for the next one.
_KEPT_SLURM = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"})
# Options of the user's own calls, which change what is printed, or what a job is.
_FORMS = ("SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_")
_SUBMIT_OPTIONS = frozenset(
    f"SBATCH_{name}"
    for name in (
        "ARRAY_INX", "ERROR", "IGNORE_PBS", "INPUT", "JOB_NAME", "NO_REQUEUE", "OPEN_MODE", "OUTPUT", "REQUEUE",
        "SIGNAL", "WAIT",
    )
)  # fmt: skip


class ThisMachine:
    """The machine that HSM runs on; a `JobMachine`.

    Args:
        runner: Starts the programs.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @property
    def host(self) -> str:
        """The name of the machine."""
        return socket.gethostname()

    @property
    def user(self) -> str:
        """The number of the user."""
        return str(os.geteuid())

    def run(self, argv: Sequence[str], *, timeout_seconds: float) -> Completed:
        """Run a program; see `JobMachine.run`."""
        return self._runner.run([*make_clean_prefix(os.environ), *argv], timeout_seconds=timeout_seconds)

    def save_script(self, path: str, text: str) -> None:
        """Write a script; see `JobMachine.save_script`."""
        place = Path(path)
        place.parent.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
        beside = place.with_name(f".hsm-{secrets.token_hex(8)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SCRIPT_MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(place)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def read_heads(self, paths: Sequence[str], *, most_bytes: int) -> Mapping[str, bytes]:
        """Read the beginnings of small files; see `JobMachine.read_heads`."""
        found: dict[str, bytes] = {}
        for path in paths:
            with contextlib.suppress(OSError):
                found[path] = _read_head(path, most_bytes)
        return found

    def read_tails(self, paths: Sequence[str], *, most_bytes: int) -> Mapping[str, bytes]:
        """Read the ends of files; see `JobMachine.read_tails`."""
        found: dict[str, bytes] = {}
        for path in paths:
            with contextlib.suppress(OSError):
                found[path] = _read_tail(path, most_bytes)
        return found


def make_clean_prefix(environment: Mapping[str, str]) -> list[str]:
    """Make the words before a command that give it the surroundings of a call by hand. Pure.

    Every program that HSM starts gets the C locale, which a job, and so the user's tasks, would inherit.
    """
    unset = [
        name
        for name in environment
        if (name.startswith("SLURM_") and name not in _KEPT_SLURM) or name.startswith(_FORMS) or name in _SUBMIT_OPTIONS
    ]
    words = ["env"]
    for name in sorted(unset):
        words += ["-u", name]
    if "LC_ALL" in environment:
        return [*words, f"LC_ALL={environment['LC_ALL']}"]
    return [*words, "-u", "LC_ALL"]


def _read_head(path: str, most_bytes: int) -> bytes:
    with _open(path) as descriptor:
        return os.read(descriptor, most_bytes)


def _read_tail(path: str, most_bytes: int) -> bytes:
    with _open(path) as descriptor:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, most_bytes, max(0, size - most_bytes))


@contextlib.contextmanager
def _open(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for its writer
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Is no regular file", path)
        yield descriptor
    finally:
        os.close(descriptor)
