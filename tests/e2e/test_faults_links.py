"""Links and logins that break, each for real: what `hsm sync to` says, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.config.load import load_project_config
from hsm.process.runner import Runner
from hsm.remote.openssh.client import OpenSsh
from tests.e2e.aftermath import (
    SWEEP,
    Said,
    add_file,
    assert_all_arrived,
    assert_end,
    assert_no_half_file,
    assert_nothing_left,
    assert_records_valid,
    list_runs,
    parse_said,
    sync,
)
from tests.e2e.proxy import LinkProxy
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import Project

    StartSshd = Callable[..., PrivateSshd]

MB = 1_000_000
WAIT_SECONDS = 30
TRYING_AGAIN = re.compile(r"Trying again in [56] s\.")
IMPATIENT = {"ServerAliveInterval": "1", "ServerAliveCountMax": "3"}
"""A frozen link ends after four seconds instead of a minute."""


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def start_proxy() -> Iterator[Callable[..., LinkProxy]]:
    """Return a function that puts a proxy between a project and its target; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        def start(project: Project, *, ssh_options: dict[str, str] | None = None, **options: Any) -> LinkProxy:
            proxy: LinkProxy = stack.enter_context(LinkProxy(project.sshd.port, **options))
            ssh = project.read_config()["sync_targets"][project.target]["ssh"]
            options = {**ssh["options"], "HostKeyAlias": f"[{project.sshd.host}]:{project.sshd.port}"}
            project.set_target(port=proxy.port, ssh={**ssh, "options": {**options, **(ssh_options or {})}})
            return proxy

        yield start


@contextlib.contextmanager
def begin(project: Project, *args: str) -> Iterator[Future[Said]]:
    """Sync in a thread, so that the test can do harm meanwhile."""
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit(sync, project, *args, timeout=100)


def wait_until(is_so: Callable[[], bool], future: Future[Said] | None = None) -> None:
    """Wait for a state of the world; fail when it does not come, or the sync is over before."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert future is None or not future.done(), future.result()
        assert time.monotonic() < deadline
        time.sleep(0.02)


PUSH = """
import json, sys
from pathlib import Path
from hsm.config.load import load_project_config
from hsm.progress import SilentReporter
from hsm.process.runner import Runner
from hsm.sync.bring.push import push
from hsm.sync.request import SyncRequest
from hsm.sync.reports import make_document
loaded = load_project_config(Path.cwd())
pauses = tuple(float(word) for word in sys.argv[2:])
request = SyncRequest((sys.argv[1],), loaded.config.sync_targets, pauses_seconds=pauses)
report = push(loaded, request, runner=Runner(), reporter=SilentReporter())
print(json.dumps(make_document(report, with_plan=False)))
sys.exit(report.exit_code)
"""


def sync_with_pauses(project: Project, *pauses_seconds: float) -> Said:
    """Sync with other pauses after a dropped connection than 5, 15 and 45 seconds."""
    argv = [sys.executable, "-c", PUSH, SWEEP, *map(str, pauses_seconds)]
    return parse_said(
        subprocess.run(argv, cwd=project.folder, capture_output=True, text=True, timeout=100, check=False)
    )


def sync_under(project: Project, mount: str) -> Said:
    """Sync where, for this one process alone, a command has mounted something."""
    argv = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    argv += [sys.executable, "-m", "hsm", "sync", "to", SWEEP, "--json"]
    completed = subprocess.run(
        argv, cwd=project.folder, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, check=False
    )
    if "unshare" in completed.stderr or "mount:" in completed.stderr:
        pytest.skip(f"no mount of one's own here: {completed.stderr}")
    return parse_said(completed)


def count_workers(project: Project) -> int:
    """How many rsyncs were started at the target."""
    return sum("rsync" in command and "--server" in command for command in project.sshd.read_commands())


def count_contacts(project: Project) -> int:
    """How many connections were made to the server."""
    return project.sshd.log_text().count("Connection from ")


def find_control_path(project: Project) -> Path:
    """Where the socket of the project's shared login lies; logs in where there is none."""
    settings = load_project_config(project.folder).config.sync_targets[project.target]
    words = OpenSsh(project.target, settings, Runner(), pauses_seconds=()).make_session_argv()
    return Path(next(word for word in words if word.startswith("ControlPath=")).partition("=")[2])


def find_master(path: Path) -> int:
    """The process behind a control socket."""
    argv = ["ssh", "-F", "none", "-O", "check", "-o", f"ControlPath={path}", "x"]
    said = Runner().run(argv, timeout_seconds=20).stderr_text  # Master running (pid=4711)
    return int(said.partition("pid=")[2].partition(")")[0])


def add_big_files(project: Project, count: int, n_bytes: int) -> None:
    for run in list_runs(project)[:count]:
        add_file(run, "big.bin", n_bytes)


@pytest.mark.slow
@pytest.mark.parametrize("n_sessions", [10, 4, 1])
def test_a_server_with_few_sessions_gets_all_over_one_login(
    n_sessions: int, start_sshd: StartSshd, make: Callable[..., Project], start_proxy: Callable[..., LinkProxy]
) -> None:
    sshd = start_sshd(settings={"MaxSessions": str(n_sessions)})
    project = make(sshd, options={"parallel_transfers": 8})
    for run in list_runs(project)[:8]:
        add_file(run, "zeros.bin", 17 * MB, is_random=False)
    start_proxy(project, delay_seconds=0.05)
    said = sync(project)
    assert_end(said, "done", 0)
    assert (sshd.count_logins(), count_contacts(project)) == (1, 1)
    assert ("no more sessions" in sshd.log_text()) is (n_sessions < 8)
    n_streams = 8 if n_sessions > 1 else 2  # where only one fits, what is left goes in one stream for each folder
    assert count_workers(project) >= n_streams
    assert_all_arrived(project)
    assert_end(sync(project), "nothing_to_do", 0)


@pytest.mark.slow
def test_a_login_killed_amid_four_workers_is_made_anew_once(
    make: Callable[..., Project], start_proxy: Callable[..., LinkProxy]
) -> None:
    project = make(options={"parallel_transfers": 4})
    add_big_files(project, 4, 17 * MB)
    proxy = start_proxy(project, bytes_per_second=30 * MB, delay_seconds=0.05)
    master = find_master(find_control_path(project))
    with begin(project) as future:
        wait_until(lambda: count_workers(project) == 4 and proxy.n_bytes > 4 * MB, future)
        os.kill(master, signal.SIGKILL)
        said = future.result()
    assert_no_half_file(project)
    assert_end(said, "done", 0)
    assert said.n_sent == said.n_planned
    assert project.sshd.count_logins() == proxy.n_connections == 2
    assert_all_arrived(project)
    assert sync(project).n_planned == 0


def test_a_control_socket_that_nobody_answers_is_no_obstacle(make: Callable[..., Project]) -> None:
    project = make()
    path = find_control_path(project)
    os.kill(find_master(path), signal.SIGKILL)
    assert path.is_socket()
    assert_end(sync(project), "done", 0)
    assert project.sshd.count_logins() == 2
    assert_all_arrived(project)


@pytest.mark.slow
@pytest.mark.parametrize(
    "length",
    [
        100,
        300,
    ],
)
def test_a_control_path_of_the_user_that_is_too_long_is_not_used(length: int, make: Callable[..., Project]) -> None:
    project = make(style="alias")
    with project.sshd.ssh_config.open("a") as stream:
        stream.write(f"    ControlPath ~/{'c' * length}-%C\n    ControlMaster auto\n")
    assert_end(sync(project), "done", 0)
    assert project.sshd.count_logins() == 1
    assert_all_arrived(project)


@parametrize(
    "options",
    [pytest.param("uid=65534,mode=700", id="another owner"), pytest.param("mode=777", id="open to all")],
    quick=["another owner"],
)
def test_a_control_folder_that_is_not_private_stops_before_any_contact(
    options: str, make: Callable[..., Project]
) -> None:
    folder = Path(f"/tmp/hsm-{os.getuid()}")
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only the superuser can put another folder over this one, for one process alone")
    folder.mkdir(mode=0o700, exist_ok=True)
    project = make()
    said = sync_under(project, f"mount -t tmpfs -o {options} hsm-test {folder}")
    assert_end(said, "unreachable", 10, "control_folder")
    assert f"{folder} must be a folder that belongs to you" in said.text
    assert count_contacts(project) == 0
    assert not project.target_root.exists()
    assert_end(sync(project), "done", 0)


@pytest.mark.slow
def test_where_no_login_can_be_shared_there_are_four_at_most(make: Callable[..., Project]) -> None:
    folder = Path(f"/tmp/hsm-{os.getuid()}")
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only the superuser can put another folder over this one, for one process alone")
    folder.mkdir(mode=0o700, exist_ok=True)
    project = make(options={"parallel_transfers": 8})
    add_big_files(project, 8, 17 * MB)
    said = sync_under(project, f"mount -t tmpfs -o ro,mode=700 hsm-test {folder}")
    assert_end(said, "done", 0)
    assert said.n_sent == said.n_planned
    assert 1 < project.sshd.count_logins() == count_contacts(project) <= 4
    assert_all_arrived(project)
    said = sync_under(project, f"mount -t tmpfs -o ro,mode=700 hsm-test {folder}")
    assert_end(said, "nothing_to_do", 0)


@pytest.mark.slow
def test_a_throttled_login_is_waited_for_and_tried_again(start_sshd: StartSshd, make: Callable[..., Project]) -> None:
    sshd = start_sshd(settings={"MaxStartups": "3:100:3"})
    project = make(sshd)
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(socket.create_connection((sshd.host, sshd.port))) for _ in range(3)]
        for other in others:
            assert other.recv(4) == b"SSH-"
        with begin(project) as future:
            wait_until(lambda: "MaxStartups" in sshd.log_text(), future)
            stack.close()
            said = future.result()
    assert_no_half_file(project)
    assert_end(said, "done", 0)
    assert "more logins under way than it allows (MaxStartups)" in said.stderr
    assert TRYING_AGAIN.search(said.stderr)
    assert sshd.count_logins() == 1
    assert_all_arrived(project)


@pytest.mark.slow
def test_a_wrong_key_is_one_attempt_and_code_10(start_sshd: StartSshd, make: Callable[..., Project]) -> None:
    sshd, other = start_sshd(), start_sshd()
    project = make(sshd)
    ssh = project.read_config()["sync_targets"]["desktop"]["ssh"]
    foreign = {"identity_file": str(other.identity_file), "options": {**ssh["options"], "IdentitiesOnly": "yes"}}
    project.set_target(ssh=foreign)
    said = sync(project)
    assert_end(said, "unreachable", 10, "login_refused")
    assert "refused the login of target desktop" in said.text
    assert "`hsm sync login desktop`" in said.text
    assert (sshd.count_logins(), count_contacts(project)) == (0, 1)
    assert not project.target_root.exists()
    assert_nothing_left(project)
    project.set_target(ssh=ssh)
    assert_end(sync(project), "done", 0)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["unknown", "changed"])
def test_a_host_key_that_is_not_known_is_refused_and_not_stored(
    case: str, start_sshd: StartSshd, make: Callable[..., Project]
) -> None:
    sshd, other = start_sshd(), start_sshd()
    project = make(sshd)
    good = sshd.known_hosts.read_text()
    place = good.partition(" ")[0]
    bad = "" if case == "unknown" else f"{place} {other.known_hosts.read_text().partition(' ')[2]}"
    sshd.known_hosts.write_text(bad)
    said = sync(project)
    assert_end(said, "unreachable", 10, f"host_key_{case}")
    assert f"-p {sshd.port} {sshd.host}" in said.text
    assert sshd.known_hosts.read_text() == bad
    assert (sshd.count_logins(), count_contacts(project)) == (0, 1)
    assert_nothing_left(project)
    sshd.known_hosts.write_text(good)
    assert_end(sync(project), "done", 0)


@pytest.mark.slow
def test_a_link_that_is_cut_and_comes_back_ends_complete(
    make: Callable[..., Project], start_proxy: Callable[..., LinkProxy]
) -> None:
    project = make(options={"parallel_transfers": 2})
    add_big_files(project, 2, 17 * MB)
    proxy = start_proxy(project, bytes_per_second=30 * MB)
    proxy.at_bytes(8 * MB, lambda: proxy.cut(is_closed=True))
    with begin(project) as future:
        wait_until(lambda: proxy.n_connections >= 2, future)  # the first try to come back is dropped too
        proxy.mend()
        said = future.result()
    assert_no_half_file(project)
    assert_end(said, "done", 0)
    assert said.n_sent == said.n_planned
    assert TRYING_AGAIN.search(said.stderr)
    assert project.sshd.count_logins() == 2
    assert_all_arrived(project)
    assert sync(project).n_planned == 0


@pytest.mark.slow
def test_what_a_cut_link_brought_of_a_file_is_not_sent_again(
    make: Callable[..., Project], start_proxy: Callable[..., LinkProxy]
) -> None:
    project = make(options={"parallel_transfers": 1})
    add_big_files(project, 1, 30 * MB)
    proxy = start_proxy(project, bytes_per_second=30 * MB)
    proxy.at_bytes(22 * MB, proxy.cut)
    said = sync(project)
    assert_end(said, "done", 0)
    assert proxy.n_bytes < 45 * MB
    assert_all_arrived(project)


@pytest.mark.slow
def test_a_frozen_link_is_given_up_and_made_anew(
    make: Callable[..., Project], start_proxy: Callable[..., LinkProxy]
) -> None:
    project = make(options={"parallel_transfers": 2})
    add_big_files(project, 2, 17 * MB)
    proxy = start_proxy(project, bytes_per_second=30 * MB, ssh_options=IMPATIENT)
    proxy.at_bytes(8 * MB, proxy.freeze)
    with begin(project) as future:
        wait_until(lambda: proxy.n_connections == 2, future)  # ssh has given up, and tries anew
        proxy.thaw()
        said = future.result()
    assert_no_half_file(project)
    assert_end(said, "done", 0)
    assert said.n_sent == said.n_planned
    assert project.sshd.count_logins() == 2
    assert_all_arrived(project)
    assert sync(project).n_planned == 0


@pytest.mark.slow
def test_what_a_lost_connection_left_running_there_does_no_harm(
    make: Callable[..., Project], start_proxy: Callable[..., LinkProxy]
) -> None:
    """The server has not noticed that its client is gone; its rsyncs end after the sync."""
    project = make(options={"parallel_transfers": 2})
    add_big_files(project, 2, 17 * MB)
    proxy = start_proxy(project, bytes_per_second=30 * MB, ssh_options=IMPATIENT)
    proxy.at_bytes(8 * MB, proxy.strand)
    assert_end(sync(project), "done", 0)
    assert project.sshd.count_connections() == project.sshd.count_logins() == 2
    assert_all_arrived(project)
    proxy.release()
    wait_until(lambda: project.sshd.count_connections() == 1)
    assert_no_half_file(project)
    assert_nothing_left(project)
    assert [path for path in project.target_root.rglob(".hsm-partial/*") if path.is_file()] == []
    assert_end(sync(project), "nothing_to_do", 0)


@pytest.mark.slow
def test_a_late_end_of_a_lost_rsync_does_not_tear_a_file_that_is_gone_on_with(
    make: Callable[..., Project], start_proxy: Callable[..., LinkProxy]
) -> None:
    """An rsync that lost its client keeps its part when it ends, at the place where another one goes on by then."""
    project = make(options={"parallel_transfers": 1})
    add_big_files(project, 1, 40 * MB)
    proxy = start_proxy(project, bytes_per_second=20 * MB, ssh_options=IMPATIENT)

    def strand_then_cut_then_release() -> None:
        proxy.strand()
        proxy.at_bytes(20 * MB, cut_then_release)

    def cut_then_release() -> None:
        proxy.cut()
        proxy.at_bytes(5 * MB, proxy.release)

    proxy.at_bytes(8 * MB, strand_then_cut_then_release)
    said = sync(project)
    assert_no_half_file(project)
    assert_end(said, "done", 0)
    assert_all_arrived(project)
    assert_end(sync(project), "nothing_to_do", 0)


@pytest.mark.slow
def test_a_link_that_stays_frozen_is_given_up_and_gone_on_with_by_the_next_call(
    make: Callable[..., Project], start_proxy: Callable[..., LinkProxy]
) -> None:
    project = make(options={"parallel_transfers": 2})
    add_big_files(project, 2, 17 * MB)
    proxy = start_proxy(project, bytes_per_second=30 * MB, ssh_options={**IMPATIENT, "ConnectTimeout": "1"})
    proxy.at_bytes(8 * MB, proxy.freeze)
    said = sync_with_pauses(project, 0.1, 0.1)
    assert said.end in (("unreachable", 10), ("partial", 1)), said.why
    assert said.kind == "connection_timeout", said.why
    assert "does not answer" in said.text
    assert proxy.n_connections == 1 + 3
    assert_no_half_file(project)
    assert_records_valid(project)
    proxy.thaw()
    project.sshd.wait_no_connections()
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


def test_a_server_that_keeps_throttling_is_told_after_the_last_pause(
    start_sshd: StartSshd, make: Callable[..., Project]
) -> None:
    sshd = start_sshd(settings={"MaxStartups": "3:100:3"})
    project = make(sshd)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            other = stack.enter_context(socket.create_connection((sshd.host, sshd.port)))
            assert other.recv(4) == b"SSH-"
        said = sync_with_pauses(project, 0.1, 0.1)
        assert_end(said, "unreachable", 10, "throttled")
        assert "Wait a few minutes" in said.text
    assert sshd.count_logins() == 0
    assert_nothing_left(project)
    assert_end(sync(project), "done", 0)
