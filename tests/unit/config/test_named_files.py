"""A private key that the configuration names and that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.config.named_files import find_missing_key, iter_missing_files
from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.sync.doctor.findings import CheckState
from hsm.sync.doctor.rows import check_settings


def make_target(identity_file: object) -> TargetSettings:
    paths = {"sweeps": "~/s", "wandb": "~/w"}
    return parse_target({"host": "h", "paths": paths, "ssh": {"identity_file": identity_file}})


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (None, ""),
        ("~/key", ""),
        ("~/gone", "ssh.identity_file ~/gone does not exist"),
        ("~/key/below", "ssh.identity_file ~/key/below cannot be read: Not a directory"),
    ],
)
def test_a_missing_key_is_named(path: str | None, found: str) -> None:
    (Path.home() / "key").touch()
    target = make_target(path)
    assert find_missing_key(target) == found
    assert list(iter_missing_files({"desktop": target})) == ([f"desktop: {found}."] if found else [])


def test_the_doctor_warns_of_it() -> None:
    row = check_settings("ada@h port 22", make_target("~/gone"))
    assert (row.state, row.found) == (
        CheckState.WARNING,
        "ada@h port 22; but ssh.identity_file ~/gone does not exist",
    )
    assert check_settings("ada@h port 22", make_target(None)).state is CheckState.OK
