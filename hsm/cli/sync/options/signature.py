"""Parameters that Typer reads, made of the options in `hsm.call_options`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsm.call_options import OptionForm, Words, iter_forms
from hsm.cli.sync.options.completions import complete_state, complete_target

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP_ORDER = (
    *("target", "dry_run", "sweep_only", "wandb_only"),
    *("runs", "include", "exclude", "since", "newest", "run", "project", "all", "all_versions", "overwrite"),
    *("set", "to_sweeps", "to_wandb", "allow", "break_lock", "no_after_sync"),
    *("continuous", "interval", "expect", "settle", "stale"),
    *("trust", "json", "verbose", "quiet"),
)
"""Options as `--help` lists them, whichever of them a command has."""

_DEFAULTS = {bool: False, int: 0}
_COMPLETIONS = {"target": complete_target, "runs": complete_state}


def take_options(
    options: type, *, sweeps: object, needs_sweeps: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function that takes sweeps and options.

    Typer reads parameters from a function's signature, and takes no class for several of them. So the command has a
    signature with all of them, and gives the function those that were typed, as one dictionary.

    Args:
        options: One of the classes of options.
        sweeps: The annotation of the argument, for Typer.
        needs_sweeps: At least one sweep must be named.
    """
    parameters = sorted(_iter_parameters(options), key=lambda parameter: HELP_ORDER.index(parameter.name))
    default = inspect.Parameter.empty if needs_sweeps else None
    first = inspect.Parameter("sweeps", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=sweeps)
    signature = inspect.Signature([first, *parameters])

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*, sweeps: Sequence[str] | None, **given: object) -> None:
            function(sweeps, {name: value for name, value in given.items() if value is not None})

        command.__signature__ = signature  # type: ignore[attr-defined]
        # Typer resolves the names in the annotations; those of the function are none that it should read.
        command.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        return command

    return decorate


def make_option(options: type, name: str) -> Any:  # noqa: ANN401 - what Typer's own `Option` returns
    """Make what Typer is told of a single option."""
    (form,) = (form for known, _, form in iter_forms(options) if known == name)
    return _make_info(name, form)


def _iter_parameters(options: type) -> Iterator[inspect.Parameter]:
    for name, kind, form in iter_forms(options):
        typed: Any = list[str] | None if kind == Words else kind
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_DEFAULTS.get(kind),
            annotation=Annotated[typed, _make_info(name, form)],
        )


def _make_info(name: str, form: OptionForm) -> Any:  # noqa: ANN401 - as above
    return typer.Option(
        *form.flags,
        metavar=form.metavar or None,
        help=form.help,
        show_default=form.default or not form.is_counted,
        count=form.is_counted,
        autocompletion=_COMPLETIONS.get(name),
    )
