"""The text of recorded terminal sessions: what differs from one recording to the next is replaced by fixed rules.

A page holds each session in a fenced block between `<!-- session: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

DAY = "2025-10-22"
TIME = "04:06"

_RUN = re.compile(r"offline-run-\d{8}_\d{6}-[0-9a-z]{8}")
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2}) \d{2}:\d{2}")
_CLOCK = re.compile(r"^\d{2}:\d{2}:\d{2} ", re.MULTILINE)
_DURATION = re.compile(r"\b(in|for) (?:\d+ min )?[\d.]+ s\b")
_DURATIONS = {"in": "0.5 s", "for": "30 s"}
_PASSES = re.compile(r"\b\d+ passes\b")
_PERCENT = re.compile(r"^\S+: \d+ %: .*\n", re.MULTILINE)


class PageError(Exception):
    """A page has no place for a session, or one that no session is recorded for."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a recording is its own.

    Attributes:
        since: The day on which the recording began; from it on, days are days of the recording.
        paths: Folders of the recording, and what stands for them.
        host: This machine's name.
        shown_host: What stands for it.
        runs: Names of runs, and what stands for them; of the same length.
    """

    since: date
    paths: Mapping[str, str]
    host: str
    shown_host: str
    runs: Mapping[str, str]


def make_run_names(names: Sequence[str], day: str) -> dict[str, str]:
    """Make the names that stand for a sweep's runs: in the same order, with seconds that count up."""
    shown = {}
    for number, name in enumerate(sorted(names), 1):
        letters = random.Random(f"{day}/{number}").choices(string.ascii_lowercase + string.digits, k=8)
        shown[name] = f"offline-run-{day}_{212900 + number}-{''.join(letters)}"
    return shown


def make_fixed(text: str, rules: Rules) -> str:
    """Make the text of a session that is the same for every recording.

    Raises:
        PageError: A run's name is left that no rule is for.
    """
    for path, shown in rules.paths.items():
        text = text.replace(path, shown)
    for name, shown in rules.runs.items():
        text = text.replace(name, shown)
    if unknown := set(_RUN.findall(text)) - set(rules.runs.values()):
        raise PageError(f"nothing stands for {', '.join(sorted(unknown))}")
    text = _replace_host(text, rules.host, rules.shown_host)
    text = _DATE.sub(lambda match: f"{DAY} {TIME}" if match[1] >= rules.since.isoformat() else match[0], text)
    text = _DURATION.sub(lambda match: f"{match[1]} {_DURATIONS[match[1]]}", text)
    seconds = iter(range(0, 3600, 10))
    text = _CLOCK.sub(lambda _: f"{TIME}:{next(seconds):02} ", text)
    return _PERCENT.sub("", _PASSES.sub("9 passes", text))


def _replace_host(text: str, host: str, shown: str) -> str:
    """Replace a machine's name, and keep the columns of the table whose widest cell it stands in."""
    blocks = text.split("\n\n")
    for number, block in enumerate(blocks):
        if f"here, from {host} " not in block:
            continue
        head, *rows = block.split("\n")
        width = 2 + len(f"here, from {host}")
        for row, line in enumerate(rows):
            if line[width : width + 2] == "  " and ":" not in line[:width]:
                cell = line[:width].rstrip().replace(host, shown)
                rows[row] = cell.ljust(width + len(shown) - len(host)) + line[width:]
        blocks[number] = "\n".join([head, *rows])
    return re.sub(rf"\bfrom {re.escape(host)}\b", f"from {shown}", "\n\n".join(blocks))


def replace_sessions(page: str, sessions: Mapping[str, str]) -> str:
    """Return the page with these sessions in their places.

    Raises:
        PageError: The page's places are not exactly these sessions', each once.
    """
    places = re.findall(r"^<!-- session: (\S+) -->$", page, re.MULTILINE)
    if sorted(places) != sorted(sessions):
        raise PageError(f"the page has places for {sorted(places)}, recorded are {sorted(sessions)}")
    for name, text in sessions.items():
        begin = f"<!-- session: {name} -->\n"
        before, _, rest = page.partition(begin)
        _, end, after = rest.partition("<!-- end -->\n")
        if not end:
            raise PageError(f"the session {name} has no end")
        page = f"{before}{begin}```console\n{text}```\n{end}{after}"
    return page
