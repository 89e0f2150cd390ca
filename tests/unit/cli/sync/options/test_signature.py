"""Commands made of classes of options."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from hsm.call_options import ReceiveOptions, SendOptions, VerifyOptions, iter_forms
from hsm.cli.main import app
from hsm.cli.sync.options.signature import HELP_ORDER, take_options

Sweeps = Annotated[list[str] | None, typer.Argument()]


def call(words: str, *, options: type = SendOptions, needs_sweeps: bool = False) -> tuple[int, list[Any]]:
    """Call a command that notes what it is given."""
    given: list[Any] = []

    @take_options(options, sweeps=Sweeps, needs_sweeps=needs_sweeps)
    def command(sweeps: list[str] | None, options: SendOptions) -> None:
        given.extend((sweeps, options))

    program = typer.Typer(add_completion=False)
    program.command()(command)
    return CliRunner().invoke(program, words.split()).exit_code, given


GIVEN: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("latest", {}),
    "a switch": ("latest --dry-run", {"dry_run": True}),
    "a short one": ("latest -n", {"dry_run": True}),
    "counted": ("latest -vv -v", {"verbose": 3}),
    "several times": ("latest -t a --target b --set x=1", {"target": ["a", "b"], "set": ["x=1"]}),
    "a number": ("latest --newest 3 --expect 4", {"newest": 3, "expect": 4}),
    "a text": ("latest --since 2d --to-wandb /w", {"since": "2d", "to_wandb": "/w"}),
}


@pytest.mark.parametrize(("words", "expected"), GIVEN.values(), ids=GIVEN)
def test_a_command_is_given_what_was_typed(words: str, expected: dict[str, Any]) -> None:
    code, (sweeps, options) = call(words)
    assert (code, sweeps) == (0, ["latest"])
    assert {name: value for name, value in options.items() if value} == expected


def test_an_option_of_another_command_is_refused() -> None:
    assert call("latest --to-wandb /w", options=ReceiveOptions) == (2, [])


@pytest.mark.parametrize("needs_sweeps", [True, False])
def test_sweeps_may_be_needed(needs_sweeps: bool) -> None:
    code, given = call("", needs_sweeps=needs_sweeps)
    assert (code, given[:1]) == ((2, []) if needs_sweeps else (0, [None]))


@pytest.mark.parametrize(
    ("name", "options"),
    [("to", SendOptions), ("run", SendOptions), ("from", ReceiveOptions), ("verify", VerifyOptions)],
)
def test_help_lists_options_in_one_order(name: str, options: type) -> None:
    command = typer.main.get_command(app).commands["sync"].commands[name]  # type: ignore[attr-defined]
    shown = [parameter.name for parameter in command.params if parameter.name != "sweeps"]
    assert shown == [name for name in HELP_ORDER if name in shown]
    assert set(shown) == {name for name, _, _ in iter_forms(options)}
