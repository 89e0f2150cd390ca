"""Commands are built when they are asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
    found = [name for name in completed.stdout.split() if not name.startswith("hsm.cli.sync.options")]
    assert found == ["hsm.cli.sync", "hsm.cli.sync.app", "hsm.cli.sync.init"]


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


LOAD = """
import sys
from hsm.cli.sync.options.project import load_targets

loaded, targets = load_targets([], is_trusted=False)
print(*targets, "rich" in sys.modules)
"""


def test_what_shows_a_warning_is_imported_for_one_alone(tmp_path: Path) -> None:
    """A target is asked something first: rich takes as long to import as a round trip."""
    config = tmp_path / ".hsm" / "sync_config.yaml"
    config.parent.mkdir()
    config.write_text("sync_targets: {desk: {paths: {sweeps: /mnt/s, wandb: /mnt/w}}}\ndefault_target: desk\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HSM_SYNC")}
    argv, options = [sys.executable, "-c", LOAD], {"cwd": tmp_path, "env": environment}
    completed = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=True, **options)
    assert completed.stdout.split() == ["desk", "False"]
