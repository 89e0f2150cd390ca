"""Guide in a terminal, page by page, and as pages for a browser."""

from __future__ import annotations

import os
import re
import webbrowser
from html import escape
from pathlib import Path
from typing import Any

from rich.markdown import Markdown
from rich.theme import Theme

from hsm.cli.guide import PAGES, GuideSection, find_guide, list_pages, make_anchor, read_page
from hsm.cli.render.printer import make_console, show_note
from hsm.user_files import write_config_file

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)\s]*)\)")
_LANGUAGE = re.compile(r"^```\w+$", re.MULTILINE)
# Rich's own have a background, and colours that are for a dark one.
_STYLES = dict.fromkeys(("markdown.code", "markdown.h1", "markdown.h2", "markdown.h3", "markdown.table.header"), "bold")
_STYLES["markdown.table.border"] = "dim"
_MOST_COLUMNS = 110  # longer lines of prose are hard to read

_HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; padding: 0 1rem }}
pre {{ overflow-x: auto; padding: .6rem; border: 1px solid #8884; border-radius: 4px }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #8886; padding: .2rem .5rem; vertical-align: top }}
</style>
<nav>{nav}</nav>
{body}</html>
"""


def page_section(section: GuideSection) -> None:
    """Show a section in the terminal, with the system's pager where it is longer than that."""
    os.environ.setdefault("LESS", "FRX")  # as git does: colours, and no paging of what fits
    console = make_console(is_error=False)
    text = _LANGUAGE.sub("```text", _LINK.sub(_name_link, section.text))
    with console.use_theme(Theme(_STYLES)), console.pager(styles=True):
        console.print(Markdown(text, code_theme="ansi_dark"), width=min(console.width, _MOST_COLUMNS))


def open_guide(section: GuideSection | None) -> None:
    """Write the guide as pages for a browser, and open the one with a section; without one, the first."""
    folder = write_pages(_find_folder())
    page, anchor = (section.page, f"#{make_anchor(section.title)}") if section else ("quickstart", "")
    path = folder / f"{page}.html"
    if not webbrowser.open(f"{path.as_uri()}{anchor}"):
        show_note("No browser was found here.")
    show_note(f"The page: {path}")


def write_pages(folder: Path) -> Path:
    """Write all pages of the guide as HTML into a folder; a second call replaces them. Returns the folder."""
    from markdown_it import MarkdownIt

    folder.mkdir(parents=True, exist_ok=True)
    nav = " &middot; ".join(f'<a href="{name}.html">{name}</a>' for name in list_pages())
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    for name in list_pages():
        tokens = markdown.parse(re.sub(r"^<!--.*?-->\n", "", read_page(name), flags=re.MULTILINE))
        _set_places(tokens)
        body = markdown.renderer.render(tokens, markdown.options, {})
        text = _HTML.format(title=escape(f"HSM: {name}"), nav=nav, body=body)
        write_config_file(folder / f"{name}.html", text)
    return folder


def _find_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("hsm") / "guide"


def _set_places(tokens: list[Any]) -> None:
    """Give headings the anchors that links lead to, and let links lead to the pages as they are written here."""
    guide = find_guide()
    pages = {file: f"{name}.html" for name, (file, _) in PAGES.items()}
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", make_anchor(re.sub("[`*]", "", tokens[number + 1].content)))
        for child in token.children or ():
            if child.type == "link_open":
                file, sign, anchor = str(child.attrGet("href") or "").partition("#")
                child.attrSet("href", f"{pages.get(file, file)}{sign}{anchor}")
            elif child.type == "image":
                child.attrSet("src", (guide / str(child.attrGet("src"))).as_uri())


def _name_link(match: re.Match[str]) -> str:
    """Name the page that a link leads to, or drop the link where that is this one: nobody can click it."""
    file = match[2].partition("#")[0]
    page = next((name for name, (known, _) in PAGES.items() if known == file), "")
    return f"{match[1]} (`hsm docs {page}`)" if page else match[1]
