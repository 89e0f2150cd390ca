"""Program `hsm`: its command groups, and the one boundary at which errors become messages and exit codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NoReturn

import typer

from hsm._version import __version__
from hsm.cli.last_resort import check_working_folder, explain
from hsm.cli.lazy import CommandPlace, LazyGroup, UnknownCommandError
from hsm.errors import ExitCode, HsmError, SweepWordError

_ARGUMENTS = "hsm.arguments"
_NAMES = {"run": "to", "push": "to", "pull": "from", "ls": "list"}
"""Names of commands in documents, by their other names."""


class BoundaryGroup(LazyGroup):
    """Root group: what a command raises becomes a message and the right exit code here."""

    places: ClassVar = {
        "sync": CommandPlace("hsm.cli.sync.app", "app"),
        "sweep": CommandPlace("hsm.cli.sweeps.app", "app"),
        "hosts": CommandPlace("hsm.cli.hosts.app", "app"),
        "docs": CommandPlace(
            "hsm.cli.docs",
            "show_docs",
            examples=(
                ("hsm docs", "list the pages"),
                ("hsm docs quickstart", "from nothing to the first sync"),
                ("hsm docs sync from", "a command"),
                ("hsm docs configuration --open", "every setting, in a browser"),
            ),
        ),
    }

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own context
        """Keep the command line for the error document."""
        arguments = ctx.meta[_ARGUMENTS] = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if hasattr(error, "format_message"):
                _end_usage(error, arguments)
            raise

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own context
        """Run the command. Exit codes: see `hsm.errors.ExitCode`."""
        arguments: tuple[str, ...] = ctx.meta.get(_ARGUMENTS, ())
        try:
            check_working_folder()
            return super().invoke(ctx)
        except SweepWordError as error:
            from hsm.cli.mistakes import correct_sweep_word

            _end(correct_sweep_word(error, arguments), arguments)
        except UnknownCommandError as error:
            from hsm.cli.mistakes import explain_command

            _end(explain_command(error), arguments)
        except HsmError as error:
            _end(error, arguments)
        except KeyboardInterrupt:
            _end(_InterruptedError("Interrupted.", kind="interrupted"), arguments)
        except BrokenPipeError:  # `| head` has read all it wants
            raise typer.Exit(int(ExitCode.PARTIAL)) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            # Typer carries a click of its own, whose usage errors have no name that can be imported.
            if hasattr(error, "format_message"):
                _end_usage(error, arguments)
            _end(explain(error), arguments)


class _InterruptedError(HsmError):
    exit_code = ExitCode.INTERRUPTED


app = typer.Typer(
    name="hsm",
    cls=BoundaryGroup,
    help="HSM, the HPC Sweep Manager: copies the results of hyper-parameter sweeps to where you look at them.",
    epilog="A first time? `hsm sync init`, or `hsm docs quickstart`. The guide: `hsm docs`.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"hsm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback ends the program
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        from hsm.cli.overview import show_overview

        show_overview()


def run_program() -> int:
    """Run the command of this process's command line.

    Returns:
        The exit code.
    """
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _end(error: HsmError, arguments: Sequence[str]) -> NoReturn:
    if "--json" in arguments:
        typer.echo(json.dumps(_make_error_envelope(error, arguments), indent=2))
    else:
        from hsm.cli.render import show_error

        show_error(error, verbosity=_count_verbosity(arguments))
    raise typer.Exit(int(error.exit_code)) from error


def _end_usage(error: Exception, arguments: Sequence[str]) -> None:
    """End with an error of the command line itself; a group without a command shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        raise error
    from hsm.cli.mistakes import explain_usage

    _end(explain_usage(error, arguments), arguments)


def _count_verbosity(arguments: Sequence[str]) -> int:
    return sum(word in ("-v", "--verbose", "-vv") for word in arguments)


def _make_error_envelope(error: HsmError, arguments: Sequence[str]) -> dict[str, object]:
    """Make the document of docs/SYNC.md for an error of the whole call."""
    words = [word for word in arguments if not word.startswith("-")][:2]
    names = _NAMES if words[:1] == ["sync"] else {}
    command = " ".join(names.get(word, word) for word in words)
    direction = {"sync to": "push", "sync from": "pull"}.get(command)
    return {
        "schema": 1,
        "command": command,
        "direction": direction,
        "dry_run": "--dry-run" in arguments or "-n" in arguments,
        "exit_code": int(error.exit_code),
        "error": {"kind": error.kind, "message": error.message, "hint": error.hint},
        "sweeps": [],
    }
