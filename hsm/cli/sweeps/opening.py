"""Opening of the sweep that a command line names, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hsm.sweeps.submitted.open_sweep import OpenSweep

SweepArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A sweep's id, the beginning of one, or latest.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON document.")]
TasksOption = Annotated[
    str | None, typer.Option("--task", metavar="LIST", help="These tasks, as 3,7-9.", show_default="all")
]
ParallelOption = Annotated[
    int | None,
    typer.Option(
        "--parallel", metavar="N", min=1, help="Most tasks that run at a time.", show_default="by the configuration"
    ),
]
GpusOption = Annotated[
    str | None,
    typer.Option(
        "--gpus",
        metavar="GPUS",
        help="GPUs of the local pool: all, cpu, a number, or 0,2.",
        show_default="those that nobody uses",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Submit more than 50 individual jobs.")]
WaitOption = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait", help="Look on until every task has ended.", show_default="with the local pool alone"
    ),
]


def open_named(word: str, *, is_trusted: bool = False, warns: bool = False) -> OpenSweep:
    """Open the sweep that a word means.

    Raises:
        HsmError: There is no project, no such sweep, or it cannot be read.
    """
    from hsm.cli.render import show_note
    from hsm.process.runner import Runner
    from hsm.sweeps.project.load import load_settings
    from hsm.sweeps.submitted.open_sweep import open_sweep

    # What only asks runs nothing that a file names.
    settings = load_settings(Path.cwd(), is_trusted=is_trusted or not warns)
    for line in settings.warnings:
        show_note(f"Warning: {line}")
    return open_sweep(settings, word, Runner())


def check_gpus(text: str | None) -> str:
    """Return the choice of GPUs.

    Raises:
        UsageError: It is none.
    """
    import re

    from hsm.errors import UsageError

    if text is not None and not re.fullmatch(r"all|cpu|\d{1,3}(,\d{0,3})*", text, re.ASCII):
        raise UsageError(f"--gpus {text!a} names no GPUs.", hint="Say all, cpu, a number, or GPUs as 0,2 (one: `0,`).")
    return text or ""
