"""What every contract test needs: both kinds of endpoint, and an SSH client at a private sshd."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from private_sshd import PrivateSshd

from hsm.config.schema import TargetSettings
from hsm.endpoint import Endpoint
from hsm.process.runner import Runner
from hsm.remote.local import LocalEndpoint
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.sftp.endpoint import SftpEndpoint
from hsm.remote.shell_programs.endpoint import RemoteEndpoint


@pytest.fixture
def make_ssh() -> Callable[[PrivateSshd], OpenSsh]:
    """Return a function that makes an SSH client whose target is a private sshd."""

    def make(sshd: PrivateSshd) -> OpenSsh:
        return OpenSsh("desktop", make_settings(sshd), Runner())

    return make


@pytest.fixture
def make_paramiko() -> Iterator[Callable[..., ParamikoClient]]:
    """Return a function that makes the second SSH client, whose target is a private sshd; all end with the test."""
    clients: list[ParamikoClient] = []

    def make(sshd: PrivateSshd, *, runner: Runner | None = None, **ssh: object) -> ParamikoClient:
        clients.append(ParamikoClient("desktop", make_settings(sshd, **ssh), runner or Runner(), pauses_seconds=(0.1,)))
        return clients[-1]

    yield make
    for client in clients:
        client.logout()


def start_sftp_only(start_sshd: Callable[..., PrivateSshd], tmp_path: Path) -> PrivateSshd:
    """A server that lets no command run: sshd's own `internal-sftp`, with a home folder of its own."""
    home = tmp_path / "sftp-home"
    home.mkdir()
    return start_sshd(settings={"ForceCommand": f"internal-sftp -d {home}"})


def make_settings(sshd: PrivateSshd, **ssh: object) -> TargetSettings:
    """The configuration of a target at a private sshd; `ssh` changes its section of that name."""
    return TargetSettings.model_validate(
        {
            "host": sshd.host,
            "user": sshd.user,
            "port": sshd.port,
            "paths": {"sweeps": "~/sweeps", "wandb": "~/wandb"},
            "ssh": {
                "identity_file": str(sshd.identity_file),
                "options": {"UserKnownHostsFile": str(sshd.known_hosts)},
                **ssh,
            },
        }
    )


@pytest.fixture
def make_endpoint(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    make_ssh: Callable[[PrivateSshd], OpenSsh],
    make_paramiko: Callable[..., ParamikoClient],
) -> Iterator[Callable[[str], Endpoint]]:
    """Return a function that makes an endpoint of a kind: `local`, `gnu`, `busybox`, or a shell's name.

    With `open-` before it, all questions go over one shell that is kept open. `no-printf` is a machine whose `find`
    refuses `-printf`, `bsd` one whose `stat` is the one of BSD and macOS as well. `paramiko` is a shell behind the
    second client, `sftp` a server that lets no command run.
    """
    stack = ExitStack()

    def make_open(kind: str) -> Endpoint:
        endpoint = make(kind)
        assert isinstance(endpoint, RemoteEndpoint)
        assert isinstance(endpoint._shell, OpenSsh)
        stack.enter_context(endpoint._shell.keep_shell())
        return endpoint

    def make(kind: str) -> Endpoint:
        if kind.startswith("open-"):
            return make_open(kind.removeprefix("open-"))
        return LocalEndpoint() if kind == "local" else make_remote(kind)

    def make_remote(kind: str) -> Endpoint:
        start_sshd = request.getfixturevalue("start_sshd")
        require_program = request.getfixturevalue("require_program")
        if kind == "gnu":
            return RemoteEndpoint(make_ssh(start_sshd()))
        if kind == "paramiko":
            return RemoteEndpoint(make_paramiko(start_sshd()))
        if kind == "sftp":
            return SftpEndpoint(make_paramiko(start_sftp_only(start_sshd, tmp_path)))
        if kind in _PROGRAMS:
            environment = {"PATH": f"{_PROGRAMS[kind](tmp_path, require_program)}:/usr/bin:/bin"}
            return RemoteEndpoint(make_ssh(start_sshd(environment=environment)))
        require_program(kind)
        return RemoteEndpoint(make_ssh(start_sshd(shell=kind)))

    with stack:
        yield make


_FIND = """\
#!/bin/sh
for word do
  if [ "$word" = -printf ]; then echo "find: -printf: unknown primary or operator" >&2; exit 1; fi
done
exec /usr/bin/find "$@"
"""

# The formats that HSM uses, as `man 1 stat` of BSD has them: %Xp mode, %z bytes, %Fm time, %i inode, %N name.
_BSD_STAT = """\
#!{python}
import getopt, os, sys
try:
    options, names = getopt.getopt(sys.argv[1:], "FHLf:lnqrst:x")
except getopt.GetoptError as error:
    sys.exit(f"stat: illegal option: {{error}}")
form = dict(options)["-f"]
for name in map(os.fsencode, names):
    try:
        found = os.stat(name, follow_symlinks="-L" in dict(options))
    except OSError as error:
        print(f"stat: {{os.fsdecode(name)}}: stat: {{error.strerror}}", file=sys.stderr)
        continue
    seconds, nanoseconds = divmod(found.st_mtime_ns, 10**9)
    line = form.replace("%Xp", f"{{found.st_mode:x}}").replace("%z", str(found.st_size))
    line = line.replace("%Fm", f"{{seconds}}.{{nanoseconds:09d}}").replace("%i", str(found.st_ino))
    sys.stdout.buffer.write(line.encode().replace(b"%N", name) + b"\\n")
"""


def _make_old_find(tmp_path: Path, _require_program: Callable[..., None]) -> Path:
    return _write_programs(tmp_path / "stand-ins", {"find": _FIND})


def _make_bsd(tmp_path: Path, _require_program: Callable[..., None]) -> Path:
    return _write_programs(tmp_path / "stand-ins", {"find": _FIND, "stat": _BSD_STAT.format(python=sys.executable)})


def _make_busybox(tmp_path: Path, require_program: Callable[..., None]) -> Path:
    require_program("busybox")
    names = ("find", "stat", "xargs", "head", "tail", "df", "wc", "cat", "base64", "readlink")
    return _write_programs(tmp_path / "busybox", {name: f'#!/bin/sh\nexec busybox {name} "$@"\n' for name in names})


def _write_programs(folder: Path, programs: Mapping[str, str]) -> Path:
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


_PROGRAMS = {"no-printf": _make_old_find, "bsd": _make_bsd, "busybox": _make_busybox}
"""Kinds of machines by the programs that they find first."""
