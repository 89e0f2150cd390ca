"""Printer of text: escaping, wrapping, columns. All of HSM writes to stdout and stderr by it."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from hsm.cli.render.words import escape_lines, escape_text
from hsm.errors import HsmError

Part = str | tuple[str, str]
"""Text as it comes, or text and the style to show it in. It is escaped when it is printed."""

_WORD = re.compile(r"\s*\S+\s*")
_ANY_WIDTH = 100_000  # in a pipe: whoever reads lines there wants a path whole
_LINES_AT_ONCE = 2000  # a call for each line takes long; a plan of 150,000 files is too much for one
_drawn_on: list[Console] = []


class TextColumn(NamedTuple):
    """A column of a table."""

    header: str
    is_number: bool = False


class Printer:
    """Prints lines to stdout or stderr.

    All that it is given is escaped and never read as markup. In a terminal, sentences are wrapped between words;
    names and paths stay whole, so that they can be copied. In a pipe nothing is wrapped or coloured.
    """

    def __init__(self, *, is_error: bool = False) -> None:
        self._console = _drawn_on[-1] if is_error and _drawn_on else make_console(is_error=is_error)
        self._width = self._console.width if self._console.is_terminal else _ANY_WIDTH

    @property
    def width(self) -> int:
        """Columns of the terminal; very many in a pipe."""
        return self._width

    def print(self, *parts: Part, indent: int = 0, hang: int = 0) -> None:
        """Print one line, wrapped where it is too long.

        Args:
            parts: What it consists of.
            indent: Columns before it.
            hang: Columns before its further lines, beyond `indent`.
        """
        self._print_text(_make_text(parts), indent=indent, hang=hang)

    def print_name(self, *parts: Part, indent: int = 0) -> None:
        """Print one line that is never broken."""
        # soft_wrap: the terminal breaks the line, which can then be copied whole; rich would put in line breaks.
        self._console.print(Text(" " * indent) + _make_text(parts), soft_wrap=True)

    def print_many(self, lines: Iterable[str]) -> None:
        """Print any number of lines as they are, escaped, quickly."""
        source = iter(lines)
        while chunk := list(islice(source, _LINES_AT_ONCE)):
            self._console.out("\n".join(map(escape_text, chunk)), highlight=False)

    def print_table(
        self, columns: Sequence[TextColumn], rows: Iterable[Sequence[Part]], *, label: str = "", indent: int = 0
    ) -> None:
        """Print rows in columns.

        Args:
            columns: The last one is words, which go below their row where that has no room for them.
            rows: A cell for each column.
            label: Stands before words that go below.
            indent: Columns before each line.
        """
        headers = [Text(column.header, "bold") for column in columns]
        cells = [headers, *([_make_text((part,)) for part in row] for row in rows)]
        widths = [max(cell_len(row[i].plain) for row in cells) for i in range(len(columns) - 1)]
        gap = 2 if indent + sum(widths) + 2 * (len(widths) - 1) <= self._width else 1
        room = self._width - indent - sum(widths) - gap * len(widths)
        for number, row in enumerate(cells):
            has_room = cell_len(row[-1].plain) <= room
            line = Text(" " * indent) + _align(columns, row, widths, gap) + (row[-1] if has_room else Text())
            line.rstrip()
            self._console.print(line, soft_wrap=True)
            if number and not has_room:
                self._print_text(Text(label) + row[-1], indent=indent + 4, hang=2)

    def print_error(self, error: HsmError, *, verbosity: int, indent: int = 0) -> None:
        """Print what is wrong, what to do next and, under `-v`, what the failed program said."""
        first, *more = escape_lines(error.message)
        self.print(("Error: ", "bold red"), first, indent=indent, hang=2)
        for line in more:
            self.print(line, indent=indent + (0 if line.startswith(" ") else 7), hang=4)
        if error.hint:
            self.print_hint(error.hint, indent=indent)
        if verbosity and error.detail:
            self.print_many(f"{'':{indent + 2}}{line}" for line in escape_lines(error.detail))

    def print_hint(self, hint: str, *, indent: int = 0) -> None:
        """Print what to do next."""
        first, *more = escape_lines(hint)
        self.print(("Next: ", "bold"), first, indent=indent, hang=6)
        for line in more:
            (self.print_name if line.startswith(" ") else self.print)(line, indent=indent + 6)

    def _print_text(self, text: Text, *, indent: int, hang: int) -> None:
        breaks = _find_breaks(text.plain, self._width - indent, hang)
        for number, line in enumerate(text.divide(breaks)):
            line.rstrip()
            start = Text(" " * (indent + (hang if number else 0)))
            self._console.print(start + line if line else line, soft_wrap=True)


def make_console(*, is_error: bool) -> Console:
    """Make rich's console for stdout or stderr as they are now.

    The stream is told to write what its encoding lacks as an escape: no name may end the program.
    """
    stream = sys.stderr if is_error else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return Console(stderr=is_error, markup=False, emoji=False, highlight=False)


def lend_console(console: Console) -> None:
    """Let what is printed on stderr go through a console that draws, until `take_console_back`."""
    _drawn_on.append(console)


def take_console_back(console: Console) -> None:
    """End what `lend_console` began; nothing happens for a console that was not lent."""
    if console in _drawn_on:
        _drawn_on.remove(console)


def show_error(error: HsmError, *, verbosity: int) -> None:
    """Print an error on stderr: what is wrong, what to do next, and its detail under `-v`."""
    Printer(is_error=True).print_error(error, verbosity=verbosity)


def show_note(text: str) -> None:
    """Print something worth knowing on stderr."""
    printer = Printer(is_error=True)
    for line in escape_lines(text):
        printer.print(line)


def show_lines(lines: Iterable[str]) -> None:
    """Print plain lines on stdout, each escaped."""
    Printer().print_many(lines)


def _align(columns: Sequence[TextColumn], row: Sequence[Text], widths: Sequence[int], gap: int) -> Text:
    """Put all cells but the last into their columns."""
    line = Text()
    for column, cell, width in zip(columns, row, widths, strict=False):
        space = Text(" " * (width - cell_len(cell.plain)))
        line += space + cell if column.is_number else cell + space
        line += Text(" " * gap)
    return line


def _find_breaks(text: str, width: int, hang: int) -> list[int]:
    """Find where the further lines of a text begin; words that are longer than a line stay whole."""
    breaks: list[int] = []
    used = 0
    for word in _WORD.finditer(text):
        size = cell_len(word.group())
        if used and used + len(word.group().rstrip()) > width:
            breaks.append(word.start())
            used = hang
        used += size
    return breaks


def _make_text(parts: Sequence[Part]) -> Text:
    text = Text()
    for part in parts:
        content, style = (part, "") if isinstance(part, str) else part
        text.append(escape_text(content), style)
    return text
