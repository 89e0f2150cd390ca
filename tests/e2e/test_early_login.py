"""The login that begins before anything heavy is imported, with the real program."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from private_sshd import list_processes

from hsm.remote.openssh.control_folder import make_control_folder
from hsm.remote.openssh.hints import HintFile
from tests.conftest import read_argv
from tests.e2e.aftermath import SWEEP, assert_end, sync
from tests.e2e.proxy import LinkProxy
from tests.e2e.synthetic import write_project
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project

WAIT_SECONDS = 30
OPEN_SHELL = "exec /bin/sh"


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def own(make_project: MakeProject) -> Iterator[Project]:
    """A project of three small runs; what is remembered of it is forgotten afterwards."""
    project = make_project()
    write_project(project.folder)
    yield project
    find_memory(project).unlink(missing_ok=True)


def find_memory(project: Project) -> Path:
    folder = make_control_folder()
    assert folder is not None
    return HintFile(folder, project.config_path, project.target).path


def list_clients(project: Project, *, port: int = 0) -> list[int]:
    """The ssh and rsync processes of the project's target but the shared login."""
    words = {str(port or project.sshd.port), f"Port={port}"}
    found = {process.pid: read_argv(process.pid) for process in list_processes()}
    clients = {pid: argv for pid, argv in found.items() if Path(argv[0]).name in ("ssh", "rsync")}
    return [pid for pid, argv in clients.items() if words & set(argv) and "ssh: " not in argv[0]]


def count_contacts(sshd: PrivateSshd) -> int:
    return sshd.log_text().count("Connection from ")


def log_out(project: Project) -> None:
    assert project.hsm("sync", "logout").returncode == 0
    project.sshd.wait_no_connections()
    project.sshd.clear_log()


def wait_until(is_so: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextlib.contextmanager
def start_sync(project: Project) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "hsm", "sync", "to", SWEEP]
    with subprocess.Popen(
        argv,
        cwd=project.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_two_calls_make_one_login_and_the_second_one_session(own: Project) -> None:
    assert_end(sync(own), "done", 0)
    assert own.sshd.count_logins() == 1
    assert find_memory(own).exists()
    n_sessions = own.sshd.count_sessions()
    assert_end(sync(own), "nothing_to_do", 0)
    assert own.sshd.count_sessions() == n_sessions + 1
    assert own.sshd.read_commands()[-1] == OPEN_SHELL
    assert (own.sshd.count_logins(), count_contacts(own.sshd)) == (1, 1)


def test_a_cold_call_that_begins_early_makes_one_login_and_one_session(own: Project) -> None:
    assert_end(sync(own), "done", 0)
    log_out(own)
    assert_end(sync(own), "nothing_to_do", 0)
    assert (own.sshd.count_logins(), count_contacts(own.sshd), own.sshd.count_sessions()) == (1, 1, 1)


@parametrize(
    "words",
    [("login", "desktop"), ("doctor",), ("verify", SWEEP), ("to", SWEEP, "--dry-run")],
    quick=[("doctor",)],
    ids=" ".join,
)
def test_whatever_reads_the_targets_leaves_them_for_the_next_call(own: Project, words: tuple[str, ...]) -> None:
    assert not find_memory(own).exists()
    own.hsm("sync", *words)
    assert json.loads(find_memory(own).read_text())["login"]["port"] == own.sshd.port


@pytest.mark.slow
def test_the_login_has_begun_before_the_sweep_is_known(own: Project) -> None:
    assert_end(sync(own), "done", 0)
    log_out(own)
    assert own.hsm("sync", "to", "no-such-sweep").returncode == 2
    assert set(own.sshd.read_commands()) <= {OPEN_SHELL}
    wait_until(lambda: not any("-M" not in read_argv(pid) for pid in list_clients(own)))


@parametrize("number", [signal.SIGINT, signal.SIGTERM], quick=[signal.SIGINT])
def test_a_signal_right_at_the_start_ends_what_was_begun(own: Project, number: signal.Signals) -> None:
    with LinkProxy(own.sshd.port) as proxy:
        ssh = own.read_config()["sync_targets"][own.target]["ssh"]
        known = {**ssh["options"], "HostKeyAlias": f"[{own.sshd.host}]:{own.sshd.port}"}
        own.set_target(port=proxy.port, ssh={**ssh, "options": known})
        assert_end(sync(own), "done", 0)
        log_out(own)
        proxy.freeze()
        with start_sync(own) as process:
            wait_until(lambda: list_clients(own, port=proxy.port), process)
            begin = time.monotonic()
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
            assert process.returncode == 130, (stdout, stderr)
            assert time.monotonic() - begin < WAIT_SECONDS / 2
            assert list_clients(own, port=proxy.port) == []
            assert "Traceback" not in stderr
    assert not list(own.folder.rglob("*.lock"))


def test_a_target_that_was_changed_between_two_calls_is_the_one_that_is_used(
    own: Project, start_sshd: Callable[..., PrivateSshd]
) -> None:
    assert_end(sync(own), "done", 0)
    log_out(own)
    other = start_sshd(folder=own.folder.parent / "other-sshd")
    ssh = {"identity_file": str(other.identity_file), "options": {"UserKnownHostsFile": str(other.known_hosts)}}
    own.set_target(port=other.port, ssh=ssh)
    assert sync(own).end[1] == 0
    assert count_contacts(own.sshd) == 0
    assert (other.count_logins(), count_contacts(other)) == (1, 1)
    assert_end(sync(own), "nothing_to_do", 0)
    assert count_contacts(own.sshd) == 0


@pytest.mark.slow
def test_another_default_target_is_the_one_that_is_begun_with(
    own: Project, start_sshd: Callable[..., PrivateSshd]
) -> None:
    other = start_sshd(folder=own.folder.parent / "other-sshd")
    config = own.read_config()
    ssh = {"identity_file": str(other.identity_file), "options": {"UserKnownHostsFile": str(other.known_hosts)}}
    paths = {"sweeps": f"{own.target_root}-2/sweeps", "wandb": f"{own.target_root}-2/wandb"}
    there = {**config["sync_targets"]["desktop"], "port": other.port, "ssh": ssh, "paths": paths}
    config["sync_targets"]["laptop"] = there
    own.write_config(config)
    assert own.hsm("sync", "to", SWEEP, "-t", "desktop", "-t", "laptop").returncode == 0
    own.write_config({**config, "default_target": "laptop"})
    for sshd in (own.sshd, other):
        sshd.clear_log()
    for _ in range(2):
        assert own.hsm("sync", "to", SWEEP).returncode == 0
    assert own.sshd.read_commands() == []
    assert other.read_commands() == [OPEN_SHELL, OPEN_SHELL]


def test_a_refused_login_that_was_begun_early_is_tried_once(own: Project) -> None:
    assert_end(sync(own), "done", 0)
    log_out(own)
    key = own.sshd.identity_file
    public = key.with_name("user_key.pub")
    public.write_text(public.read_text().replace("AAAAC3NzaC1lZDI1NTE5AAAAI", "AAAAC3NzaC1lZDI1NTE5AAAAJ"))
    said = sync(own)
    assert said.end == ("unreachable", 10)
    assert said.kind == "login_refused", said.why
    assert (own.sshd.count_logins(), count_contacts(own.sshd)) == (0, 1)


@pytest.mark.slow
def test_a_target_that_does_not_exist_contacts_nothing(own: Project) -> None:
    assert_end(sync(own), "done", 0)
    log_out(own)
    completed = own.hsm("sync", "to", SWEEP, "--target", "nowhere")
    assert completed.returncode == 2
    assert "nowhere" in completed.stderr
    assert count_contacts(own.sshd) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("DESKTOP__OPTIONS__COMPRESS", "none", 0), ("DESKTOP__PORT", "1", 10)],
)
def test_what_the_environment_overrides_is_not_begun_with(own: Project, name: str, value: str, code: int) -> None:
    assert_end(sync(own), "done", 0)
    log_out(own)
    completed = own.hsm("sync", "to", SWEEP, env={f"HSM_SYNC__{name}": value})
    assert completed.returncode == code, completed.stderr
    assert count_contacts(own.sshd) == int(code == 0)


def test_a_working_folder_that_is_gone_is_told_as_by_every_command(own: Project) -> None:
    gone = own.folder / "gone"
    script = f"mkdir {gone} && cd {gone} && rmdir {gone} && exec {sys.executable} -m hsm sync"
    codes = [
        subprocess.run(["sh", "-c", f"{script} {words}"], capture_output=True, timeout=60, check=False).returncode
        for words in ("list", f"to {SWEEP}")
    ]
    assert codes[0] == codes[1] > 1


@pytest.mark.slow
def test_nothing_is_left_but_the_memory(own: Project) -> None:
    folder = find_memory(own).parent
    before = {path.name for path in folder.iterdir()}
    for _ in range(2):
        assert sync(own).end[1] == 0
    log_out(own)
    words = [str(own.config_path), str(own.sshd.port)]
    left = {path for path in folder.iterdir() if path.name not in before and path.is_file()}
    texts = {path: path.read_text("utf-8", "replace") for path in left if path.suffix in ("", ".json", ".log")}
    kept = {path for path, text in texts.items() if any(word in text for word in words)}
    assert {path for path in kept if not path.name.startswith("config-")} == {find_memory(own)}
    assert len(kept) == 2, "hints of the target, and the configuration as it was read"
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
