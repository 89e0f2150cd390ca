"""Commands are built when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import typer

from hsm.cli.main import app

BUILD = """
import sys, typer
from hsm.cli.main import app

root = typer.main.get_command(app)
before = {name for name in sys.modules if name.startswith("hsm.cli.")}
root.commands["sync"].commands["init"]
print(*sorted({name for name in sys.modules if name.startswith("hsm.cli.")} - before))
"""


def test_a_command_brings_no_other_command_along() -> None:
    completed = subprocess.run([sys.executable, "-c", BUILD], capture_output=True, text=True, timeout=50, check=True)
    assert completed.stdout.split() == ["hsm.cli.init", "hsm.cli.sync"]


def test_a_group_knows_its_commands_before_they_are_built() -> None:
    group = typer.main.get_command(app).commands["sync"]  # type: ignore[attr-defined]
    assert {"to", "run", "from"} <= set(group.commands)
    assert len(group.commands) == len(set(group.commands))
    assert "no-such-command" not in group.commands
    assert group.commands["run"].hidden
    assert group.commands["to"] is group.commands["to"]
    del group.commands["to"]
    assert group.commands["to"].name == "to"
    group.commands["other"] = group.commands["to"]
    assert "other" in set(group.commands)
