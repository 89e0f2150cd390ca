"""Arguments and options that several commands of `hsm sync` declare one by one."""

from __future__ import annotations

from typing import Annotated

import typer

from hsm.call_options import ChoiceOptions, JsonOptions, PushOptions
from hsm.cli.sync.options.completions import complete_sweep, complete_target
from hsm.cli.sync.options.signature import make_option

SWEEPS_HELP = (
    "Ids, unambiguous beginnings, `latest`, `loose`, runs, folders, or patterns such as `'exp*'`; "
    "`hsm sync list --sweeps` shows what there is."
)

Sweeps = Annotated[
    list[str],
    typer.Argument(metavar="SWEEP", help=SWEEPS_HELP, autocompletion=complete_sweep, show_default=False),
]
SweepsOrNone = Annotated[
    list[str] | None,
    typer.Argument(metavar="SWEEP", help=SWEEPS_HELP, autocompletion=complete_sweep, show_default=False),
]
SweepsOrAsk = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SWEEP", help=SWEEPS_HELP, autocompletion=complete_sweep, show_default="asks, in a terminal"
    ),
]
FarSweeps = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SWEEP",
        help="Ids of sweeps at the target, unambiguous beginnings, `latest`, `loose`, runs, or patterns.",
        show_default="asks, in a terminal",
    ),
]
TargetArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="A configured target.", autocompletion=complete_target)
]
Targets = Annotated[list[str] | None, make_option(PushOptions, "target")]
Trust = Annotated[bool, make_option(PushOptions, "trust")]
Assignments = Annotated[list[str] | None, make_option(PushOptions, "set")]
ToSweeps = Annotated[str | None, make_option(PushOptions, "to_sweeps")]
ToWandb = Annotated[str | None, make_option(PushOptions, "to_wandb")]
Runs = Annotated[list[str] | None, make_option(ChoiceOptions, "run")]
WandbProject = Annotated[str | None, make_option(ChoiceOptions, "project")]
All = Annotated[bool, make_option(ChoiceOptions, "all")]
Json = Annotated[bool, make_option(JsonOptions, "json")]
