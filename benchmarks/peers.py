"""Who is timed: HSM, and the ways people bring results home without it. Each has a target folder of its own.

Every contender sends the same source over the same link to the same sshd. What brings its target into the state that
a case begins with is never timed; the start of its program always is.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.workloads import SWEEP
from examples.demo.private_sshd import list_descendants

HSM = Path(sys.executable).with_name("hsm")
RUN_SECONDS = 400.0
"""No timed command may take longer."""

_POLL_SECONDS = 0.02
_N_WORKERS = 4
# A Python that may not keep what it compiled starts slowly, as no installed program does.
_FOREIGN = re.compile(r"PYTHONDONTWRITEBYTECODE|(HSM|LC|RSYNC|SSH|WANDB)_.*")


class BenchmarkError(Exception):
    """A contender failed, or did not do what it was to do; the figures would mean nothing."""


class TooSlowError(Exception):
    """A contender was ended; the text says after how long."""


@dataclass(frozen=True, slots=True)
class Link:
    """The way to the target.

    Attributes:
        name: The round trip, for example `40 ms`.
        alias: The `Host` entry in the configuration.
        ssh_config: For `ssh -F`.
        control_path: Of the peers' own master.
        login: The same for a program that reads no ssh configuration: host, port, user, files of keys.
    """

    name: str
    alias: str
    ssh_config: Path
    control_path: Path
    login: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """What is run and timed."""

    argv: Sequence[str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Peak:
    """The most memory that was in use, in bytes.

    Attributes:
        program: Of the program itself.
        children: Of all processes that it started, together, at the worst moment.
    """

    program: int
    children: int


class Contender(ABC):
    """One way to bring a project to a target.

    Args:
        project: The source.
        folder: Where targets lie.
        link: The way there.
    """

    name = ""
    sends_all = True

    def __init__(self, project: Path, folder: Path, link: Link) -> None:
        self.project = project
        self.link = link
        self.target = folder / re.sub(r"\W+", "-", f"{self.name} {link.name}")

    def reset(self) -> None:
        """Make the target empty, and forget that anything was ever sent there."""
        shutil.rmtree(self.target, ignore_errors=True)

    def prepare(self) -> None:  # noqa: B027 - most need none
        """Open or close the login; called before every timed command."""

    def close(self) -> None:  # noqa: B027 - as above
        """End what `prepare` has left behind."""

    @abstractmethod
    def make_command(self) -> Command:
        """What is timed."""

    def _run(self, *argv: str | Path, check: bool = True) -> None:
        run(Command([str(word) for word in argv], self.project), check=check)

    def _make_ssh(self, *options: str) -> list[str]:
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", str(self.link.ssh_config), *words]


class Hsm(Contender):
    """`hsm sync to`, cold: without an open login."""

    name = "HSM cold"
    is_warm = False
    program = HSM
    """Another checkout's, where two are compared (`benchmarks.compare`)."""

    @property
    def section(self) -> str:
        """The target's name in the configuration."""
        return self.target.name

    def reset(self) -> None:
        """Forget the journal and what was read of logs too."""
        super().reset()
        shutil.rmtree(self.project / ".hsm" / "sync" / self.section, ignore_errors=True)
        shutil.rmtree(self.project / ".hsm" / "cache", ignore_errors=True)

    def prepare(self) -> None:
        """Log in or out."""
        add_section(self.project, self.section, self.make_section())
        self._run(self.program, "sync", "login" if self.is_warm else "logout", self.section)

    def close(self) -> None:
        """Log out."""
        if (self.project / ".hsm" / "sync_config.yaml").exists():
            with contextlib.suppress(BenchmarkError):
                self._run(self.program, "sync", "logout", self.section)

    def make_section(self) -> dict[str, object]:
        """The target's section."""
        paths = {"sweeps": str(self.target / "sweeps"), "wandb": str(self.target / "wandb")}
        return {
            "host": self.link.alias,
            "paths": paths,
            "ssh": {"config": str(self.link.ssh_config)},
            "options": {"max_depth": None, "parallel_transfers": _N_WORKERS},
        }

    def make_command(self) -> Command:
        """As a user would type it."""
        words = ["--all-versions"] if self.sends_all else []
        return Command([str(self.program), "sync", "to", SWEEP, "-t", self.section, *words], self.project)


class WarmHsm(Hsm):
    """`hsm sync to` over the login that an earlier command left open."""

    name = "HSM warm"
    is_warm = True


class LatestHsm(WarmHsm):
    """As users have it by default: what a later version supersedes is left out."""

    name = "HSM warm, latest only"
    sends_all = False


class Rsync(Contender):
    """One `rsync -aR` of both trees."""

    name = "rsync -aR"

    def make_command(self) -> Command:
        """Both trees in one stream."""
        return Command(["rsync", "-aR", "-e", shlex.join(self._make_ssh()), *TREES, self._address], self.project)

    @property
    def _address(self) -> str:
        return f"{self.link.alias}:{self.target}/"

    def reset(self) -> None:
        """Make the target's folder, which `rsync -R` does not."""
        super().reset()
        self.target.mkdir(parents=True)


class MasterRsync(Rsync):
    """The same, over a master that is up already."""

    name = "rsync -aR, master"

    def prepare(self) -> None:
        """Make sure that the master lives."""
        path = f"ControlPath={self.link.control_path}"
        alive = [*self._make_ssh(path), "-O", "check", self.link.alias]
        if run(Command(alive, self.project), check=False) != 0:
            self._run(*self._make_ssh(path), "-M", "-N", "-f", self.link.alias)

    def close(self) -> None:
        """End the master."""
        path = f"ControlPath={self.link.control_path}"
        self._run(*self._make_ssh(path), "-O", "exit", self.link.alias, check=False)

    def _make_ssh(self, *options: str) -> list[str]:
        own = options or (f"ControlPath={self.link.control_path}", "ControlMaster=no")
        return super()._make_ssh(*own)


class PerRunRsync(Rsync):
    """One rsync for the sweep's folder, then one for each run, four at a time."""

    name = "rsync per run, 4 at a time"

    def make_command(self) -> Command:
        """As a shell script does it."""
        rsync = f"rsync -aR -e {shlex.quote(shlex.join(self._make_ssh()))}"
        address = shlex.quote(self._address)
        script = (
            f"{rsync} sweeps/outputs/{SWEEP} {address} && find wandb -mindepth 1 -maxdepth 1 -name '*run-*' -type d "
            f"-print0 | xargs -0 -P {_N_WORKERS} -I RUN {rsync} RUN {address}"
        )
        return Command(["sh", "-c", script], self.project)


class Tar(Contender):
    """`tar | ssh tar`: sends everything, whatever is there."""

    name = "tar over ssh"

    def make_command(self) -> Command:
        """Packed here, unpacked there."""
        target = shlex.quote(str(self.target))
        there = shlex.quote(f"mkdir -p {target} && tar -C {target} -xf -")
        script = f"tar --format=posix -cf - {shlex.join(TREES)} | {shlex.join([*self._make_ssh(), self.link.alias])}"
        return Command(["sh", "-c", f"{script} {there}"], self.project)


class Rclone(Contender):
    """`rclone sync` over SFTP, four transfers."""

    name = "rclone, 4 transfers"

    def make_command(self) -> Command:
        """The remote is described in the command itself; rclone has an SSH client of its own."""
        login = self.link.login
        words = {"host": login["host"], "port": login["port"], "user": login["user"], "key_file": login["key"]}
        words |= {"known_hosts_file": login["known_hosts"], "shell_type": "unix"}
        remote = f":sftp,{','.join(f'{name}={value}' for name, value in words.items())}:{self.target}"
        filters = [f"--filter=+ /{top}/**" for top in ("sweeps", "wandb")]
        argv = ["rclone", "sync", "--config=/dev/null", f"--transfers={_N_WORKERS}", *filters, "--filter=- *"]
        return Command([*argv, str(self.project), remote], self.project)


class Session(Contender):
    """No sync: a bare session over the master, the least that anything remote costs."""

    name = "ssh true, master"

    def __init__(self, project: Path, folder: Path, link: Link) -> None:
        super().__init__(project, folder, link)
        self._master = MasterRsync(project, folder, link)

    def prepare(self) -> None:
        """Make sure that the master lives."""
        self._master.prepare()

    def make_command(self) -> Command:
        """A command that does nothing."""
        path = f"ControlPath={self.link.control_path}"
        return Command([*self._make_ssh(path, "ControlMaster=no"), self.link.alias, "true"], self.project)


TREES = (f"sweeps/outputs/{SWEEP}", "wandb")


def add_section(project: Path, name: str, section: dict[str, object]) -> None:
    """Add a target to a project's configuration, or change it."""
    path = project / ".hsm" / "sync_config.yaml"
    config = yaml.safe_load(path.read_text()) if path.exists() else {"sync_targets": {}}
    if config["sync_targets"].get(name) != section:
        config["sync_targets"][name] = section
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        path.parent.chmod(0o755)
        path.chmod(0o644)  # HSM ignores `ssh` settings in a file that others may write


def make_environment() -> dict[str, str]:
    """The environment without what would make the figures the caller's own."""
    return {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}


@dataclass
class Timed:
    """A command that has ended."""

    seconds: float
    output: str = field(repr=False)
    returncode: int = 0


def time_command(command: Command, scratch: Path) -> Timed:
    """Run a command to its end, with its output in a file, and time it from before its start.

    Raises:
        BenchmarkError: It failed.
        TooSlowError: It took too long.
    """
    environment = make_environment()
    output = scratch / "output"
    with output.open("wb") as stream:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            cwd=command.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        returncode = wait(process)
        seconds = time.perf_counter() - begin
    text = output.read_text(errors="replace")
    if returncode != 0:
        raise BenchmarkError(f"{shlex.join(command.argv)}\nended with {returncode}:\n{text[-3000:]}")
    return Timed(seconds, text, returncode)


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process. Not with `Popen.wait(timeout)`, which looks every 50 ms only.

    Raises:
        TooSlowError: It took too long, and was ended.
    """
    is_late = threading.Event()

    def end_late() -> None:
        is_late.set()
        end_group(process)

    alarm = threading.Timer(RUN_SECONDS, end_late)
    alarm.start()
    try:
        returncode = process.wait()
    except BaseException:
        end_group(process)
        raise
    finally:
        alarm.cancel()
    if is_late.is_set():
        raise TooSlowError(f"ended after {RUN_SECONDS:g} s, unfinished")
    return returncode


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def run(command: Command, *, check: bool = True) -> int:
    """Run a command outside the timing, and return its exit status.

    Raises:
        BenchmarkError: It failed, and `check` is set.
    """
    with tempfile.TemporaryFile("w+") as output:  # not a pipe, which a master would keep open
        completed = subprocess.run(
            command.argv,
            cwd=command.folder,
            env=make_environment(),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=RUN_SECONDS,
        )
        if check and completed.returncode != 0:
            output.seek(0)
            said = output.read()[-3000:]
            raise BenchmarkError(f"{shlex.join(command.argv)}\nended with {completed.returncode}:\n{said}")
    return completed.returncode


def measure_peak(command: Command, scratch: Path) -> Peak | None:
    """Run a command once more, untimed, and watch its memory; None where there is no /proc.

    A process's own high-water mark is read, so that of the program misses nothing but its last 20 ms. Not
    `getrusage`: Linux counts a child's memory from before its exec, which is its parent's.
    """
    if not Path("/proc/self/status").exists():
        return None
    with (scratch / "output").open("wb") as stream:
        process = subprocess.Popen(
            command.argv,
            cwd=command.folder,
            env=make_environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        watcher = _Watcher(process.pid)
        watcher.start()
        try:
            returncode = wait(process)
        finally:
            watcher.is_over = True
            watcher.join()
    if returncode != 0:
        raise BenchmarkError(f"{shlex.join(command.argv)}\nended with {returncode} while its memory was watched")
    return Peak(watcher.program, watcher.children)


class _Watcher(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.is_over = False
        self.program = self.children = 0

    def run(self) -> None:
        while not self.is_over:
            self.program = max(self.program, _read_status(self._pid, "VmHWM"))
            below = list_descendants(self._pid)
            self.children = max(self.children, sum(_read_status(child.pid, "VmRSS") for child in below))
            time.sleep(_POLL_SECONDS)


def _read_status(pid: int, name: str) -> int:
    """One of the sizes in /proc/PID/status, in bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
