"""Colours of Typer's help that can be read on a light background and on a dark one."""

from __future__ import annotations

from rich.default_styles import DEFAULT_STYLES
from rich.style import Style
from typer import rich_utils


def calm_styles() -> None:
    """Let Typer show types and names of commands without yellow and without a background of their own."""
    # Typer has no other way to choose them than these constants (typer.tiangolo.com, "Custom help styles").
    rich_utils.STYLE_TYPES = "dim"
    rich_utils.STYLE_USAGE = ""
    rich_utils.STYLE_OPTION = "bold"
    rich_utils.STYLE_SWITCH = "bold"
    rich_utils.STYLE_COMMANDS_TABLE_FIRST_COLUMN = "bold"
    rich_utils.STYLE_HELPTEXT = ""
    DEFAULT_STYLES["markdown.code"] = Style(bold=True)
