"""Arguments and options that several commands of `hsm sync` have."""

from __future__ import annotations

from typing import Annotated

import typer

from hsm.cli.sync.options.project import load
from hsm.errors import HsmError


def complete_sweep(incomplete: str) -> list[str]:
    """The sweeps that exist here, for the shell's completion; silent when anything is wrong."""
    from hsm.discover.sweeps import list_sweeps
    from hsm.remote.local import LocalEndpoint
    from hsm.sync.source import make_layout

    try:
        known = list_sweeps(LocalEndpoint(), make_layout(load()))
    except HsmError:
        return []
    return [name for name in ("latest", *(sweep.id for sweep in known)) if name.startswith(incomplete)]


def complete_target(incomplete: str) -> list[str]:
    """The configured targets, for the shell's completion; silent when anything is wrong."""
    try:
        targets = load().config.sync_targets
    except HsmError:
        return []
    return [name for name in targets if name.startswith(incomplete)]


def complete_state(incomplete: str) -> list[str]:
    """The states of runs, for the shell's completion."""
    from hsm.model import RunState

    return [word for word in (*(state.value for state in RunState), "all") if word.startswith(incomplete)]


Sweeps = Annotated[
    list[str],
    typer.Argument(
        metavar="SWEEP",
        help="Ids, unambiguous prefixes of ids, or `latest`.",
        autocompletion=complete_sweep,
        show_default=False,
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="NAME",
        help="A configured target; may be given several times.",
        autocompletion=complete_target,
        show_default="default_target",
    ),
]
SweepsOrAsk = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SWEEP",
        help="Ids, unambiguous prefixes of ids, or `latest`.",
        autocompletion=complete_sweep,
        show_default="asks, in a terminal",
    ),
]
Runs = Annotated[
    list[str] | None,
    typer.Option(
        "--runs",
        metavar="STATE",
        help="Only runs in this state: finished, failed, running or unknown; may be given several times.",
        autocompletion=complete_state,
        show_default="all",
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Only files of runs that a .gitignore pattern names; may be given several times.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="No files of runs that a .gitignore pattern names; may be given several times.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="AGE", help="Only runs in which something changed lately, as `2d`, `12h` or `30m`."),
]
Newest = Annotated[
    int | None,
    typer.Option(metavar="N", help="Only so many of the runs that are left, those that began last."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Show the plan that would be carried out; touch nothing.")
]
SweepOnly = Annotated[bool, typer.Option("--sweep-only", help="Only the sweep folder, not its wandb runs.")]
WandbOnly = Annotated[bool, typer.Option("--wandb-only", help="Only the wandb runs, not the sweep folder.")]
AllVersions = Annotated[bool, typer.Option("--all-versions", help="Also superseded media and artifact versions.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="CHECK", help="Waive a safety check by its name; may be given several times."),
]
BreakLock = Annotated[
    bool, typer.Option("--break-lock", help="Take the sweep's lock although somebody seems to hold it.")
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="Show every file, and raw messages of failures."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary; only what went wrong.")]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Use the configuration's `ssh` settings although others may write the file."),
]
TargetArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="A configured target.", autocompletion=complete_target)
]

Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Another setting for this call, as `options.parallel_transfers=8`; may be given several times.",
    ),
]
ToSweeps = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Where sweep folders land for this call, as `paths.sweeps`."),
]
ToWandb = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Where run folders land for this call, as `paths.wandb`."),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
