"""Options of `hsm sync to`, `from` and `verify`, written once for the command line and for Python.

The command line makes its options of them (`hsm.cli.sync.options.signature`), Python its keywords (`hsm.api`), and the
early login tells by them which words of a command line it may pass over.
"""

# No `from __future__ import annotations` here: the annotations are read. Nothing heavy is imported: the early login
# runs before typer and pydantic are.
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple, TypedDict, get_args, get_type_hints

Words = str | Sequence[str]
"""One word, or several."""


class OptionForm(NamedTuple):
    """Form of an option on the command line.

    Attributes:
        flags: Its names.
        help: What it does.
        metavar: What stands for its value; empty for a switch.
        default: The default in words, where it is none that the type tells.
        is_counted: A switch that may be given several times.
        delays_login: A switch with which no login may begin before the configuration is read.
    """

    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    default: str = ""
    is_counted: bool = False
    delays_login: bool = False


class TargetOptions(TypedDict, total=False):
    """Options for the targets that are meant, and for trust in their configuration."""

    target: Annotated[
        Words,
        OptionForm(
            ("--target", "-t"), "A configured target; may be given several times.", "NAME", default="default_target"
        ),
    ]
    trust: Annotated[
        bool,
        OptionForm(
            ("--trust",),
            "Use the configuration's `ssh` and `rsync_path` settings although others may write the file.",
            delays_login=True,
        ),
    ]


class ChoiceOptions(TypedDict, total=False):
    """Options for the choice of runs, and of files in them."""

    runs: Annotated[
        Words,
        OptionForm(
            ("--runs",),
            "Only runs in this state: finished, failed, running or unknown; may be given several times.",
            "STATE",
            default="all",
        ),
    ]
    include: Annotated[
        Words,
        OptionForm(
            ("--include",), "Only files of runs that a .gitignore pattern names; may be given several times.", "PATTERN"
        ),
    ]
    exclude: Annotated[
        Words,
        OptionForm(
            ("--exclude",), "No files of runs that a .gitignore pattern names; may be given several times.", "PATTERN"
        ),
    ]
    since: Annotated[
        str | None,
        OptionForm(("--since",), "Only runs in which something changed lately, as `2d`, `12h` or `30m`.", "AGE"),
    ]
    newest: Annotated[
        int | None,
        OptionForm(("--newest",), "Only so many of the runs that are left, those that began last.", "N"),
    ]
    run: Annotated[
        Words,
        OptionForm(
            ("--run",),
            "Only this run, by its id or its folder's name; may be given several times.",
            "ID",
            default="all",
        ),
    ]
    project: Annotated[str | None, OptionForm(("--project",), "Only the runs of this project of wandb's.", "NAME")]
    all: Annotated[bool, OptionForm(("--all",), "Every sweep, the runs that are in none last.")]


class CallOptions(TargetOptions, ChoiceOptions, total=False):
    """Options that a push and a pull share; each means the same in Python as on the command line."""

    dry_run: Annotated[bool, OptionForm(("--dry-run", "-n"), "Show the plan that would be carried out; touch nothing.")]
    sweep_only: Annotated[bool, OptionForm(("--sweep-only",), "Only the sweep folder, not its wandb runs.")]
    wandb_only: Annotated[bool, OptionForm(("--wandb-only",), "Only the wandb runs, not the sweep folder.")]
    all_versions: Annotated[bool, OptionForm(("--all-versions",), "Also superseded media and artifact versions.")]
    set: Annotated[
        Words,
        OptionForm(
            ("--set",),
            "Another setting for this call, as `options.parallel_transfers=8`; may be given several times.",
            "KEY=VALUE",
        ),
    ]
    allow: Annotated[
        Words, OptionForm(("--allow",), "Waive a safety check by its name; may be given several times.", "CHECK")
    ]
    break_lock: Annotated[
        bool, OptionForm(("--break-lock",), "Take the sweep's lock although somebody seems to hold it.")
    ]


class PushOptions(CallOptions, total=False):
    """Options of a push."""

    overwrite: Annotated[bool, OptionForm(("--overwrite",), "Also send over files that are newer at the target.")]
    to_sweeps: Annotated[
        str | None,
        OptionForm(("--to-sweeps",), "Where sweep folders land for this call, as `paths.sweeps`.", "DIR"),
    ]
    to_wandb: Annotated[
        str | None, OptionForm(("--to-wandb",), "Where run folders land for this call, as `paths.wandb`.", "DIR")
    ]
    no_after_sync: Annotated[bool, OptionForm(("--no-after-sync",), "Do nothing of what the targets' after_sync says.")]


class PullOptions(CallOptions, total=False):
    """Options of a pull."""

    overwrite: Annotated[
        bool, OptionForm(("--overwrite",), "Also bring what is a conflict: newer here, or from another place.")
    ]


class FollowingOptions(TypedDict, total=False):
    """Options for how long a call goes on; of the command line alone."""

    continuous: Annotated[
        bool,
        OptionForm(
            ("--continuous",),
            "Again and again, until every expected run has ended and is complete there.",
            delays_login=True,
        ),
    ]
    interval: Annotated[
        str | None,
        OptionForm(
            ("--interval",),
            "With --continuous: the pause between passes, in seconds or as `5m`.",
            "DURATION",
            default="60",
        ),
    ]
    expect: Annotated[
        int | None,
        OptionForm(
            ("--expect",),
            "With --continuous: how many runs each sweep will have.",
            "N",
            default="as parameter_combinations.json or Slurm says",
        ),
    ]
    settle: Annotated[
        str | None,
        OptionForm(
            ("--settle",),
            "With --continuous: how long without a new run, where nothing says how many there will be.",
            "DURATION",
            default="30m",
        ),
    ]
    stale: Annotated[
        str | None,
        OptionForm(
            ("--stale",),
            "With --continuous: how long without a change until a run that has not ended counts as dead.",
            "DURATION",
            default="6h",
        ),
    ]


class JsonOptions(TypedDict, total=False):
    """Option for programs that read what is printed; of the command line alone."""

    json: Annotated[bool, OptionForm(("--json",), "Print one JSON document on standard output.")]


class OutputOptions(JsonOptions, total=False):
    """Options for how much is printed; of the command line alone."""

    verbose: Annotated[
        int, OptionForm(("--verbose", "-v"), "Show every file, and raw messages of failures.", is_counted=True)
    ]
    quiet: Annotated[bool, OptionForm(("--quiet", "-q"), "No progress and no summary; only what went wrong.")]


class SendOptions(PushOptions, FollowingOptions, OutputOptions, total=False):
    """Options of `hsm sync to`."""


class ReceiveOptions(PullOptions, FollowingOptions, OutputOptions, total=False):
    """Options of `hsm sync from`."""


class VerifyOptions(TargetOptions, ChoiceOptions, JsonOptions, total=False):
    """Options of `hsm sync verify`."""

    quiet: Annotated[bool, OptionForm(("--quiet", "-q"), "Print nothing where all is equal.")]


def iter_forms(options: type) -> Iterator[tuple[str, Any, OptionForm]]:
    """Yield the options of one of the classes above: its name, the type of its value, and its form."""
    for name, hint in get_type_hints(options, include_extras=True).items():
        kind, form = get_args(hint)
        yield name, kind, form


def list_harmless_switches(*options: type) -> frozenset[str]:
    """List the words by which options are given that take no value and let a login begin at once."""
    words: set[str] = set()
    for group in options:
        for _, _, form in iter_forms(group):
            if not form.metavar and not form.delays_login:
                words.update(form.flags)
                # Twice in one word, as people type it.
                words.update(f"{flag}{flag[1]}" for flag in form.flags if form.is_counted and len(flag) == 2)
    return frozenset(words)
