"""Mistakes in the syntax of YAML, with the line and a caret, in words that say what to type. Pure.

PyYAML says where it stopped to understand, which is often the line after the mistake, and why in the words of a parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml

from hsm.errors import ConfigError

_INDENT = 6
_WIDTH = 100
_CORRECT = "correct the file"
_TOKEN = re.compile(r"[^\s,\[\]{}]+")
# Characters that mean something of their own in YAML where a text begins with them.
_MARKS = "*&!@%`|>"

_MARKED_IN_LIST = re.compile(rf"[\[,]\s*(?P<token>[{re.escape(_MARKS)}][^\s,\]]*)")
_NO_SPACE = re.compile(r"\s*(?:- +)?(?P<key>[A-Za-z_][\w.-]*):(?P<value>[^\s/].*)")
_WORDS = re.compile(r"\s*[A-Za-z_][\w-]*(?: [^:#]*)?")
_MAY_BE_SECRET = re.compile(
    r"(?:token|passw|credential|api_?key|secret(?!_patterns))[\w-]*[\"']?\s*[:=]", re.IGNORECASE
)


class _Mistake(NamedTuple):
    """A mistake: where it lies, counted from 0, what it is, and what to do."""

    line: int
    column: int
    text: str
    hint: str = _CORRECT


def make_syntax_error(text: str, shown: str, error: yaml.MarkedYAMLError) -> ConfigError:
    """Make the error for a document that is no YAML.

    Args:
        text: The document.
        shown: The file's name in messages.
        error: Of PyYAML.
    """
    lines = text.splitlines() or [""]
    mistake = _find_mistake(lines, error)
    message = f"{shown}: line {mistake.line + 1}, column {mistake.column + 1}: {mistake.text}"
    excerpt = "" if _hides(text, lines, mistake) else _show_line(lines, mistake)
    hint = mistake.hint if excerpt else mistake.hint.partition(":")[0]
    return ConfigError(f"{message}{excerpt}", hint=hint, kind="bad_yaml")


def find_missing_space(text: str) -> str:
    """Find the key that has no space after its colon, in text that was read as one word; empty where there is none."""
    found = _NO_SPACE.match(text)
    return found["key"] if found else ""


def _find_mistake(lines: list[str], error: yaml.MarkedYAMLError) -> _Mistake:
    mark = error.problem_mark or error.context_mark
    begin = error.context_mark or mark
    if mark is None or begin is None:
        return _Mistake(0, 0, error.problem or "cannot be read")
    problem, context = error.problem or "", error.context or ""
    last = len(lines) - 1
    place, start = _Place(min(mark.line, last), mark.column), _Place(min(begin.line, last), begin.column)
    if "'\\t'" in problem:
        return _Mistake(*place, "a tab, where YAML wants spaces", "indent with spaces, not with tabs")
    for found in (
        _find_unquoted(lines, start, place, problem, context),
        _find_key_mistake(lines, start, place, problem),
        _find_indent_mistake(lines, place, problem),
        _find_quote_mistake(start, place, problem, context),
    ):
        if found is not None:
            return found
    return _Mistake(*place, ", ".join(words for words in (context, problem) if words))


class _Place(NamedTuple):
    line: int
    column: int


def _find_unquoted(lines: list[str], start: _Place, place: _Place, problem: str, context: str) -> _Mistake | None:
    """Find text that begins with a character which means something else in YAML."""
    where: _Place | None = None
    if context.endswith(("an alias", "an anchor", "a block scalar", "a tag", "a directive")):
        where = start
    elif "cannot start any token" in problem or "undefined alias" in problem:
        where = place
    elif problem.startswith(("expected ',' or", "expected the node content")):
        found = _MARKED_IN_LIST.search(lines[start.line], start.column)
        where = _Place(start.line, found.start("token")) if found else None
    if where is None:
        return None
    found = _TOKEN.match(lines[where.line], where.column)
    token = found[0].rstrip("\"'") if found else ""
    if not token or token[0] not in _MARKS:
        return None
    before = lines[where.line][: where.column]
    if before.endswith(("]", "}", "[[")):
        return _Mistake(
            *where, "[ or { at the beginning of a text means something else in YAML", "quote the whole text"
        )
    quoted = f"'{token}'" if '"' in token or "\\" in token else f'"{token}"'
    return _Mistake(
        *where, f"{token[0]} at the beginning of a text means something else in YAML", f"quote it: {quoted}"
    )


def _find_key_mistake(lines: list[str], start: _Place, place: _Place, problem: str) -> _Mistake | None:
    """Find a key without its colon, or without the space after it: YAML stops at the line after it."""
    if "could not find expected ':'" in problem:
        line = start.line
    elif "mapping values are not allowed" in problem and not lines[place.line][: place.column].strip().count(": "):
        line = _find_line_above(lines, place.line)
    else:
        return None
    text = lines[line].rstrip()
    if found := _NO_SPACE.fullmatch(text):
        key = found["key"]
        return _Mistake(
            line, found.end("key") + 1, f'a space is missing after "{key}:"', f"write a space after `{key}:`"
        )
    if _WORDS.fullmatch(text):
        return _Mistake(line, len(text), "a colon is missing, as in `key: value`")
    return None


def _find_indent_mistake(lines: list[str], place: _Place, problem: str) -> _Mistake | None:
    """Find a line whose indentation fits no other."""
    text = lines[place.line]
    indent = _count_indent(text)
    is_first = not text[: place.column].strip(" ")
    above = _find_line_above(lines, place.line)
    if is_first and problem.startswith(("expected <block end>", "expected '<document start>'")):
        return _Mistake(
            place.line, place.column, f"indented by {indent}, as no section above", "indent it like its neighbours"
        )
    if "mapping values are not allowed" in problem:
        if indent > _count_indent(lines[above]) and above != place.line and not text[: place.column].count(": "):
            what = f"indented more than line {above + 1}, which has a value already"
            return _Mistake(place.line, indent, what, "indent it like its neighbours")
        return _Mistake(*place, "a second colon in one line", "quote the value: it has a colon with a space after it")
    return None


def _find_quote_mistake(start: _Place, place: _Place, problem: str, context: str) -> _Mistake | None:
    """Find quotes and brackets that are not closed, or closed too early."""
    if "quoted scalar" in context and "end of stream" in problem:
        return _Mistake(*start, "the quote that begins here is not closed")
    if "unknown escape character" in problem:
        return _Mistake(*place, "\\ means something else between double quotes", "write it between single quotes")
    if problem.startswith("expected ',' or"):
        comma = f", or a comma is missing before line {place.line + 1}" if place.line > start.line else ""
        return _Mistake(*start, f"the bracket that begins here is not closed{comma}")
    if problem.startswith("expected <block end>"):
        return _Mistake(*place, "something follows that is no part of the value", "quote the whole value")
    return None


def _find_line_above(lines: list[str], number: int) -> int:
    """Find the next line above that is neither empty nor a comment; the line itself where there is none."""
    above = (line for line in range(number - 1, -1, -1) if lines[line].strip() and lines[line].lstrip()[0] != "#")
    return next(above, number)


def _count_indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def show_place(mark: yaml.Mark) -> str:
    """Show the line of a place with a caret, below the text that it is added to; empty where it may hold a secret."""
    text = mark.buffer.rstrip("\0") if mark.buffer is not None else ""
    lines = text.splitlines() or [""]
    mistake = _Mistake(min(mark.line, len(lines) - 1), mark.column, "")
    return "" if not text or _hides(text, lines, mistake) else _show_line(lines, mistake)


def _hides(text: str, lines: list[str], mistake: _Mistake) -> bool:
    """Tell whether the line may hold a secret, which no message repeats; SetEnv's may stand anywhere near its name."""
    return "setenv" in text.lower() or _MAY_BE_SECRET.search(lines[mistake.line]) is not None


def _show_line(lines: list[str], mistake: _Mistake) -> str:
    """Show the line, or the part of it around the mistake, with a caret below."""
    text = "".join(character if character.isprintable() else " " for character in lines[mistake.line])
    begin = max(0, mistake.column - _WIDTH * 3 // 4) if len(text) > _WIDTH else 0
    head = "... " if begin else ""
    part = text[begin : begin + _WIDTH].rstrip()
    caret = " " * (len(head) + mistake.column - begin)
    return f"\n{' ' * _INDENT}{head}{part}\n{' ' * _INDENT}{caret}^"
