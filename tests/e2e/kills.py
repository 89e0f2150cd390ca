"""kill -9 of one process of a call, at a moment that a seed decides; and projects on whose calls that is tried."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from private_sshd import list_descendants

from hsm.config.load import load_project_config
from hsm.process.runner import Runner
from hsm.records.receipt import parse_receipt
from hsm.remote.openssh.client import OpenSsh
from tests.conftest import read_argv, run_hsm
from tests.e2e.clean_project import make_folder_target
from tests.e2e.conftest import Project
from tests.e2e.proxy import LinkProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject

PROGRAM = Path(__file__).with_name("killed_hsm.py")
VICTIMS = {
    "ssh, rsync": ("hsm", "worker", "far side", "hsm", "master"),
    "folder, copy": ("hsm",),
    "ssh, sftp": ("hsm", "far side"),
    "folder, rsync": ("hsm", "worker"),
}
"""By route, the kinds of processes that can be killed."""
ROUTES = tuple(VICTIMS)
_SECONDS = 60
_POLL_SECONDS = 0.001


def make_killed_project(make_project: MakeProject, tmp_path: Path, route: str) -> Project:
    """Make an empty project here; its target takes everything, is behind ssh or a folder, and has a fixed engine."""
    place, _, engine = route.partition(", ")
    options = {"latest_only": False, "max_depth": None}
    if place == "ssh":
        project = make_project(options=options)
        project.set_target(engine=engine)
        return project
    root = tmp_path / "nas"
    project = Project(tmp_path / "source/project", cast("PrivateSshd", None), "nas", root, run_hsm)
    project.folder.mkdir(parents=True)
    target = {**make_folder_target(root), "engine": engine}
    project.write_config({"default_target": "nas", "sync_targets": {"nas": target}})
    return project


@contextlib.contextmanager
def put_proxy_between(project: Project, **options: Any) -> Iterator[LinkProxy]:
    """Put a proxy between the project and its target behind ssh, for good: its port is a part of the route."""
    with LinkProxy(project.sshd.port, **options) as proxy:
        ssh = project.read_config()["sync_targets"][project.target]["ssh"]
        key = {**ssh["options"], "HostKeyAlias": f"[{project.sshd.host}]:{project.sshd.port}"}
        project.set_target(port=proxy.port, ssh={**ssh, "options": key})
        yield proxy


def find_master(project: Project) -> int:
    """Log in where there is no login yet, and name the process behind it."""
    settings = load_project_config(project.folder).config.sync_targets[project.target]
    words = OpenSsh(project.target, settings, Runner(), pauses_seconds=()).make_session_argv()
    path = next(word for word in words if word.startswith("ControlPath="))
    argv = ["ssh", "-F", "none", "-O", "check", "-o", path, "x"]
    said = Runner().run(argv, timeout_seconds=20).stderr_text  # Master running (pid=4711)
    return int(said.partition("pid=")[2].partition(")")[0])


@dataclass
class Killer:
    """Kills one process of a call that runs.

    Attributes:
        victim: Of which kind, see `VICTIMS`; empty for none.
        chance: Chooses among several.
        sshd: Serves the far side; None where the target is a folder.
        master: The process behind the shared login; 0 where there is none.
        killed: What was killed; empty when there was nothing of the kind.
    """

    victim: str
    chance: random.Random
    sshd: PrivateSshd | None = None
    master: int = 0
    killed: str = ""

    def kill(self, hsm: int) -> None:
        """Kill now, where there is something of the kind."""
        found = self._find(hsm)
        if found:
            pid = self.chance.choice(found)
            self.killed = f"{self.victim}: {' '.join(read_argv(pid))[:60]}"
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _find(self, hsm: int) -> list[int]:
        if self.victim == "hsm":
            return [hsm]
        if self.victim == "master":
            return [self.master]
        if self.victim == "worker":
            children = [child.pid for child in list_descendants(hsm)]
            return [pid for pid in children if Path(read_argv(pid)[0]).name == "rsync"] or children
        assert self.sshd is not None, self.victim
        listener = int((self.sshd.folder / "sshd.pid").read_text())
        return [child.pid for child in list_descendants(listener)]


@dataclass(frozen=True)
class Moment:
    """A moment of a call: the first of those that are set.

    Attributes:
        seconds: Since it began.
        n_bytes: That have passed since it began, as `meter` counts them.
        meter: Counts what has passed.
        n_calls: Of the system by hsm's Python, of the `kinds` of `killed_hsm.py`; hsm kills itself then.
        kinds: Which calls count.
    """

    seconds: float = 0.0
    n_bytes: int = 0
    meter: Callable[[], int] = field(default=lambda: 0, repr=False)
    n_calls: int = 0
    kinds: str = field(default="", repr=False)


@dataclass(frozen=True)
class Killed:
    """A call in which something was killed.

    Attributes:
        code: The exit code; negative where a signal ended it.
        what: What was killed, empty for nothing.
        document: What it printed, where it came to that.
        stderr: What else it said.
    """

    code: int
    what: str
    document: dict[str, Any] | None
    stderr: str

    @property
    def is_dead(self) -> bool:
        """Tell whether hsm itself was killed."""
        return self.code == -signal.SIGKILL


def call_and_kill(project: Project, args: Sequence[str], killer: Killer, moment: Moment) -> Killed:
    """Call hsm with `--json`, kill at a moment, and wait for its end; what it started may still run.

    A call that hsm survives ends with its document and says no traceback.
    """
    words = ["-m", "hsm"]
    if moment.n_calls:
        count = project.folder.parent / "count"
        words = [str(PROGRAM), moment.kinds, str(moment.n_calls), str(count)]
    argv = [sys.executable, *words, *args, "--json"]
    over = threading.Event()
    with subprocess.Popen(
        argv,
        cwd=project.folder,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        watcher = threading.Thread(target=_wait_and_kill, args=(killer, moment, process.pid, over))
        if not moment.n_calls:
            watcher.start()
        try:
            stdout, stderr = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # so that Python says where it hangs
            pytest.fail(process.communicate(timeout=10)[1].decode(errors="replace"))
        finally:
            over.set()
            process.kill()
            if not moment.n_calls:
                watcher.join(10)
    code, said = process.returncode, stderr.decode(errors="replace")
    if moment.n_calls and code == -signal.SIGKILL:
        killer.killed = "hsm: itself"
    elif killer.victim == "hsm" and code >= 0:
        killer.killed = ""  # it had ended right before
    assert (code == -signal.SIGKILL) == killer.killed.startswith("hsm"), (code, killer.killed, said)
    if code < 0:
        return Killed(code, killer.killed, None, said)
    assert "Traceback" not in said, said
    document: dict[str, Any] = json.loads(stdout)
    assert document["exit_code"] == code, said
    return Killed(code, killer.killed, document, said)


def _wait_and_kill(killer: Killer, moment: Moment, hsm: int, over: threading.Event) -> None:
    began, from_bytes = time.monotonic(), moment.meter()
    while not over.wait(_POLL_SECONDS):
        is_due = bool(moment.seconds) and time.monotonic() - began >= moment.seconds
        if is_due or (moment.n_bytes and moment.meter() - from_bytes >= moment.n_bytes):
            killer.kill(hsm)
            return


def count_bytes(folder: Path) -> int:
    """Count the bytes of all files below a folder in which something may change meanwhile."""
    n_bytes = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                n_bytes += os.lstat(f"{place}/{name}").st_size
    return n_bytes


def wait_until_still(folder: Path, *, quiet_seconds: float = 0.3) -> None:
    """Wait until nothing changes below a folder any more: what a killed call had started has ended."""
    give_up, seen, since = time.monotonic() + 30, None, time.monotonic()
    while time.monotonic() - since < quiet_seconds:
        now = sorted(str(path) for path in folder.rglob("*")), count_bytes(folder)
        if now != seen:
            seen, since = now, time.monotonic()
        assert time.monotonic() < give_up
        time.sleep(0.02)


def age_marks(project: Project) -> None:
    """Make the marks old that a killed sync left here: an hour later the next call removes them."""
    for path in project.folder.rglob(".hsm-mark-*"):
        assert path.stat().st_size == 0
        os.utime(path, ns=(0, 0))


def assert_records_readable(project: Project) -> None:
    """Every record of either end can be read."""
    for path in (project.folder / ".hsm").rglob("*.json"):
        assert isinstance(json.loads(path.read_bytes()), dict), path
    for root in (project.folder, project.target_root):
        for path in root.rglob("receipt-*.json"):
            parse_receipt(path.read_bytes())


def assert_nothing_of_hsm_left(project: Project) -> None:
    """No lock, mark or temporary file at either end."""
    names = (".hsm-tmp", ".hsm-partial", ".hsm-clean-*", ".hsm-mark-*", "lock", "*.lock")
    left = [path for root in (project.folder, project.target_root) for name in names for path in root.rglob(name)]
    assert left == [], left
