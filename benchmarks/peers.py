"""Who is timed: HSM, and the ways people bring results home without it. Each has a target folder of its own.

Every contender sends the same source over the same link to the same sshd, or fetches it from there. What brings its
target into the state that a case begins with is never timed; the start of its program always is.
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

from benchmarks.workloads import Workload
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
        aliases: `Host` entries in the configuration; two, for two targets.
        ssh_config: For `ssh -F`.
        control_path: Of the peers' own master.
        login: The same for a program that reads no ssh configuration: host, port, user, files of keys.
    """

    name: str
    aliases: tuple[str, str]
    ssh_config: Path
    control_path: Path
    login: Mapping[str, str] = field(default_factory=dict)

    @property
    def alias(self) -> str:
        """The first."""
        return self.aliases[0]


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
        workload: What the project holds.
        project: The source.
        folder: Where targets lie.
        link: The way between the two.
        pulls: The source lies at the other end, else the target does.
    """

    name = ""
    sends_all = True

    def __init__(self, workload: Workload, project: Path, folder: Path, link: Link, *, pulls: bool = False) -> None:
        self.workload = workload
        self.project = project
        self.link = link
        self.pulls = pulls
        way = "pull" if pulls else ""
        self.target = folder / re.sub(r"\W+", "-", f"{way} {self.name} {link.name}".strip())

    @property
    def here(self) -> Path:
        """The end at which the program runs."""
        return self.target if self.pulls else self.project

    @property
    def there(self) -> Path:
        """The other end."""
        return self.project if self.pulls else self.target

    @property
    def arrivals(self) -> tuple[Path, ...]:
        """Folders in which all of it lies in the end."""
        return (self.target,)

    def reset(self) -> None:
        """Make the target empty, and forget that anything was ever sent there."""
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir(parents=True)

    def prepare(self) -> None:  # noqa: B027 - most need none
        """Open or close the login; called before every timed command."""

    def close(self) -> None:  # noqa: B027 - as above
        """End what `prepare` has left behind."""

    @abstractmethod
    def make_command(self) -> Command:
        """What is timed."""

    def measure_size(self) -> int:
        """Bytes of what the command has written beside what it brought; 0 where that is nothing."""
        return 0

    def _run(self, *argv: str | Path, check: bool = True) -> None:
        self.here.mkdir(parents=True, exist_ok=True)
        run(Command([str(word) for word in argv], self.here), check=check)

    def _make_ssh(self, *options: str) -> list[str]:
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", str(self.link.ssh_config), *words]


class Hsm(Contender):
    """`hsm sync to` or `from`, cold: without an open login."""

    name = "HSM cold"
    is_warm = False
    program = HSM
    """Another checkout's, where two are compared (`benchmarks.compare`)."""

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of the targets in the configuration."""
        return (self.target.name,)

    def reset(self) -> None:
        """Forget the journal and what was read of logs too."""
        super().reset()
        for section in self.sections:
            shutil.rmtree(self.here / ".hsm" / "sync" / section, ignore_errors=True)
        shutil.rmtree(self.here / ".hsm" / "cache", ignore_errors=True)

    def prepare(self) -> None:
        """Log in or out."""
        for section in self.sections:
            add_section(self.here, section, self.make_section(section))
            self._run(self.program, "sync", "login" if self.is_warm else "logout", section)

    def close(self) -> None:
        """Log out."""
        if (self.here / ".hsm" / "sync_config.yaml").exists():
            for section in self.sections:
                with contextlib.suppress(BenchmarkError):
                    self._run(self.program, "sync", "logout", section)

    def make_section(self, section: str) -> dict[str, object]:  # noqa: ARG002 - for those with several
        """The target's section."""
        return {
            "host": self.link.alias,
            "paths": self._make_paths(self.there),
            "ssh": {"config": str(self.link.ssh_config)},
            "options": {"max_depth": None, "parallel_transfers": _N_WORKERS},
        }

    def make_command(self) -> Command:
        """As a user would type it."""
        words = ["from" if self.pulls else "to", self.workload.word]
        words += [word for section in self.sections for word in ("-t", section)]
        words += ["--all-versions"] if self.sends_all else []
        return Command([str(self.program), "sync", *words], self.here)

    def _make_paths(self, folder: Path) -> dict[str, str]:
        paths = {"sweeps": str(folder / "sweeps"), "wandb": str(folder / "wandb")}
        # Only there the paths of a multirun have a place.
        return {"project_root": str(folder), **paths} if self.workload.kind == "hydra" else paths


class WarmHsm(Hsm):
    """`hsm sync to` over the login that an earlier command left open."""

    name = "HSM warm"
    is_warm = True


class LatestHsm(WarmHsm):
    """As users have it by default: what a later version supersedes is left out."""

    name = "HSM warm, latest only"
    sends_all = False


class SftpHsm(Hsm):
    """`hsm sync`, cold, over SFTP: for targets without a shell or rsync."""

    name = "HSM cold, SFTP"

    def make_section(self, section: str) -> dict[str, object]:
        """The login in words, since this engine's client is HSM's own."""
        login = self.link.login
        ssh = {"identity_file": login["key"], "options": {"UserKnownHostsFile": login["known_hosts"]}}
        words = {"host": login["host"], "user": login["user"], "port": int(login["port"]), "engine": "sftp", "ssh": ssh}
        return {**super().make_section(section), **words}


class TwoHsm(Hsm):
    """`hsm sync to` two targets at once, cold; they are alike, and neither knows of the other."""

    name = "HSM cold, two targets"

    @property
    def sections(self) -> tuple[str, ...]:
        """One for each folder."""
        return ("one", "two")

    @property
    def arrivals(self) -> tuple[Path, ...]:
        """One for each section."""
        return tuple(self.target / section for section in self.sections)

    def make_section(self, section: str) -> dict[str, object]:
        """Each has an alias of its own, and so a login of its own."""
        found = super().make_section(section)
        return {**found, "host": self.link.aliases[section == "two"], "paths": self._make_paths(self.target / section)}


class Rsync(Contender):
    """One `rsync -aR` of both trees."""

    name = "rsync -aR"

    def make_command(self) -> Command:
        """All trees in one stream."""
        return Command([*self._make_rsync(), *self._make_ends(self.workload.trees)], self.here)

    def _make_rsync(self) -> list[str]:
        return ["rsync", "-aR", "-e", shlex.join(self._make_ssh())]

    def _make_ends(self, trees: Sequence[str]) -> list[str]:
        if not self.pulls:
            return [*trees, f"{self.link.alias}:{self.target}/"]
        first, *rest = (f":{self.project}/./{tree}" for tree in trees)
        return [f"{self.link.alias}{first}", *rest, f"{self.target}/"]


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
        rsync = shlex.join(self._make_rsync())
        folder, *_ = self.workload.trees
        ends = shlex.join(self._make_ends([folder]))
        find = "find wandb -mindepth 1 -maxdepth 1 -name '*run-*' -type d -print0"
        runs = find
        if self.pulls:
            remote = shlex.quote(f"cd {shlex.quote(str(self.project))} && {find}")
            runs = f"{shlex.join([*self._make_ssh(), self.link.alias])} {remote}"
        each = shlex.join(self._make_ends(["RUN"]))
        script = f"{rsync} {ends} && {runs} | xargs -0 -P {_N_WORKERS} -I RUN {rsync} {each}"
        return Command(["sh", "-c", script], self.here)


class Tar(Contender):
    """`tar | ssh tar`: sends everything, whatever is there."""

    name = "tar over ssh"

    def make_command(self) -> Command:
        """Packed at one end, unpacked at the other."""
        packs = f"tar -C {shlex.quote(str(self.project))} --format=posix -cf - {shlex.join(self.workload.trees)}"
        unpacks = f"tar -C {shlex.quote(str(self.target))} -xf -"
        ssh = shlex.join([*self._make_ssh(), self.link.alias])
        there, here = (packs, unpacks) if self.pulls else (unpacks, packs)
        remote = f"{ssh} {shlex.quote(there)}"
        return Command(["sh", "-c", f"{remote} | {here}" if self.pulls else f"{here} | {remote}"], self.here)


class Rclone(Contender):
    """`rclone sync` over SFTP, four transfers."""

    name = "rclone, 4 transfers"

    def make_command(self) -> Command:
        """The remote is described in the command itself; rclone has an SSH client of its own."""
        login = self.link.login
        words = {"host": login["host"], "port": login["port"], "user": login["user"], "key_file": login["key"]}
        words |= {"known_hosts_file": login["known_hosts"], "shell_type": "unix"}
        remote = f":sftp,{','.join(f'{name}={value}' for name, value in words.items())}:{self.there}"
        filters = [f"--filter=+ /{tree}/**" for tree in self.workload.trees]
        argv = ["rclone", "sync", "--config=/dev/null", f"--transfers={_N_WORKERS}", *filters, "--filter=- *"]
        ends = [remote, str(self.target)] if self.pulls else [str(self.project), remote]
        return Command([*argv, *ends], self.here)


class Session(Contender):
    """No sync: a bare session over the master, the least that anything remote costs."""

    name = "ssh true, master"

    def __init__(self, workload: Workload, project: Path, folder: Path, link: Link, *, pulls: bool = False) -> None:
        super().__init__(workload, project, folder, link, pulls=pulls)
        self._master = MasterRsync(workload, project, folder, link, pulls=pulls)

    def prepare(self) -> None:
        """Make sure that the master lives."""
        self._master.prepare()

    def make_command(self) -> Command:
        """A command that does nothing."""
        path = f"ControlPath={self.link.control_path}"
        return Command([*self._make_ssh(path, "ControlMaster=no"), self.link.alias, "true"], self.project)


def add_section(project: Path, name: str, section: dict[str, object]) -> None:
    """Add a target to a project's configuration, or change it."""
    path = project / ".hsm" / "sync_config.yaml"
    config = yaml.safe_load(path.read_text()) if path.exists() else {"sync_targets": {}}
    if config["sync_targets"].get(name) != section:
        config["sync_targets"][name] = section
        path.parent.mkdir(parents=True, exist_ok=True)
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
