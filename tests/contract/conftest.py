"""What every contract test needs: both kinds of endpoint, and an SSH client at a private sshd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from private_sshd import PrivateSshd

from hsm.config.schema import TargetSettings
from hsm.endpoint import Endpoint
from hsm.remote.command import Runner
from hsm.remote.endpoint import RemoteEndpoint
from hsm.remote.local import LocalEndpoint
from hsm.remote.openssh import OpenSsh


@pytest.fixture
def make_ssh() -> Callable[[PrivateSshd], OpenSsh]:
    """Return a function that makes an SSH client whose target is a private sshd."""

    def make(sshd: PrivateSshd) -> OpenSsh:
        settings = TargetSettings.model_validate(
            {
                "host": sshd.host,
                "user": sshd.user,
                "port": sshd.port,
                "paths": {"sweeps": "~/sweeps", "wandb": "~/wandb"},
                "ssh": {
                    "identity_file": str(sshd.identity_file),
                    "options": {"UserKnownHostsFile": str(sshd.known_hosts)},
                },
            }
        )
        return OpenSsh("desktop", settings, Runner())

    return make


@pytest.fixture
def make_endpoint(
    request: pytest.FixtureRequest, tmp_path: Path, make_ssh: Callable[[PrivateSshd], OpenSsh]
) -> Callable[[str], Endpoint]:
    """Return a function that makes an endpoint of a kind: `local`, `gnu`, `busybox`, or a shell's name."""

    def make(kind: str) -> Endpoint:
        if kind == "local":
            return LocalEndpoint()
        start_sshd = request.getfixturevalue("start_sshd")
        require_program = request.getfixturevalue("require_program")
        if kind == "gnu":
            return RemoteEndpoint(make_ssh(start_sshd()))
        if kind == "busybox":
            require_program("busybox")
            environment = {"PATH": f"{_make_busybox_folder(tmp_path)}:/usr/bin:/bin"}
            return RemoteEndpoint(make_ssh(start_sshd(environment=environment)))
        require_program(kind)
        return RemoteEndpoint(make_ssh(start_sshd(shell=kind)))

    return make


def _make_busybox_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "busybox"
    folder.mkdir()
    for name in ("find", "stat", "xargs", "head", "tail", "df", "wc", "cat", "base64", "readlink"):
        (folder / name).write_text(f'#!/bin/sh\nexec busybox {name} "$@"\n')
        (folder / name).chmod(0o755)
    return folder
