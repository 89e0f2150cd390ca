"""Permissions that bind the program under test, whoever runs the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REQUIRE_E2E


@contextlib.contextmanager
def locked_up(path: Path, mode: int = 0) -> Iterator[None]:
    """Give a file or folder other permissions while inside; by default none."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def bind_superuser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hsm run with no right to pass over permissions."""
    if os.geteuid() != 0:
        return
    if shutil.which("setpriv") is None:
        reason = "root can read everything, and there is no setpriv"
        if REQUIRE_E2E:
            pytest.fail(reason)
        pytest.skip(reason)
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\nexec setpriv --bounding-set=-dac_override,-dac_read_search "{sys.executable}" "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
