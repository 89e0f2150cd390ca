"""`hsm docs`: shows the guide that is installed with the program."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def complete_topic(incomplete: str) -> list[str]:
    """List the pages that begin with what was typed."""
    from hsm.cli.guide import PAGES

    return [name for name in PAGES if name.startswith(incomplete)]


def show_docs(
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TOPIC",
            help="A page, a command, or words of a heading.",
            autocompletion=complete_topic,
            show_default="lists the pages",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
) -> None:
    """Show the guide, or a part of it. It is installed with the program, so this works without a network.

    In a terminal it is shown page by page; a pipe gets plain Markdown.
    """
    from hsm.cli.guide import find_section, list_pages

    section = find_section(topic) if topic else None
    if open_page:
        from hsm.cli.render.guide import open_guide

        open_guide(section)
    elif section is None:
        from hsm.cli.render import show_lines

        rows = [f"  hsm docs {name:<12}{about.replace('`', '')}" for name, about in list_pages().items()]
        further = "Also commands and headings: `hsm docs sync to`, `hsm docs exit codes`. --open shows it in a browser."
        show_lines(["The guide:", *rows, further])
    elif sys.stdout.isatty():
        from hsm.cli.render.guide import page_section

        page_section(section)
    else:
        typer.echo(section.text, nl=False)
