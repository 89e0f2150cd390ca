"""`hsm sweep resubmit`: a new attempt of tasks that ended badly."""

from __future__ import annotations

from typing import Annotated

import typer

from hsm.cli.sweeps.opening import (
    ForceOption,
    GpusOption,
    JsonOption,
    ParallelOption,
    SweepArgument,
    TasksOption,
    WaitOption,
    check_gpus,
    open_named,
)
from hsm.cli.sweeps.options import TrustOption, parse_resources
from hsm.prepared_sweep.document import SweepMode


def resubmit_sweep(
    sweep: SweepArgument,
    failed: Annotated[bool, typer.Option("--failed", help="Those that failed by themselves.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="Those never submitted, and those that are lost.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Those that were cancelled.")] = False,
    tasks: TasksOption = None,
    walltime: Annotated[str | None, typer.Option(metavar="HH:MM:SS", help="Another time limit of a task.")] = None,
    mem: Annotated[str | None, typer.Option(metavar="SIZE", help="Other memory of a node, for example 16G.")] = None,
    exclude: Annotated[str | None, typer.Option(metavar="NODES", help="Nodes to keep away from.")] = None,
    mode: Annotated[
        SweepMode | None, typer.Option(help="How tasks are started.", show_default="as it was prepared")
    ] = None,
    parallel: ParallelOption = None,
    gpus: GpusOption = None,
    force: ForceOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show the tasks, submit nothing.")] = False,
    wait: WaitOption = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Submit a new attempt of exactly those tasks; without a choice, of all that ended badly.

    Never of a task that is completed, waits, runs or is unknown.

    Exit codes: 0 done, also where there was nothing to do; 1 some were not submitted; 2 usage or configuration.
    """
    from hsm.cli.render import show_note
    from hsm.cli.render.submitted import show_choice
    from hsm.cli.sweeps.submit import finish_submitting
    from hsm.jobs.submitter import may_begin
    from hsm.sweeps.submitted.open_sweep import parse_tasks
    from hsm.sweeps.submitted.submit import ResubmitChoice, SubmitOptions, settle, submit_sweep

    opened = open_named(sweep, is_trusted=trust, warns=True)
    numbers = None if tasks is None else parse_tasks(tasks, opened.prepared.n_tasks)
    asked = dict(parse_resources(walltime, mem, ()))
    if exclude:
        asked["exclude"] = exclude
    state = settle(opened, tell=show_note)
    choice = ResubmitChoice(failed=failed, missing=missing, cancelled=cancelled, numbers=numbers)
    chosen = choice.choose(state, opened.prepared.n_tasks)
    ready = [number for number in chosen if may_begin(state.get_status(number))]
    if dry_run or not ready:
        show_choice(opened, ready, len(chosen) - len(ready), as_json=as_json)
        return
    options = SubmitOptions(mode, parallel or 0, check_gpus(gpus), asked, force)
    submitted = submit_sweep(opened, options, chosen, tell=show_note)
    finish_submitting(opened, submitted, "sweep resubmit", mode or opened.prepared.mode, wait=wait, as_json=as_json)
