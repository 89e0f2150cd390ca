"""Help: panels, examples, and nothing that tells nothing."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hsm.cli.help import PANELS
from hsm.cli.main import app

LOOK = "import sys, typer; from hsm.cli.main import app; typer.main.get_command(app); print('rich' in sys.modules)"


def iter_commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is no group, by what is typed."""
    for name, child in getattr(command, "commands", {}).items():
        yield from iter_commands(child, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(iter_commands(typer.main.get_command(app)))


def show_help(*path: str) -> str:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"})
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("path", [(), ("sync",), ("hosts",), *COMMANDS], ids=" ".join)
def test_help_shows_no_types_of_python(path: tuple[str, ...]) -> None:
    text = show_help(*path)
    assert re.findall(r"<(?:bool|list|int|str)\b.*?>|default: \(", text) == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_examples(path: tuple[str, ...]) -> None:
    examples = COMMANDS[path].examples
    assert 1 <= len(examples) <= 4
    assert all(shlex.split(line)[0] == "hsm" for line, _ in examples)
    assert examples[0][0] in show_help(*path)


def test_options_stand_in_panels() -> None:
    text = show_help("sync", "to")
    titles = [name for name in re.findall(r"─ ([A-Z][a-z ]+) ─", text) if name != "Arguments"]
    assert titles == ["What", "Which runs", "Following", "Safety", "Output"]
    assert "Options" not in re.findall(r"─ ([A-Z][a-z ]+) ─", show_help("sync", "clean"))


def test_panels_hold_options_that_there_are() -> None:
    known = {parameter.name for command in COMMANDS.values() for parameter in command.params} | {"help"}
    assert {name for names in PANELS.values() for name in names} - known == set()


def test_a_second_look_is_the_same() -> None:
    assert show_help("sync", "report") == show_help("sync", "report")


def test_other_names_of_commands_have_their_help() -> None:
    for name, other in (("push", "to"), ("pull", "from"), ("ls", "list")):
        assert f"Usage: root sync {name}" in show_help("sync", name) or f"sync {name}" in show_help("sync", name)
        assert COMMANDS["sync", name].callback is not None
        assert COMMANDS["sync", name].examples == COMMANDS["sync", other].examples


def test_what_draws_help_is_imported_for_help_alone() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.split() == ["False"]
