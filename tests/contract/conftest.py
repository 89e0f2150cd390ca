"""Endpoints of every kind, and SSH clients at a private sshd, for all contract tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from private_sshd import PrivateSshd

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.endpoint import Endpoint
from hsm.process.runner import Runner
from hsm.remote.local import LocalEndpoint
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.sftp.endpoint import SftpEndpoint
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from tests.conftest import QUICK_KEY_EXCHANGE


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
    return parse_target(
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


FURTHER_SHELLS = ("busybox", "fish", "tcsh")
"""Shells of a full run: few machines have these, and where they are missing the tests skip."""


def list_common(kinds: Iterable[str]) -> list[str]:
    """The kinds that need no further shell here."""
    return [kind for kind in kinds if kind.removeprefix("open-") not in FURTHER_SHELLS]


class Machines:
    """Machines that tests send programs to, each behind a private sshd and one login: made at the first use, then kept.

    Kinds: `gnu`, `busybox`, or a shell's name. `no-printf` is a machine whose `find` refuses `-printf`, `bsd` one whose
    `stat` is the one of BSD and macOS as well. `paramiko` is a shell behind the second client, `sftp` a server that
    lets no command run. `open-` before a kind makes a machine of its own.
    """

    def __init__(self, folder: Path, stack: ExitStack, require_program: Callable[..., None]) -> None:
        self._folder = folder
        self._stack = stack
        self._require_program = require_program
        self._clients: dict[str, OpenSsh | ParamikoClient] = {}

    def make_endpoint(self, kind: str) -> Endpoint:
        """Make an endpoint over the login to a machine."""
        if kind not in self._clients:
            self._clients[kind] = self._make_client(kind, kind.removeprefix("open-"))
        client = self._clients[kind]
        if kind == "sftp":
            assert isinstance(client, ParamikoClient)
            return SftpEndpoint(client)
        return RemoteEndpoint(client)

    def _make_client(self, kind: str, machine: str) -> OpenSsh | ParamikoClient:
        folder = self._folder / kind
        sshd = self._start(folder, **self._get_options(folder, machine))
        make = ParamikoClient if machine in ("paramiko", "sftp") else OpenSsh
        client = make("desktop", make_settings(sshd), Runner())
        self._stack.callback(client.logout)
        return client

    def _get_options(self, folder: Path, machine: str) -> dict[str, Any]:
        if machine in ("gnu", "paramiko"):
            return {}
        if machine == "sftp":
            return {"settings": {"ForceCommand": f"internal-sftp -d {folder / 'home'}"}}
        if machine in _PROGRAMS:
            return {"environment": {"PATH": f"{_PROGRAMS[machine](folder, self._require_program)}:/usr/bin:/bin"}}
        self._require_program(machine)
        return {"shell": machine}

    def _start(self, folder: Path, **options: Any) -> PrivateSshd:
        self._require_program("ssh", "ssh-keygen", "sshd")
        options["settings"] = {"KexAlgorithms": QUICK_KEY_EXCHANGE, **options.get("settings", {})}
        return self._stack.enter_context(PrivateSshd(folder / "sshd", home=folder / "home", **options))


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., None]) -> Iterator[Machines]:
    """Return this worker's machines: a login for each test would take most of its time."""
    with ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("machines"), stack, require_program)


@pytest.fixture
def make_endpoint(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Endpoint]]:
    """Return a function that makes an endpoint of a kind: `local`, or one of `Machines`.

    With `open-` before it, all questions go over one shell that is kept open.
    """
    with ExitStack() as stack:

        def make(kind: str) -> Endpoint:
            if kind == "local":
                return LocalEndpoint()
            endpoint: Endpoint = request.getfixturevalue("machines").make_endpoint(kind)
            if kind.startswith("open-"):
                assert isinstance(endpoint, RemoteEndpoint)
                assert isinstance(endpoint._shell, OpenSsh)
                stack.enter_context(endpoint._shell.keep_shell())
            return endpoint

        yield make


_FIND = """\
#!/bin/bash
for word do
  if [ "$word" = -printf ]; then echo "find: -printf: unknown primary or operator" >&2; exit 1; fi
done
exec -a find /usr/bin/find "$@"
"""

# The formats that HSM uses, as `man 1 stat` of BSD has them: %Xp mode, %z bytes, %Fm time, %i inode, %d device,
# %N name.
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
    line = line.replace("%d", str(found.st_dev))
    sys.stdout.buffer.write(line.encode().replace(b"%N", name) + b"\\n")
"""


def _make_old_find(machine: Path, _require_program: Callable[..., None]) -> Path:
    return _write_programs(machine / "stand-ins", {"find": _FIND})


def _make_bsd(machine: Path, _require_program: Callable[..., None]) -> Path:
    return _write_programs(machine / "stand-ins", {"find": _FIND, "stat": _BSD_STAT.format(python=sys.executable)})


def _make_busybox(machine: Path, require_program: Callable[..., None]) -> Path:
    require_program("busybox")
    names = ("find", "stat", "touch", "xargs", "head", "tail", "df", "wc", "cat", "base64", "readlink", "awk", "tr")
    names += ("timeout", "date")
    return _write_programs(machine / "busybox", {name: f'#!/bin/sh\nexec busybox {name} "$@"\n' for name in names})


def _write_programs(folder: Path, programs: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


_PROGRAMS = {"no-printf": _make_old_find, "bsd": _make_bsd, "busybox": _make_busybox}
"""Kinds of machines by the programs that they find first."""
