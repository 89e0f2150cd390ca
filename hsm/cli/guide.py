"""Guide that is installed with the program: its pages, and the sections that a topic means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hsm
from hsm.errors import TargetError, UsageError

PAGES = {
    "quickstart": ("QUICKSTART.md", "from nothing to the first sync, in both directions"),
    "layouts": ("LAYOUTS.md", "what to type, for each way in which projects keep their runs"),
    "sync": ("SYNC.md", "every command, option, setting and message of `hsm sync`"),
    "sweep": ("SWEEP.md", "sweeps that HSM itself runs: `hsm sweep`"),
    "hosts": ("HOSTS.md", "the inventory of machines, and commands on many of them"),
    "python": ("API.md", "the same in a program of your own"),
}
"""Pages by topic: the file, and what it is about."""

_HEADING = re.compile(r"(#{1,6}) +(.+?) *#*")
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class GuideSection:
    """Part of a page.

    Attributes:
        page: The page's topic.
        title: Its heading, without signs of Markdown.
        text: With its heading, up to the next heading of its level or above.
    """

    page: str
    title: str
    text: str


def find_guide() -> Path:
    """Find the folder of the pages: in the package, or beside it in a clone.

    Raises:
        TargetError: There is none.
    """
    package = Path(hsm.__file__).parent
    for folder in (package / "guide", package.parent / "docs"):
        if (folder / "SYNC.md").is_file():
            return folder
    raise TargetError(
        "The guide was not installed with this program.",
        hint="Install it anew with pip: `pip install --force-reinstall hpc-sweep-manager`.",
        kind="no_guide",
    )


def list_pages() -> dict[str, str]:
    """List the pages that are there, each with what it is about."""
    guide = find_guide()
    return {topic: about for topic, (file, about) in PAGES.items() if (guide / file).is_file()}


def read_page(topic: str) -> str:
    """Read a page."""
    return (find_guide() / PAGES[topic][0]).read_text("utf-8")


def find_section(words: Sequence[str]) -> GuideSection:
    """Find what a topic means: a page, a command, or a heading; a whole heading before a part of one.

    Raises:
        UsageError: It means none, or several (kind `unknown_topic`).
    """
    topic, pages = " ".join(words), list_pages()
    if topic.lower() in pages:
        text = read_page(topic.lower())
        return next(iter_sections(topic.lower(), text))
    sections = [section for page in pages for section in iter_sections(page, read_page(page))]
    wanted = _normalise(topic)
    names = {wanted, f"hsm {wanted}", f"hsm sync {wanted}"}
    whole = [section for section in sections if _normalise(section.title) in names]
    parts = [section for section in sections if wanted and wanted in _normalise(section.title)]
    if whole or len(parts) == 1:
        return (whole or parts)[0]
    raise _make_error(topic, [section.title for section in parts], [section.title for section in sections])


def iter_sections(page: str, text: str) -> Iterator[GuideSection]:
    """Yield the sections of a page: the whole of it first, then each heading's."""
    lines = text.splitlines(keepends=True)
    headings = list(_iter_headings(lines))
    for number, (start, level, title) in enumerate(headings):
        end = next((place for place, other, _ in headings[number + 1 :] if other <= level), len(lines))
        yield GuideSection(page, title, "".join(lines[start:end]))


def make_anchor(title: str) -> str:
    """Make the anchor that code hosts make of a heading, and links lead to."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _iter_headings(lines: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    is_fenced = False
    for number, line in enumerate(lines):
        if line.startswith("```"):
            is_fenced = not is_fenced
        elif not is_fenced and (match := _HEADING.fullmatch(line.rstrip("\n"))):
            yield number, len(match[1]), re.sub("[`*]", "", match[2])


def _normalise(text: str) -> str:
    return " ".join(re.findall(r"[\w.-]+", text.lower()))


def _make_error(topic: str, parts: Sequence[str], titles: Sequence[str]) -> UsageError:
    import difflib

    if parts:
        shown = ", ".join(f"`hsm docs {title.lower()}`" for title in parts[:_MOST_NAMES])
        return UsageError(f"{topic!r} is in {len(parts)} headings.", hint=f"Say which: {shown}.", kind="unknown_topic")
    near = difflib.get_close_matches(topic.lower(), [*PAGES, *map(str.lower, titles)], n=1)
    hint = f"Did you mean `hsm docs {near[0]}`?" if near else "`hsm docs` lists the pages."
    return UsageError(f"The guide has no topic {topic!r}.", hint=hint, kind="unknown_topic")
