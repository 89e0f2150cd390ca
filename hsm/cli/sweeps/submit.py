"""`hsm sweep submit`: submits what is prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hsm.cli.sweeps.opening import (
    ForceOption,
    GpusOption,
    JsonOption,
    ParallelOption,
    SweepArgument,
    WaitOption,
    check_gpus,
    open_named,
)
from hsm.cli.sweeps.options import TrustOption
from hsm.errors import ExitCode
from hsm.prepared_sweep.document import SweepMode

if TYPE_CHECKING:
    from hsm.jobs.submitter import Submitted
    from hsm.sweeps.submitted.open_sweep import OpenSweep


def submit_prepared(
    sweep: SweepArgument,
    mode: Annotated[
        SweepMode | None, typer.Option(help="How tasks are started.", show_default="as it was prepared")
    ] = None,
    parallel: ParallelOption = None,
    gpus: GpusOption = None,
    force: ForceOption = False,
    wait: WaitOption = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Submit the tasks of a sweep that were not submitted yet, each exactly once.

    A job whose answer was lost (a killed call, a broken connection) is looked for first, and taken up if it is found.

    Exit codes: 0 all submitted, and completed where it waits; 1 some not; 2 usage or configuration.
    """
    from hsm.cli.render import show_note
    from hsm.sweeps.submitted.submit import SubmitOptions, submit_sweep

    opened = open_named(sweep, is_trusted=trust, warns=True)
    options = SubmitOptions(mode, parallel or 0, check_gpus(gpus), force=force)
    submitted = submit_sweep(opened, options, tell=show_note)
    finish_submitting(opened, submitted, "sweep submit", mode or opened.prepared.mode, wait=wait, as_json=as_json)


def finish_submitting(
    opened: OpenSweep, submitted: Submitted, command: str, mode: SweepMode, *, wait: bool | None, as_json: bool
) -> None:
    """Show what was submitted, look on where that is asked for, and end with the exit code.

    Raises:
        HsmError: Nothing was submitted at all.
        typer.Exit: Not all was done.
    """
    from hsm.cli.render.submitted import show_submitted
    from hsm.cli.sweeps.watch import watch
    from hsm.jobs.state.values import ExecutorKind
    from hsm.sweeps.submitted.open_sweep import choose_executor

    if submitted.error is not None and not submitted.jobs:
        raise submitted.error
    is_local = choose_executor(mode) is ExecutorKind.LOCAL
    waits = submitted.error is None and (is_local if wait is None else wait) and bool(submitted.jobs)
    status = None
    if waits:
        if not as_json:
            show_submitted(opened, submitted, command, status=None, as_json=False)
        status = watch(opened, pause_seconds=1.0 if is_local else float(opened.settings.ask_seconds), is_silent=as_json)
    if as_json or not waits:
        show_submitted(opened, submitted, command, status=status, as_json=as_json)
    if submitted.error is not None or (status is not None and not status.is_completed):
        raise typer.Exit(int(ExitCode.PARTIAL))
