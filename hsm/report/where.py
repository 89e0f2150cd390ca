"""Parser of `--where`, conditions on runs. Pure.

Names of metrics hold `/`, `.` and `-`, which the expressions of Python and its libraries take for operators. Nothing
that a user or a run writes is ever evaluated as code.

    conditions  = alternative {"or" alternative}
    alternative = condition {"and" condition}
    condition   = "not" condition | "(" conditions ")" | NAME operator VALUE
    operator    = "<" | "<=" | ">" | ">=" | "=" | "==" | "!=" | "~"

Names and values are words without blanks, brackets and operators, or stand in quotes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hsm.errors import UsageError
from hsm.report.runs import ReportRun
from hsm.report.table import Column
from hsm.report.values import Value, as_number, format_exact

Predicate = Callable[[ReportRun], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<sign><=|>=|==|!=|<|>|=|~|\(|\))
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | '(?P<single>(?:[^'\\]|\\.)*)'
      | (?P<word>[^\s<>=!~()"']+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS = frozenset({*_ORDERS, "=", "==", "!=", "~"})
_WORDS: dict[str, Value] = {"true": True, "false": False, "none": None, "null": None}
_MOST_NESTED = 50  # the parser calls itself; Python's stack has an end


class _Token(NamedTuple):
    text: str
    is_quoted: bool = False
    is_sign: bool = False

    def is_word(self, word: str) -> bool:
        return self.text.lower() == word and not self.is_quoted and not self.is_sign


def parse_where(text: str, find_column: Callable[[str], Column]) -> Predicate:
    """Make a predicate of a condition such as `lr<0.01 and (optimizer=adam or not state=finished)`.

    Numbers compare as numbers and texts as texts. `~` asks for a part of a text, in small or large letters. A run
    without the value meets no comparison but `= none` and `!= VALUE`.

    Args:
        text: The condition.
        find_column: Finds a column by a name; its exceptions come through.

    Raises:
        UsageError: It cannot be understood.
    """
    tokens = _split(text)
    parser = _Parser(text, tokens, find_column)
    return parser.parse()


def _split(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _make_error(text, f"{text[position:].strip()[:20]!r} cannot be read")
        quoted = match["double"] if match["double"] is not None else match["single"]
        if quoted is not None:
            tokens.append(_Token(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL), is_quoted=True))
        else:
            tokens.append(_Token(match["sign"] or match["word"], is_sign=match["sign"] is not None))
        position = match.end()
    return tokens


class _Parser:
    """Reader of tokens, from left to right."""

    def __init__(self, text: str, tokens: Sequence[_Token], find_column: Callable[[str], Column]) -> None:
        self._text = text
        self._tokens = tokens
        self._position = 0
        self._find_column = find_column

    def parse(self) -> Predicate:
        predicate = self._parse_or(0)
        if self._position < len(self._tokens):
            raise _make_error(self._text, f"{self._tokens[self._position].text!r} comes unexpectedly")
        return predicate

    def _parse_or(self, depth: int) -> Predicate:
        parts = [self._parse_and(depth)]
        while self._takes("or"):
            parts.append(self._parse_and(depth))
        return parts[0] if len(parts) == 1 else lambda run: any(part(run) for part in parts)

    def _parse_and(self, depth: int) -> Predicate:
        parts = [self._parse_one(depth)]
        while self._takes("and"):
            parts.append(self._parse_one(depth))
        return parts[0] if len(parts) == 1 else lambda run: all(part(run) for part in parts)

    def _parse_one(self, depth: int) -> Predicate:
        if depth > _MOST_NESTED:
            raise _make_error(self._text, "it is nested too deeply")
        if self._takes("not"):
            negated = self._parse_one(depth + 1)
            return lambda run: not negated(run)
        if self._takes_sign("("):
            inner = self._parse_or(depth + 1)
            if not self._takes_sign(")"):
                raise _make_error(self._text, "a closing bracket is missing")
            return inner
        return self._parse_comparison()

    def _parse_comparison(self) -> Predicate:
        name = self._next("a name")
        sign = self._next("one of < <= > >= = != ~", is_sign=True)
        if sign.text not in _OPERATORS:
            raise _make_error(self._text, f"after {name.text!r} comes {sign.text!r}, where a comparison should be")
        wanted = self._next("a value")
        column = self._find_column(name.text)
        value = wanted.text if wanted.is_quoted else _parse_value(wanted.text)
        return lambda run: _compare(column.read(run), sign.text, value, wanted.text)

    def _next(self, what: str, *, is_sign: bool = False) -> _Token:
        if self._position >= len(self._tokens):
            raise _make_error(self._text, f"{what} is missing at the end")
        token = self._tokens[self._position]
        if token.is_sign is not is_sign:
            raise _make_error(self._text, f"where {what} should be comes {token.text!r}")
        self._position += 1
        return token

    def _takes(self, word: str) -> bool:
        is_next = self._position < len(self._tokens) and self._tokens[self._position].is_word(word)
        self._position += is_next
        return is_next

    def _takes_sign(self, sign: str) -> bool:
        is_next = self._position < len(self._tokens) and self._tokens[self._position] == _Token(sign, is_sign=True)
        self._position += is_next
        return is_next


def _parse_value(text: str) -> Value:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return float(text)
    except ValueError:
        return text


def _compare(found: Value, sign: str, wanted: Value, text: str) -> bool:
    if sign == "!=":
        return not _is_equal(found, wanted)
    if sign in ("=", "=="):
        return _is_equal(found, wanted)
    if sign == "~":
        return found is not None and text.lower() in format_exact(found).lower()
    left, right = as_number(found), as_number(wanted)
    if left is not None and right is not None:
        return _ORDERS[sign](left, right)
    if isinstance(found, str) and isinstance(wanted, str):
        order = (found > wanted) - (found < wanted)
        return _ORDERS[sign](order, 0)
    return False


def _is_equal(found: Value, wanted: Value) -> bool:
    if isinstance(found, float) and isinstance(wanted, float) and found != found and wanted != wanted:  # noqa: PLR0124
        return True
    # To Python True equals 1, and `seed=1` would find the runs whose seed is true.
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return found == wanted or (isinstance(found, (str, list)) and format_exact(found) == format_exact(wanted))


def _make_error(text: str, what: str) -> UsageError:
    hint = "For example: --where 'lr<0.01 and optimizer=adam'. Names and values with blanks stand in quotes."
    return UsageError(f"--where {text!r} cannot be understood: {what}.", hint=hint, kind="bad_condition")
