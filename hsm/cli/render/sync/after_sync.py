"""Lines about the steps after a sync, done or planned."""

from __future__ import annotations

from collections.abc import Sequence

from hsm.cli.render.printer import Printer
from hsm.cli.render.words import format_count
from hsm.sync.reports import AfterStep, StepState
from hsm.units import format_bytes

_MOST_RUNS = 5
_MOST_LINES = 20


def print_steps(printer: Printer, steps: Sequence[AfterStep], *, verbosity: int, indent: int) -> None:
    """Print each step that did something, or would, with what it printed: its last lines, all of them under `-v`.

    What `wandb sync` prints is shown where it failed, or under `-v`.

    Args:
        printer: Where to.
        steps: Of one sweep at one target.
        verbosity: How often `-v` was given.
        indent: Columns before each line.
    """
    for step in steps:
        if step.state is StepState.NOTHING_TO_DO:
            continue
        if step.staged_files:
            printer.print(f"after_sync: {_describe_staged(step)}", indent=indent, hang=2)
        printer.print(f"after_sync: {_describe(step)}", indent=indent, hang=2)
        shown = step.runs if verbosity else step.runs[:_MOST_RUNS]
        for name in shown:
            printer.print_name(name, indent=indent + 4)
        if len(step.runs) > len(shown):
            printer.print(f"... and {len(step.runs) - len(shown):,} more; -v lists them all", indent=indent + 4)
        if step.step == "run" or step.state is StepState.FAILED or verbosity:
            _print_output(printer, step.output, is_whole=verbosity > 0, indent=indent + 4)


def _describe(step: AfterStep) -> str:
    if step.step == "run":
        words = {StepState.PLANNED: "would run", StepState.DONE: "ran", StepState.FAILED: "failed"}
        return f"{words[step.state]}: {' '.join(step.command.split())}"
    n_runs = format_count(len(step.runs), "run")
    if step.state is StepState.PLANNED:
        return f"would upload {n_runs} with `wandb sync`"
    return f"uploaded {n_runs} with `wandb sync`" if step.runs else "uploaded nothing with `wandb sync`"


def _describe_staged(step: AfterStep) -> str:
    words = "would bring along" if step.state is StepState.PLANNED else "brought along"
    n_files, n_bytes = format_count(step.staged_files, "waiting file"), format_bytes(step.staged_bytes)
    return f"{words} {n_files} of artifacts, {n_bytes}"


def _print_output(printer: Printer, output: str, *, is_whole: bool, indent: int) -> None:
    lines = output.replace("\r", "\n").splitlines()
    shown = lines if is_whole else lines[-_MOST_LINES:]
    if len(lines) > len(shown):
        printer.print(f"... {len(lines) - len(shown):,} lines before; -v shows them", indent=indent)
    printer.print_many(f"{'':{indent}}{line}" for line in shown)
