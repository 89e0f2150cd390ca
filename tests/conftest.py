"""What all tests share: a clean environment, the `hsm` program, private sshds, and real wandb runs."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import hypothesis
import pytest
from private_sshd import PrivateSshd, find_sshd, list_processes

from tests.fork_server import ForkServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REQUIRE_E2E = os.environ.get("HSM_REQUIRE_E2E") == "1"
REAL_START = os.environ.get("HSM_REAL_START") == "1"
"""Whether each call of the program is a start of its own, none a copy by the fork server."""

FLAT_SWEEP = "sweep_20251020_212836"
NESTED_SWEEP = "sweep_20251021_090000"

# What the caller's environment must not decide.
FOREIGN_PREFIXES = ("GIT_", "HSM_", "LC_", "RSYNC_", "SLURM_", "SSH_", "WANDB_", "XDG_")
FOREIGN_NAMES = ("COLUMNS", "FORCE_COLOR", "LANG", "LANGUAGE", "LINES", "NO_COLOR", "TERM", "TMPDIR")
FOREIGN_NAMES += ("PYTHONUNBUFFERED",)
FOREIGN_NAMES += ("PYTHONDONTWRITEBYTECODE",)  # or each call of hsm compiles it anew, a third of its time
XDG_FOLDERS = {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}
NEEDED_PROGRAMS = ("rsync", "ssh", "ssh-keygen", "sshd")
"""Without these there is little to test. Others, such as further shells, may be absent anywhere."""

OWN_SETTINGS = ("HSM_REQUIRE_E2E", "HSM_SOAK")

QUICK_KEY_EXCHANGE = "-sntrup*,mlkem*"
"""Without OpenSSH's first choice since 9.0, which takes 65 ms of computing: the tests log in a thousand times."""

WATCHDOG = Path(__file__).with_name("watchdog.py")

FORK_SERVERS: list[ForkServer] = []
"""That of this session, if it has begun."""

# A machine that is busy makes no example a failure; one that hangs is ended as any test is.
hypothesis.settings.register_profile("whole", hypothesis.settings.default, deadline=None)
hypothesis.settings.register_profile("quick", hypothesis.settings.default, deadline=None, max_examples=20)
hypothesis.settings.load_profile("whole")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


class RunHsm(Protocol):
    """Runs the `hsm` program and returns its texts and its exit code."""

    def __call__(
        self,
        *args: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002 - subprocess calls it so
        timeout: float = 60,
        real_start: bool = False,
    ) -> subprocess.CompletedProcess[str]: ...


def make_environment(home: Path) -> dict[str, str]:
    """Make an environment that is the same everywhere but for what the caller's programs need."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in OWN_SETTINGS or not (name in FOREIGN_NAMES or name.startswith(FOREIGN_PREFIXES))
    }
    own = {"LC_ALL": "C.UTF-8", "TERM": "dumb", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    return {**kept, **own, "HOME": str(home), **{name: str(home / folder) for name, folder in XDG_FOLDERS.items()}}


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test a home folder of its own, and an environment that is the same everywhere."""
    home = tmp_path / "home"
    home.mkdir()
    environment = make_environment(home)
    for name in os.environ.keys() - environment.keys():
        monkeypatch.delenv(name)
    for name, value in environment.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session", autouse=True)
def watchdog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """End the servers and logins of this process's tests when it is gone, killed or not."""
    argv = [sys.executable, WATCHDOG, tmp_path_factory.getbasetemp()]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True):
        yield


@pytest.fixture(scope="session", autouse=True)
def fork_server(tmp_path_factory: pytest.TempPathFactory, watchdog: None) -> Iterator[None]:  # noqa: ARG001
    """Copy the program for `run_hsm`; nothing starts before a test needs it."""
    server = ForkServer(make_environment(tmp_path_factory.getbasetemp() / "home"))  # the watchdog finds it by its HOME
    FORK_SERVERS.append(server)
    yield
    FORK_SERVERS.remove(server)
    server.close()


@pytest.fixture(scope="session")
def require_program() -> Callable[..., None]:
    """Return a function that skips the test where a program is missing.

    Under HSM_REQUIRE_E2E=1 it fails instead for the programs that are needed.
    """

    def require(*names: str) -> None:
        for name in names:
            found = find_sshd() if name == "sshd" else shutil.which(name)
            if found is None and REQUIRE_E2E and name in NEEDED_PROGRAMS:
                pytest.fail(f"{name} is not installed, and HSM_REQUIRE_E2E=1 asks for it")
            if found is None:
                pytest.skip(f"{name} is not installed")

    return require


@pytest.fixture
def hsm() -> RunHsm:
    """Return a function that runs the `hsm` program: `hsm("sync", "list", cwd=project)`."""
    return run_hsm


def run_hsm(
    *args: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    input: str | None = None,  # noqa: A002 - subprocess calls it so
    timeout: float = 60,
    real_start: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run `hsm` as a process of its own, with no terminal.

    Args:
        args: Its arguments.
        cwd: Its working folder.
        env: Variables to set in the test's environment.
        input: What it reads from its standard input; default: nothing.
        timeout: Seconds, after which it and all of its process group are killed, and the test fails.
        real_start: Start it as a user does also where a copy by the fork server would do: the start is what is tried.
    """
    words = [str(word) for word in args]
    argv = [sys.executable, "-m", "hsm", *words]
    environment = {**os.environ, **(env or {})}
    given = None if input is None else input.encode()
    servers = [server for server in FORK_SERVERS if server.is_like_start(environment)]
    if servers and not (real_start or REAL_START):
        ended = servers[0].run("hsm", *words, cwd=cwd, environment=environment, given=given, timeout=timeout)
    else:
        ended = start_program(argv, cwd=cwd, environment=environment, given=given, timeout=timeout)
    code, *texts = ended
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(text), encoding="utf-8").read() for text in texts)
    return subprocess.CompletedProcess(argv, code, stdout, stderr)


def start_program(
    argv: list[str], *, cwd: Path, environment: Mapping[str, str], given: bytes | None, timeout: float
) -> tuple[int, bytes, bytes]:
    """Start a program in a session of its own; returns its exit code and what it wrote to its two streams."""
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(given, timeout)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, stdout, stderr


@pytest.fixture
def start_sshd(tmp_path: Path, require_program: Callable[..., None]) -> Iterator[Callable[..., PrivateSshd]]:
    """Return a function that starts a private sshd with the options of `PrivateSshd`.

    All are stopped after the test, and all ssh clients of the test are ended, shared logins included.
    """
    require_program("ssh", "ssh-keygen", "sshd")
    started: list[PrivateSshd] = []

    def start(**options: Any) -> PrivateSshd:
        folder = options.pop("folder", tmp_path / f"sshd-{len(started) + 1}")
        settings = {"KexAlgorithms": QUICK_KEY_EXCHANGE, **options.pop("settings", {})}
        sshd = PrivateSshd(folder, settings=settings, **options)
        sshd.start()
        started.append(sshd)
        return sshd

    yield start
    for sshd in started:
        sshd.stop()  # a client that sees its connection close ends, and removes its control socket
    end_clients(tmp_path)


@pytest.fixture
def sshd(start_sshd: Callable[..., PrivateSshd]) -> PrivateSshd:
    """Return a private sshd of the test's own, with default settings."""
    return start_sshd()


def end_clients(folder: Path) -> None:
    """End the ssh and rsync processes whose command line names a folder."""
    for process in list_processes():
        argv = read_argv(process.pid)
        if Path(argv[0]).name in {"ssh", "rsync"} and any(str(folder) in word for word in argv):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)


def read_argv(pid: int) -> list[str]:
    """Read a process's command line; it has one empty word where there is none to be seen."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return [""]


class WriteOnce(Protocol):
    """Writes a folder once for all workers."""

    def __call__(self, name: str, write: Callable[[Path], object]) -> Path: ...


@pytest.fixture(scope="session")
def write_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> WriteOnce:
    """Return a function that has a folder written by whoever needs it first, and returns it: for reading alone.

    The writer gets a path where nothing lies; if it fails, the next one begins anew.
    """
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent

    def write_folder(name: str, write: Callable[[Path], object]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                write(folder)
                done.touch()
        return folder

    return write_folder


@pytest.fixture(scope="session")
def real_runs(write_once: WriteOnce) -> Path:
    """Return a project with real wandb runs; copy it (`copy_project`), do not change it.

    `FLAT_SWEEP` has 15 finished runs and 3 killed ones in `wandb/`, `NESTED_SWEEP` has 15 finished ones in
    `wandb/<sweep>/wandb/`. All files are an hour old.
    """
    return write_once("real-runs", write_real_runs)


def write_real_runs(project: Path) -> None:
    """Write the project of `real_runs`."""
    from write_sweep import write_sweep

    write_sweep(project, FLAT_SWEEP, 15, n_killed=3)
    write_sweep(project, NESTED_SWEEP, 15, layout="nested")
    for path in [*project.rglob("*"), project]:
        state = path.lstat()
        times = (state.st_atime_ns, state.st_mtime_ns - 3600 * 10**9)
        os.utime(path, ns=times, follow_symlinks=False)


@pytest.fixture
def copy_project(real_runs: Path) -> Callable[[Path], Path]:
    """Return a function that copies the real runs' project to a folder, times and symlinks included."""

    def copy(to: Path) -> Path:
        return Path(shutil.copytree(real_runs, to, symlinks=True))

    return copy
