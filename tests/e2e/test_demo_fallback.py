"""The demo on a machine that has neither rsync nor ssh and cannot get them, and the SFTP server that it then uses."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pytest
from private_sftp import PrivateSftp

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.errors import TargetError
from hsm.process.runner import Runner
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.paramiko.client import ParamikoClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEMO = Path(__file__).parents[2] / "examples" / "demo"
SSH_PROGRAMS = ("rsync", "scp", "sftp", "ssh", "ssh-keygen", "ssh-add", "ssh-keyscan")
SHELL_PROGRAMS = ("sh", "id", "mktemp", "rm", "cat", "grep", "mv", "chmod")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateSftp]:
    with PrivateSftp(tmp_path / "sftp", root=tmp_path / "root") as started:
        yield started


@pytest.fixture
def sftp(server: PrivateSftp) -> Iterator[paramiko.SFTPClient]:
    """Somebody else's client, logged in."""
    with paramiko.Transport((server.host, server.port)) as transport:
        transport.connect(username=server.user, pkey=paramiko.ECDSAKey.from_private_key_file(server.identity_file))
        found = paramiko.SFTPClient.from_transport(transport)
        assert found
        yield found


def make_settings(server: PrivateSftp) -> TargetSettings:
    return parse_target(
        {
            "host": server.host,
            "user": server.user,
            "port": server.port,
            "paths": {"sweeps": "/project/sweeps", "wandb": "/project/wandb"},
            "ssh": {
                "identity_file": str(server.identity_file),
                "options": {"UserKnownHostsFile": str(server.known_hosts), "IdentitiesOnly": "yes"},
            },
        }
    )


def make_path_without(folder: Path, *names: str) -> str:
    """A PATH on which all programs of this machine lie but these."""
    folder.mkdir()
    for place in os.get_exec_path():
        for program in Path(place).glob("*"):
            if program.name not in names:
                with contextlib.suppress(FileExistsError):
                    (folder / program.name).symlink_to(program)
    return str(folder)


def make_path(folder: Path, *names: str) -> str:
    """A PATH on which these programs lie alone."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.mark.slow
def test_the_demo_ends_with_the_same_tree_without_rsync_and_ssh(tmp_path: Path) -> None:
    demo = tmp_path / "clone" / "examples" / "demo"
    shutil.copytree(DEMO, demo, ignore=shutil.ignore_patterns("__pycache__"))
    completed = subprocess.run(
        [sys.executable, demo / "demo.py"],
        env={**os.environ, "PATH": make_path_without(tmp_path / "bin", *SSH_PROGRAMS)},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    said = completed.stdout + completed.stderr
    assert completed.returncode == 0, said
    assert said.count("A small SFTP server takes the place of sshd and rsync.\n") == 1
    assert "rsync, ssh, ssh-keygen" in said.splitlines()[0]
    assert "The 7 runs of sweep_20251020_212836 have arrived, and no other." in said
    assert "No file at the desktop was written again." in said
    assert "2 of 2 runs ended; desktop: 2 complete\n" in said
    assert "are the same on the laptop, and nothing else has come." in said
    assert "desktop cannot be asked to write its files to the disk" in said
    assert said.count("  stays  ") == 8, "no preview says that something goes which then stays"
    assert "Best: task_" in said


def test_what_cannot_be_installed_does_not_stop_the_demo(tmp_path: Path) -> None:
    path = make_path(tmp_path / "bin", *SHELL_PROGRAMS)
    argv = ["sh", DEMO / "setup_machine.sh", "programs"]
    quiet = subprocess.run([*argv, "--quiet"], env={"PATH": path}, capture_output=True, encoding="utf-8", check=False)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    strict = subprocess.run(argv, env={"PATH": path}, capture_output=True, encoding="utf-8", check=False)
    assert strict.returncode == 1
    assert "Not on this machine: rsync" in strict.stderr


def test_nothing_leads_out_of_the_served_folder(server: PrivateSftp, sftp: paramiko.SFTPClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (server.root / "file").symlink_to(secret)
    (server.root / "folder").symlink_to(tmp_path)
    for path in ("file", "folder/secret", "../secret", "../../../../etc/passwd", str(secret), "/folder/../file"):
        with pytest.raises(OSError, match=r"."), sftp.open(path) as stream:
            stream.read()
    for ask in (sftp.stat, sftp.listdir):
        with pytest.raises(OSError, match=r"."):
            ask("folder")
    tries: tuple[Callable[[], object], ...] = (
        lambda: sftp.mkdir("folder/made"),
        lambda: sftp.remove("folder/secret"),
        lambda: sftp.rename("file", "folder/moved"),
        lambda: sftp.open("folder/written", "w"),
        lambda: sftp.symlink("/etc", "link"),
    )
    for attempt in tries:
        with pytest.raises(OSError, match=r"."):
            attempt()
    assert sftp.normalize("../..") == "/"
    assert sorted(sftp.listdir("..")) == ["file", "folder"]
    assert secret.read_text() == "secret"
    assert {path.name for path in tmp_path.iterdir()} == {"home", "root", "secret", "sftp"}


def test_a_rename_never_replaces(server: PrivateSftp, sftp: paramiko.SFTPClient) -> None:
    for name in ("old", "new"):
        (server.root / name).write_text(name)
    with pytest.raises(OSError, match=r"."):
        sftp.rename("old", "new")
    sftp.rename("old", "free")
    assert {path.name: path.read_text() for path in server.root.iterdir()} == {"free": "old", "new": "new"}


def test_another_key_is_refused(server: PrivateSftp) -> None:
    with (
        paramiko.Transport((server.host, server.port)) as transport,
        pytest.raises(paramiko.AuthenticationException),
    ):
        transport.connect(username=server.user, pkey=paramiko.ECDSAKey.generate())
    assert server.count_logins() == 0


@pytest.mark.parametrize("keeps_shell", [False, True], ids=["session", "kept"])
def test_openssh_finds_out_that_a_server_starts_no_programs(
    server: PrivateSftp, require_program: Callable[..., None], *, keeps_shell: bool
) -> None:
    require_program("ssh")
    ssh = OpenSsh("desktop", make_settings(server), Runner(), pauses_seconds=())
    with contextlib.ExitStack() as stack:
        stack.callback(ssh.logout)
        if keeps_shell:
            stack.enter_context(ssh.keep_shell())
        with pytest.raises(TargetError, match="refuses to start any") as raised:
            ssh.run(":")
    assert raised.value.kind == "noisy_shell"


def test_paramiko_finds_out_that_a_server_starts_no_programs(server: PrivateSftp) -> None:
    with ParamikoClient("desktop", make_settings(server), Runner(), pauses_seconds=()) as client:
        assert not client.can_run
        with pytest.raises(TargetError, match="refuses to start any"):
            client.run(":")
        assert server.count_logins() == 1
