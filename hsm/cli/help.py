"""Help of commands: which options stand together, and what Typer would show that tells nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PANELS = {
    "What": (
        *("target", "all", "everything", "shows_all", "sweeps", "sweep_only", "wandb_only", "all_versions"),
        *("set", "assignments", "to_sweeps", "to_wandb", "resolved", "check", "pull", "push", "project_name"),
    ),
    "Which runs": ("run", "runs", "project", "include", "exclude", "since", "newest", "older_than", "where"),
    "Following": ("continuous", "interval", "expect", "settle", "stale"),
    "Safety": (
        *("dry_run", "overwrite", "allow", "break_lock", "no_after_sync", "trust", "copies", "quick", "yes"),
        *("allow_superseded", "force"),
    ),
    "Table": ("sort", "reverse", "columns", "metric", "goal", "best"),
    "Output": ("as_csv", "parquet", "html", "json", "as_json", "verbose", "quiet", "help"),
}
"""Names of a command's options by their panel of the help; others stand in Typer's own, before these."""

_ORDER = {name: number for number, name in enumerate(PANELS)}
_HOMES = {name: panel for panel, names in PANELS.items() for name in names}


def tidy_parameters(parameters: Iterable[Any], *, has_panels: bool = True) -> list[Any]:
    """Put parameters of a command into panels, and take from their help what tells nothing. A second call does nothing.

    Args:
        parameters: Options and arguments as Typer makes them.
        has_panels: The command is no group, whose options are few.

    Returns:
        They, in the order of the panels.
    """
    found = [parameter for parameter in parameters if parameter is not None]
    for parameter in found:
        is_option = parameter.param_type_name == "option"
        if is_option and has_panels:
            parameter.rich_help_panel = _HOMES.get(parameter.name) or parameter.rich_help_panel
        if getattr(parameter, "is_flag", False) or getattr(parameter, "count", False):
            parameter.metavar = ""  # else `<bool>`
        if not is_option:
            # Of an argument Typer shows the type beside its name.
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - its form is Typer's
        if isinstance(parameter.show_default, str):  # Typer would put it in brackets twice
            parameter.help = f"{parameter.help} [default: {parameter.show_default}]"
            parameter.show_default = False
    return sorted(found, key=lambda parameter: _ORDER.get(_HOMES.get(parameter.name, ""), -1))


def format_examples(examples: Iterable[tuple[str, str]]) -> str:
    """Format command lines for the end of a help, each below what it does; empty for none."""
    lines = [line for command, about in examples for line in (f"   # {about}", f"   {command}", "")]
    return "\n".join([" Examples", "", *lines]) if lines else ""
