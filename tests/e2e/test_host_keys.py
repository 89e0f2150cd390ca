"""Host keys are always checked, what is offered and stored is told, and the commands that are named work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from private_sshd import PrivateSshd

from hsm.config.schema import parse_target
from hsm.process.runner import Runner
from hsm.remote.openssh.client import OpenSsh
from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeProject, Project

StartSshd = Callable[..., PrivateSshd]


def read_fingerprint(sshd: PrivateSshd) -> str:
    """The host key's fingerprint, as whoever runs the machine would read it out."""
    argv = ["ssh-keygen", "-l", "-E", "sha256", "-f", str(sshd.folder / "host_key.pub")]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[1]


def change_host_key(sshd: PrivateSshd) -> str:
    """Let the server have another host key; what clients know stays. Returns the old key's fingerprint."""
    known, old = sshd.known_hosts.read_bytes(), read_fingerprint(sshd)
    for name in ("host_key", "host_key.pub"):
        (sshd.folder / name).unlink()
    sshd.restart()
    sshd.known_hosts.write_bytes(known)
    return old


def count_connections_made(sshd: PrivateSshd) -> int:
    return sshd.log_text().count("Connection from ")


def refuse(project: Project) -> str:
    """Log in, in vain; returns what HSM says. It has made one connection, and left the known hosts as they were."""
    known = project.sshd.known_hosts
    before, n_before = known.read_bytes() if known.exists() else None, count_connections_made(project.sshd)
    completed = project.hsm("sync", "login", "desktop")
    assert completed.returncode == 10, completed.stderr
    assert (known.read_bytes() if known.exists() else None) == before
    assert count_connections_made(project.sshd) == n_before + 1
    assert project.sshd.count_logins() == 0
    assert "debug1" not in completed.stderr
    return completed.stderr


def find_commands(said: str) -> list[str]:
    """The commands that an error names, each in a line of its own below the text."""
    return [line.strip() for line in said.splitlines() if line.startswith("        ")]


def follow(commands: list[str], tmp_path: Path) -> None:
    """Do as the hint says, and answer `yes` to ssh."""
    answer = tmp_path / "answer"
    answer.write_text("#!/bin/sh\necho yes\n")
    answer.chmod(0o755)
    environment = {**os.environ, "SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none:0"}
    for command in commands:
        words = command if command.startswith("ssh-keygen") else f"{command} true"
        subprocess.run(
            ["/bin/sh", "-c", words],
            check=True,
            timeout=30,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def test_an_unknown_key_is_shown_and_the_command_accepts_it(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    project.sshd.known_hosts.write_text("")
    said = refuse(project)
    assert f"[127.0.0.1]:{project.sshd.port}" in said
    assert f"ED25519 {read_fingerprint(project.sshd)}" in said
    follow(find_commands(said), tmp_path)
    assert project.hsm("sync", "login", "desktop").returncode == 0


def test_a_file_of_known_hosts_that_is_missing_stays_missing(make_project: MakeProject) -> None:
    project = make_project()
    project.sshd.known_hosts.unlink()
    assert read_fingerprint(project.sshd) in refuse(project)


@parametrize("is_hashed", [False, True], quick=[False], ids=["plain", "hashed"])
def test_a_changed_key_is_shown_beside_the_stored_one_and_the_commands_replace_it(
    is_hashed: bool, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project()
    sshd = project.sshd
    others = "".join(f"host{number}.example {sshd.known_hosts.read_text().partition(' ')[2]}" for number in range(2))
    sshd.known_hosts.write_text(others + sshd.known_hosts.read_text())
    if is_hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(sshd.known_hosts)], check=True, capture_output=True)
        assert "127.0.0.1" not in sshd.known_hosts.read_text()
    old = change_host_key(sshd)
    said = refuse(project)
    assert f"offers ED25519 {read_fingerprint(sshd)}" in said
    assert f"stored is ED25519 {old} in {sshd.known_hosts}:3." in said
    commands = find_commands(said)
    assert commands[0] == f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {sshd.known_hosts}"
    follow(commands, tmp_path)
    assert project.hsm("sync", "login", "desktop").returncode == 0
    assert len(sshd.known_hosts.read_text().splitlines()) == 3


def test_a_stored_key_of_another_type_is_a_changed_key(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    sshd = project.sshd
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "other")], check=True)
    kind, key = (tmp_path / "other.pub").read_text().split()[:2]
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {kind} {key}\n")
    said = refuse(project)
    assert f"offers ED25519 {read_fingerprint(sshd)}" in said
    assert "stored is ECDSA SHA256:" in said


@pytest.mark.slow
def test_a_host_key_alias_is_the_name_that_counts(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    sshd = project.sshd
    ssh = project.read_config()["sync_targets"]["desktop"]["ssh"]
    project.set_target(ssh={**ssh, "options": {**ssh["options"], "HostKeyAlias": "my-cluster"}})
    assert "that my-cluster offers" in refuse(project)
    key = sshd.known_hosts.read_text().partition(" ")[2]
    sshd.known_hosts.write_text(f"my-cluster {key}")
    old = change_host_key(sshd)
    said = refuse(project)
    assert f"ED25519 {old} in {sshd.known_hosts}:1" in said
    assert find_commands(said)[0] == f"ssh-keygen -R my-cluster -f {sshd.known_hosts}"
    follow(find_commands(said), tmp_path)
    assert project.hsm("sync", "login", "desktop").returncode == 0


@parametrize(
    "lines",
    [
        pytest.param("StrictHostKeyChecking no", id="StrictHostKeyChecking no"),
        pytest.param("StrictHostKeyChecking accept-new", id="StrictHostKeyChecking accept-new"),
        pytest.param("NoHostAuthenticationForLocalhost yes", id="NoHostAuthenticationForLocalhost"),
        pytest.param("FingerprintHash md5\n    LogLevel QUIET", id="MD5 and quiet"),
    ],
    quick=["StrictHostKeyChecking no"],
)
def test_the_users_own_settings_do_not_switch_the_check_off(lines: str, make_project: MakeProject) -> None:
    project = make_project(style="alias")
    sshd = project.sshd
    with sshd.ssh_config.open("a") as stream:
        stream.write(f"    {lines}\n")
    sshd.known_hosts.write_text("")
    said = refuse(project)
    assert read_fingerprint(sshd) in said
    assert ("-o StrictHostKeyChecking=ask" in said) is lines.startswith("Strict")


@pytest.mark.slow
def test_a_login_adds_no_further_keys_to_the_known_hosts(
    start_sshd: StartSshd, make_project: MakeProject, tmp_path: Path
) -> None:
    second = tmp_path / "second_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(second)], check=True)
    folder = tmp_path / "two-keys"
    sshd = start_sshd(folder=folder, settings={"HostKey": f'"{folder}/host_key"\nHostKey "{second}"'})
    with sshd.ssh_config.open("a") as stream:
        stream.write("    UpdateHostKeys yes\n    CheckHostIP yes\n")
    before = sshd.known_hosts.read_text()
    project = make_project(sshd, style="alias")
    assert project.hsm("sync", "login", "desktop").returncode == 0
    assert sshd.known_hosts.read_text() == before
    argv = ["ssh", "-F", str(sshd.ssh_config), "-o", "BatchMode=yes", sshd.alias, "true"]
    subprocess.run(argv, check=True, capture_output=True, timeout=30)
    assert len(sshd.known_hosts.read_text().splitlines()) > 1, "ssh by itself would have added one"


def test_a_jump_host_with_an_unknown_key_is_asked_once(start_sshd: StartSshd, make_project: MakeProject) -> None:
    jump, sshd = start_sshd(alias="jump"), start_sshd()
    jump.known_hosts.write_text("")
    config = jump.ssh_config.read_text() + sshd.ssh_config.read_text() + "    ProxyJump jump\n"
    sshd.ssh_config.write_text(config)
    completed = make_project(sshd, style="alias").hsm("sync", "login", "desktop")
    assert completed.returncode == 10
    assert "through jump ended before 127.0.0.1 answered" in completed.stderr
    assert (count_connections_made(jump), count_connections_made(sshd)) == (1, 0)


def test_the_log_of_a_login_is_gone_after_it(make_project: MakeProject) -> None:
    project = make_project()
    settings = parse_target(project.read_config()["sync_targets"]["desktop"])
    argv = OpenSsh("desktop", settings, Runner()).make_session_argv()
    (socket,) = [Path(word.partition("=")[2]) for word in argv if word.startswith("ControlPath=")]
    assert socket.is_socket()
    assert {path.name for path in socket.parent.glob(f"{socket.name}*")} <= {socket.name, f"{socket.name}.lock"}
