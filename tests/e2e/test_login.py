"""One login per target, against a private sshd."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from private_sshd import PrivateSshd

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.errors import UnreachableError
from hsm.process.runner import Completed, Runner
from hsm.remote.openssh.client import OpenSsh
from tests.e2e.proxy import LinkProxy
from tests.marks import parametrize

StartSshd = Callable[..., PrivateSshd]
MakeSsh = Callable[..., OpenSsh]
ONE_DROP = (0.0,)
"""A single further try, at once."""


@pytest.fixture
def make_ssh() -> Iterator[MakeSsh]:
    """Return a function that makes a client of a private sshd; all that it opened is closed at the end."""
    made: list[OpenSsh] = []

    def make(sshd: PrivateSshd, *, pauses_seconds: tuple[float, ...] = (), **ssh: Any) -> OpenSsh:
        client = OpenSsh("desktop", make_settings(sshd, **ssh), Runner(), pauses_seconds=pauses_seconds)
        made.append(client)
        return client

    yield make
    for client in made:
        with contextlib.suppress(UnreachableError):
            client.logout()


def make_settings(sshd: PrivateSshd, *, host: str = "", **ssh: Any) -> TargetSettings:
    """Make a target of host, port and key, or, with `config`, of an alias in an ssh configuration."""
    paths = {"sweeps": "~/sweeps", "wandb": "~/wandb"}
    if "config" in ssh:
        return parse_target({"host": host or sshd.alias, "paths": paths, "ssh": ssh})
    own = {"identity_file": str(sshd.identity_file), "options": {"UserKnownHostsFile": str(sshd.known_hosts)}}
    return parse_target(
        {
            "host": host or sshd.host,
            "user": sshd.user,
            "port": sshd.port,
            "paths": paths,
            "ssh": {**own, **ssh},
        }
    )


def add_settings(sshd: PrivateSshd, *lines: str) -> str:
    """Add lines to the `Host` entry of the user's ssh configuration, and return the file's path."""
    with sshd.ssh_config.open("a") as stream:
        stream.writelines(f"    {line}\n" for line in lines)
    return str(sshd.ssh_config)


def refuse(client: OpenSsh) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        client.run("true")
    return caught.value


def count_connections_made(sshd: PrivateSshd) -> int:
    return sshd.log_text().count("Connection from ")


def find_control_path(client: OpenSsh) -> Path:
    (option,) = [word for word in client.make_session_argv() if word.startswith("ControlPath=")]
    return Path(option.partition("=")[2])


def kill_master(client: OpenSsh, number: signal.Signals) -> Path:
    """Kill the process behind a shared login, and return its control path."""
    path = find_control_path(client)
    argv = ["ssh", "-F", "none", "-O", "check", "-o", f"ControlPath={path}", "x"]
    said = Runner().run(argv, timeout_seconds=20).stderr_text  # Master running (pid=4711)
    os.kill(int(said.partition("pid=")[2].partition(")")[0]), number)
    return path


def test_many_sessions_and_clients_share_one_login(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    client, other = make_ssh(sshd), make_ssh(sshd)
    with ThreadPoolExecutor(8) as executor:
        printed = list(executor.map(lambda number: client.run(f"echo {number}").stdout, range(8)))
    assert printed == [f"{number}\n".encode() for number in range(8)]
    assert other.run("cat; echo complaint >&2; sh -c 'exit 9'", stdin=b"in").stdout == b"in"
    assert sshd.count_logins() == count_connections_made(sshd) == 1
    assert sshd.count_sessions() == 9


def test_a_session_tells_its_output_complaints_and_status(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    completed = make_ssh(sshd).run("cat; echo complaint >&2; sh -c 'exit 9'", stdin=b"in")
    assert (completed.returncode, completed.stdout, completed.stderr) == (9, b"in", b"complaint\n")


def test_the_control_socket_is_private(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    path = find_control_path(make_ssh(sshd))
    status = path.parent.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700, os.getuid())
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_other_settings_get_another_login(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    one, other = make_ssh(sshd), make_ssh(sshd, config=str(sshd.ssh_config))
    assert find_control_path(one) != find_control_path(other)
    assert sshd.count_logins() == 2


def test_logout_closes_the_login_and_the_next_session_opens_a_new_one(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    client = make_ssh(sshd)
    assert not client.logout()
    path = find_control_path(client)
    assert client.logout()
    assert not path.exists()
    sshd.wait_no_connections()
    assert not client.logout()
    assert client.run("echo again").stdout == b"again\n"
    assert sshd.count_logins() == 2


def test_two_processes_that_log_in_at_once_make_one_login(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    client = make_ssh(sshd)
    settings = json.dumps(asdict(make_settings(sshd)))
    program = (
        "import sys; from hsm.config.schema import parse_target; from hsm.process.runner import Runner;"
        "from hsm.remote.openssh.client import OpenSsh;"
        "settings = parse_target(__import__('json').loads(sys.argv[1]));"
        "print('ready', flush=True); sys.stdin.readline();"
        "print(OpenSsh('desktop', settings, Runner(), pauses_seconds=()).run('echo in').stdout.decode())"
    )
    argv = [sys.executable, "-c", program, settings]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(3)
        ]
        for process in processes:
            stack.callback(process.kill)
        assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 3
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["in"] * 3
    assert client.run("echo in").stdout == b"in\n"
    assert sshd.count_logins() == count_connections_made(sshd) == 1


def test_a_socket_that_nobody_answers_is_replaced(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    path = kill_master(make_ssh(sshd), signal.SIGKILL)
    assert path.exists()
    sshd.wait_no_connections()
    assert make_ssh(sshd).run("echo in").stdout == b"in\n"
    assert sshd.count_logins() == 2


@parametrize("number", [signal.SIGKILL, signal.SIGTERM], quick=[signal.SIGKILL])
def test_a_login_that_ended_meanwhile_is_told_and_made_anew(
    number: signal.Signals, sshd: PrivateSshd, make_ssh: MakeSsh
) -> None:
    impatient, patient = make_ssh(sshd), make_ssh(sshd, pauses_seconds=ONE_DROP)
    for client in (impatient, patient):
        client.login()
    kill_master(impatient, number)
    sshd.wait_no_connections()
    assert refuse(impatient).kind == "connection_dropped"
    assert patient.run("echo in").stdout == b"in\n"
    assert sshd.count_logins() == 2


def test_a_login_that_dies_under_a_session_is_a_dropped_connection(
    sshd: PrivateSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    client = make_ssh(sshd)
    client.login()
    os.mkfifo(tmp_path / "fifo")
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(client.run, f"echo >{tmp_path}/fifo; sleep 60")
        (tmp_path / "fifo").read_text()
        kill_master(client, signal.SIGKILL)
        error = future.exception()
    assert isinstance(error, UnreachableError)
    assert error.kind == "connection_dropped"


@pytest.mark.parametrize(
    "foreign",
    [
        "file",
        "link",
        "mode",
        "owner",
    ],
)
def test_a_control_folder_that_is_not_private_is_refused(
    foreign: str, sshd: PrivateSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    uid = 2_000_000_000 + os.getpid()
    folder = Path(f"/tmp/hsm-{uid}")
    if foreign == "mode" and os.geteuid() != 0:
        pytest.skip("only the superuser gives a folder away")
    try:
        if foreign == "file":
            folder.touch(mode=0o600)
        elif foreign == "link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "elsewhere")
        else:
            folder.mkdir(mode=0o700)
        if foreign == "mode":
            os.chown(folder, uid, -1)
            folder.chmod(0o750)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getuid", lambda: uid)
            error = refuse(make_ssh(sshd))
        assert error.kind == "control_folder"
        assert f"rm -r {folder}" in error.hint
        assert count_connections_made(sshd) == 0
    finally:
        if folder.is_dir() and not folder.is_symlink():
            folder.rmdir()
        else:
            folder.unlink()


class CountingRunner(Runner):
    """Writes down for how long it was to wait, and does not."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def test_where_no_login_can_be_shared_each_session_is_one_and_they_are_spaced(
    sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: "no/such/folder")
    runner = CountingRunner()
    client = OpenSsh("desktop", make_settings(sshd), runner, pauses_seconds=(), spacing_seconds=50.0)
    with client.keep_shell():
        assert [client.run("cat", stdin=word).stdout for word in (b"a", b"b", b"")] == [b"a", b"b", b""]
        assert client.max_workers == 3
        argv = client.make_session_argv()
        assert Runner().run([*argv, "--", sshd.host, "echo in"], timeout_seconds=30).stdout == b"in\n"
    assert sshd.count_logins() == 2
    assert len(runner.waits) == 1
    assert 45 < runner.waits[0] <= 50


def test_a_shell_that_is_kept_open_answers_again_and_again(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    client = make_ssh(sshd)
    with client.keep_shell():
        assert client.run("echo out; echo err >&2; exit 7") == Completed(7, b"out\n", b"err\n")
        assert client.run("cat; printf '\\0\\377'", stdin=b"\0\n\377") == Completed(0, b"\0\n\377\0\377", b"")
        assert client.run("cat") == Completed(0, b"", b"")
        assert client.run("wc -c", stdin=b"x" * 100_000).stdout.strip() == b"100000"  # in a session of its own
        assert client.round_trip_seconds is not None
        assert sum("/bin/sh" in command for command in sshd.read_commands()) >= 1
        n_sessions = sshd.log_text().count("Starting session")
    assert (n_sessions, sshd.count_logins()) == (2, 1)


def test_a_slow_start_of_the_shell_makes_no_link_long(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    """The first answer waits for it, the next one does not."""
    (sshd.home / ".bashrc").write_text("sleep 3\n")
    client = make_ssh(sshd)
    with client.keep_shell():
        assert client.run("echo in").stdout == b"in\n"
        n_sessions = sshd.count_sessions()
        assert client.round_trip_seconds is not None
        assert client.round_trip_seconds < 3
        assert sshd.count_sessions() == n_sessions


def test_what_start_up_files_print_makes_no_link_short(sshd: PrivateSshd) -> None:
    """It lies there before anything is asked, and says nothing of how long an answer takes."""
    (sshd.home / ".bashrc").write_text("echo Welcome\n")
    with LinkProxy(sshd.port, delay_seconds=0.1) as proxy:
        known = {"UserKnownHostsFile": str(sshd.known_hosts), "HostKeyAlias": f"[{sshd.host}]:{sshd.port}"}
        settings = replace(make_settings(sshd, options=known), port=proxy.port)
        client = OpenSsh("desktop", settings, Runner(), pauses_seconds=())
        with client.keep_shell():
            client.begin()
            client.login()
            time.sleep(0.5)
            answers = [client.run("echo in").stdout for _ in range(3)]
        assert answers == [b"in\n"] * 3
        assert client.noise == b"Welcome\n"
        assert client.round_trip_seconds is not None
        assert client.round_trip_seconds >= 0.1
        assert client.logout()


def test_a_shell_that_was_killed_is_opened_anew(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    client = make_ssh(sshd, pauses_seconds=(0.0,))
    with client.keep_shell():
        pid = int(client.run("echo $$").stdout)
        os.kill(pid, 9)
        assert client.run("echo in").stdout == b"in\n"
    assert sshd.count_logins() == 1


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Return a folder whose path leaves room for a control socket's name."""
    folder = Path(f"/tmp/hsm-test-{os.getpid()}-{os.urandom(3).hex()}")
    folder.mkdir(mode=0o700)
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@parametrize("name", ["own", "%C", "%r@%h:%p"], quick=["%C"])
def test_the_users_own_live_login_is_used_and_left_alone(
    name: str, sshd: PrivateSshd, make_ssh: MakeSsh, short_folder: Path
) -> None:
    config = add_settings(sshd, f"ControlPath {short_folder}/{name}", "ControlPersist yes")
    own = ["ssh", "-F", config, "-M", "-N", "-f", "-E", str(short_folder / "log"), sshd.alias]
    subprocess.run(own, check=True, timeout=30, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    client = make_ssh(sshd, config=config)
    assert client.run("echo in").stdout == b"in\n"
    assert find_control_path(client).parent == short_folder
    assert sshd.count_logins() == 1
    assert not client.logout()
    assert sshd.count_connections() == 1


def test_a_control_path_of_the_user_without_a_login_stays_unused(
    sshd: PrivateSshd, make_ssh: MakeSsh, short_folder: Path
) -> None:
    config = add_settings(sshd, f"ControlPath {short_folder}/own", "ControlMaster auto", "ControlPersist yes")
    client = make_ssh(sshd, config=config)
    client.run("true")
    assert find_control_path(client).parent != short_folder
    assert list(short_folder.iterdir()) == []


@parametrize(
    "lines",
    [
        pytest.param(("RemoteCommand echo other",), id="RemoteCommand"),
        pytest.param(("RequestTTY force",), id="RequestTTY"),
        pytest.param(("LogLevel QUIET",), id="LogLevel QUIET"),
        pytest.param(("LogLevel DEBUG",), id="LogLevel DEBUG"),
        pytest.param(("ForwardAgent yes", "ForwardX11 yes"), id="forwarding of agent and X11"),
        pytest.param(("PermitLocalCommand yes", "LocalCommand touch TOUCHED"), id="LocalCommand"),
        pytest.param(("ControlMaster auto", "ControlPersist 1"), id="ControlMaster auto"),
        pytest.param(("StrictHostKeyChecking no",), id="StrictHostKeyChecking no"),
        pytest.param(("BatchMode no", "Compression yes", "TCPKeepAlive no"), id="harmless ones"),
    ],
    quick=["RemoteCommand", "ControlMaster auto"],
)
def test_settings_of_the_user_do_not_break_the_login(
    lines: tuple[str, ...], sshd: PrivateSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    config = add_settings(sshd, *(line.replace("TOUCHED", str(touched)) for line in lines))
    client = make_ssh(sshd, config=config)
    for _ in range(2):
        assert client.run("printf in").stdout == b"in"
    assert sshd.count_logins() == 1
    assert not touched.exists()


def test_a_forwarded_port_that_is_taken_does_not_break_the_login(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    with socket.socket() as taken:
        taken.bind((sshd.host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = add_settings(sshd, f"LocalForward {sshd.host}:{port} {sshd.host}:9", "ExitOnForwardFailure yes")
        assert make_ssh(sshd, config=config).run("printf in").stdout == b"in"


def test_a_quiet_configuration_does_not_hide_why_a_login_fails(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    config = add_settings(sshd, "LogLevel QUIET")
    sshd.known_hosts.write_text("")
    assert refuse(make_ssh(sshd, config=config)).kind == "host_key_unknown"


def test_noise_of_start_up_files_is_no_output(start_sshd: StartSshd, make_ssh: MakeSsh) -> None:
    sshd = start_sshd(shell="bash")
    (sshd.home / ".bashrc").write_text("echo Welcome; printf '%s' no-newline; echo quota >&2\n")
    assert make_ssh(sshd).run("printf in").stdout == b"in"


def test_at_the_servers_limit_of_sessions_no_new_login_is_made(
    start_sshd: StartSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    sshd = start_sshd(settings={"MaxSessions": "1"})
    config = add_settings(sshd, "LogLevel QUIET")  # which must not hide the reason
    client = make_ssh(sshd, config=config)
    client.login()
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "go")
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(client.run, f"echo >{tmp_path}/begun; cat {tmp_path}/go; echo done")
        (tmp_path / "begun").read_text()
        error = refuse(make_ssh(sshd, config=config))
        (tmp_path / "go").write_text("")
        assert future.result().stdout == b"done\n"
    assert error.kind == "sessions_refused"
    assert "parallel_transfers" in error.hint
    assert sshd.count_logins() == count_connections_made(sshd) == 1


@parametrize("case", ["foreign key", "missing key", "foreign user"], quick=["foreign key"])
def test_a_refused_login_is_tried_once(case: str, start_sshd: StartSshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd, other = start_sshd(), start_sshd()
    key = {"foreign key": other.identity_file, "missing key": tmp_path / "no-key"}.get(case, sshd.identity_file)
    if case == "foreign user":
        sshd.user = "nobody"
    options = {"UserKnownHostsFile": str(sshd.known_hosts), "IdentitiesOnly": "yes"}
    client = make_ssh(sshd, identity_file=str(key), options=options, pauses_seconds=(0.0, 0.0))
    error = refuse(client)
    assert error.kind == ("key_missing" if case == "missing key" else "login_refused")
    assert ("`ssh.identity_file`" if case == "missing key" else "`hsm sync login desktop`") in error.hint
    assert (sshd.count_logins(), count_connections_made(sshd)) == (0, 1)


def test_an_unknown_host_key_is_not_accepted(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    sshd.known_hosts.write_text("")
    client = make_ssh(sshd, pauses_seconds=(0.0, 0.0))
    error = refuse(client)
    assert error.kind == "host_key_unknown"
    assert client.program.command_line in error.hint
    assert sshd.known_hosts.read_text() == ""
    assert count_connections_made(sshd) == 1


@pytest.mark.parametrize(
    ("marker", "kind"),
    [
        pytest.param("", "host_key_changed", id="changed"),
        pytest.param("@revoked ", "host_key_revoked", id="revoked"),
    ],
)
def test_a_foreign_host_key_is_not_accepted(marker: str, kind: str, start_sshd: StartSshd, make_ssh: MakeSsh) -> None:
    sshd, other = start_sshd(), start_sshd()
    place, _, _ = sshd.known_hosts.read_text().partition(" ")
    key = (sshd if marker else other).known_hosts.read_text().partition(" ")[2]
    sshd.known_hosts.write_text(f"{marker}{place} {key}")
    error = refuse(make_ssh(sshd))
    assert error.kind == kind
    assert (f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'" in error.hint) is (not marker)
    assert count_connections_made(sshd) == 1


def test_a_key_that_others_may_read_is_named(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    sshd.identity_file.chmod(0o644)
    options = {"UserKnownHostsFile": str(sshd.known_hosts), "IdentitiesOnly": "yes"}
    error = refuse(make_ssh(sshd, options=options))
    assert (error.kind, count_connections_made(sshd)) == ("key_unusable", 1)
    assert "chmod 600" in error.hint


def test_a_server_that_is_away_is_named(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    client = make_ssh(sshd)
    sshd.stop()
    error = refuse(client)
    assert error.kind == "connection_refused"
    assert f"port {sshd.port}" in error.message


def test_a_server_that_came_back_is_used_again(sshd: PrivateSshd, make_ssh: MakeSsh) -> None:
    client = make_ssh(sshd, pauses_seconds=ONE_DROP)
    client.login()
    sshd.restart()
    assert client.run("printf in").stdout == b"in"


def test_a_server_that_runs_no_commands_is_named(start_sshd: StartSshd, make_ssh: MakeSsh) -> None:
    from hsm.errors import TargetError

    sshd = start_sshd(sftp_only=True)
    with pytest.raises(TargetError) as caught:
        make_ssh(sshd).run("true")
    assert caught.value.kind == "noisy_shell"
    assert "sftp connections only" in caught.value.detail
