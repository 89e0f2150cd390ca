"""The private sshd that the end-to-end tests and the demo stand on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from private_sshd import PrivateSshd, SshdError, list_descendants, list_processes

from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    StartSshd = Callable[..., PrivateSshd]


def run_ssh(
    sshd: PrivateSshd, *command: str, text: str | None = None, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-F", str(sshd.ssh_config), *options, sshd.alias, *command]
    return subprocess.run(argv, input=text or "", check=False, capture_output=True, text=True, timeout=30)


def wait_until(is_true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def short_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose path is short enough for a control socket."""
    folder = Path("/tmp") / f"hsm-t{os.getpid()}-{tmp_path.name[-8:]}"
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


def test_a_command_keeps_its_input_its_output_and_its_exit_code(sshd: PrivateSshd) -> None:
    result = run_ssh(sshd, "cat; echo complaint >&2; exit 7", text="hello")
    assert (result.returncode, result.stdout, result.stderr) == (7, "hello", "complaint\n")


def test_the_configuration_needs_nothing_from_the_users_own(sshd: PrivateSshd) -> None:
    assert run_ssh(sshd, "true", options=("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes")).returncode == 0


def test_commands_start_in_the_private_home(sshd: PrivateSshd) -> None:
    assert run_ssh(sshd, "pwd; echo ~; echo $HOME").stdout.split() == [str(sshd.home)] * 3


def test_bashrc_is_read_once(start_sshd: StartSshd, require_program: Callable[..., None]) -> None:
    require_program("bash")
    sshd = start_sshd(shell="bash")
    (sshd.home / ".bashrc").write_text("echo from bashrc\n")
    assert run_ssh(sshd, "echo from command").stdout == "from bashrc\nfrom command\n"


@parametrize(
    ("shell", "command", "expected"),
    [
        pytest.param("sh", "echo $0", "sh", id="sh"),
        pytest.param("tcsh", "echo $tcsh[1]", "6", id="tcsh"),
        pytest.param("fish", "echo (status fish-path | path basename)", "fish", id="fish"),
    ],
    quick=["sh"],
)
def test_the_shell_can_be_chosen(start_sshd: StartSshd, shell: str, command: str, expected: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert expected in run_ssh(start_sshd(shell=shell), command).stdout


def test_an_unknown_shell_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SshdError, match="no such shell: no-shell"):
        PrivateSshd(tmp_path, shell="no-shell")


def test_a_path_without_programs_hides_them(start_sshd: StartSshd) -> None:
    sshd = start_sshd(environment={"PATH": "/nonexistent"}, shell="/bin/sh")
    assert run_ssh(sshd, "rsync --version").returncode == 127


def test_sftp_begins_in_the_private_home(sshd: PrivateSshd, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    argv = ["sftp", "-F", str(sshd.ssh_config), "-b", "-", sshd.alias]
    subprocess.run(argv, input="put file there\n", text=True, check=True, capture_output=True, cwd=tmp_path)
    assert (sshd.home / "there").read_text() == "content"
    assert sshd.read_commands() == ["internal-sftp"]


def test_sftp_only_refuses_commands(start_sshd: StartSshd, tmp_path: Path) -> None:
    sshd = start_sshd(sftp_only=True)
    refused = run_ssh(sshd, "true")
    assert (refused.returncode, refused.stdout) == (1, "This service allows sftp connections only.\n")
    (tmp_path / "file").write_text("content")
    argv = ["sftp", "-F", str(sshd.ssh_config), "-b", "-", sshd.alias]
    subprocess.run(argv, input="put file\n", text=True, check=True, capture_output=True, cwd=tmp_path)
    assert (sshd.home / "file").read_text() == "content"
    assert sshd.read_commands() == ["true", "internal-sftp"]


def test_rsync_works_with_relative_paths(
    sshd: PrivateSshd, tmp_path: Path, require_program: Callable[..., None]
) -> None:
    require_program("rsync")
    (tmp_path / "file").write_text("content")
    argv = ["rsync", "-t", "-e", f"ssh -F {sshd.ssh_config}", "file", f"{sshd.alias}:there"]
    subprocess.run(argv, check=True, cwd=tmp_path)
    assert (sshd.home / "there").read_text() == "content"


def test_logins_sessions_and_commands_are_counted(sshd: PrivateSshd, short_folder: Path) -> None:
    socket_path = short_folder / "control"
    shared = ("-o", f"ControlPath={socket_path}", "-o", "ControlMaster=no")
    master = [
        "ssh",
        "-F",
        str(sshd.ssh_config),
        "-MNf",
        "-S",
        str(socket_path),
        "-E",
        "/dev/null",
        sshd.alias,
    ]
    subprocess.run(master, check=True, stdin=subprocess.DEVNULL)
    for command in ("echo one", "echo two\necho lines"):
        assert run_ssh(sshd, command, options=shared).returncode == 0
    sshd.wait_quiet()
    assert (sshd.count_logins(), sshd.count_sessions(), sshd.count_connections()) == (1, 2, 1)
    assert sshd.read_commands() == ["echo one", "echo two\necho lines"]
    sshd.clear_log()
    assert (sshd.count_logins(), sshd.count_sessions(), sshd.read_commands()) == (0, 0, [])
    sshd.stop()
    wait_until(lambda: not socket_path.exists())


def test_stop_ends_sessions_and_what_they_run(start_sshd: StartSshd, tmp_path: Path) -> None:
    others = {process.pid for process in list_descendants(os.getpid())}
    sshd = start_sshd()
    note = tmp_path / "note"
    argv = ["ssh", "-F", str(sshd.ssh_config), sshd.alias, f"sleep 77 & echo $! > {note}; sleep 78"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        wait_until(lambda: note.exists() and note.read_text())
        sshd.stop()
        assert client.wait(10) == 255
    assert int(note.read_text()) not in {process.pid for process in list_processes()}
    assert {process.pid for process in list_descendants(os.getpid())} <= others
    sshd.stop()  # a second call does nothing


def test_killed_sessions_leave_the_server_listening(sshd: PrivateSshd) -> None:
    argv = ["ssh", "-F", str(sshd.ssh_config), sshd.alias, "sleep 77"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        wait_until(sshd.count_sessions)
        sshd.kill_sessions()
        assert client.wait(10) == 255
    sshd.wait_no_connections()
    assert run_ssh(sshd, "true").returncode == 0


def test_restart_keeps_port_and_keys(sshd: PrivateSshd) -> None:
    port = sshd.port
    assert run_ssh(sshd, "true").returncode == 0
    sshd.restart()
    assert sshd.port == port
    assert run_ssh(sshd, "true").returncode == 0
    assert sshd.count_logins() == 2


def test_a_taken_port_is_given_up_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require_program: Callable[..., None]
) -> None:
    require_program("sshd", "ssh-keygen")
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        ports = [taken.getsockname()[1], free.getsockname()[1]]
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports[0]))
        holder.listen()
        monkeypatch.setattr("private_sshd._find_free_port", iter(ports).__next__)
        with PrivateSshd(tmp_path / "sshd") as sshd:
            assert sshd.port == ports[1]


def test_settings_win_over_the_defaults(start_sshd: StartSshd) -> None:
    sshd = start_sshd(settings={"loglevel": "QUIET", "MaxSessions": "1"})
    assert run_ssh(sshd, "true").returncode == 0
    assert "Accepted" not in sshd.log_text()


def test_a_wrong_setting_is_told_in_sshds_words(start_sshd: StartSshd) -> None:
    with pytest.raises(SshdError, match="NoSuchSetting"):
        start_sshd(settings={"NoSuchSetting": "1"})


def test_paths_may_hold_blanks_percents_and_quotes(start_sshd: StartSshd, tmp_path: Path) -> None:
    sshd = start_sshd(folder=tmp_path / "a b%d \"c' d")
    assert run_ssh(sshd, "pwd").stdout == f"{sshd.home}\n"
