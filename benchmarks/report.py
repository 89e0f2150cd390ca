"""The figures as a page: medians, ratios, and whether each goal was met. Pure, but for `read_facts`."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsm import __version__

Results = Mapping[str, Mapping[str, Any]]
"""By step (`A/40 ms/first`): `seconds` and `peaks` by contender, `notes`, and `text`, what the step is."""

RSYNC = "rsync -aR"
PER_RUN = "rsync per run, 4 at a time"
COLD = "HSM cold"
WARM = "HSM warm"
SESSION = "ssh true, master"
FLOOR_SECONDS = 0.35
"""What a warm sync with nothing to do may cost beside one session."""

CASES = {
    "first": "first sync",
    "nothing": "nothing changed",
    "changed": "5 % of the runs changed",
    "append": "1 MB appended to one checkpoint",
    "start": "start of the program",
    "make": "the project is written",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that is to be reached.

    Attributes:
        text: What is compared.
        step: Key of the results.
        contender: Whose median is above the line.
        reference: Whose is below.
        limit: The most that the ratio may be.
        reference_step: Where the reference was measured, if elsewhere.
        adds_seconds: Added to the reference.
        uses_memory: Compare peaks of memory, not seconds.
    """

    text: str
    step: str
    contender: str
    reference: str
    limit: float
    reference_step: str = ""
    adds_seconds: float = 0.0
    uses_memory: bool = False


def make_goals() -> tuple[Goal, ...]:
    """All goals, in the order of the page."""
    return (
        Goal("first sync, A, 0 ms", "A/0 ms/first", COLD, RSYNC, 1.25),
        Goal("first sync, A, 40 ms", "A/40 ms/first", COLD, RSYNC, 0.8),
        Goal("first sync, B, 40 ms", "B/40 ms/first", COLD, RSYNC, 0.8),
        Goal("first sync, C, 100 ms", "C/100 ms/first", COLD, RSYNC, 0.5),
        Goal("nothing changed, A, 40 ms, warm", "A/40 ms/nothing", WARM, RSYNC, 0.5),
        Goal("nothing changed, A, 40 ms, cold", "A/40 ms/nothing", COLD, RSYNC, 1.0),
        Goal("nothing changed, D, 40 ms, warm", "D/40 ms/nothing", WARM, RSYNC, 0.25),
        Goal("5 % changed, A, 40 ms, warm", "A/40 ms/changed", WARM, RSYNC, 0.9),
        Goal("5 % changed, B, 40 ms, warm", "B/40 ms/changed", WARM, RSYNC, 0.9),
        *(
            Goal(
                f"{CASES[case]}, {name}, {link}, against one rsync per run",
                f"{name}/{link}/{case}",
                COLD,
                PER_RUN,
                0.125,
            )
            for name, link in (("A", "0 ms"), ("A", "40 ms"), ("B", "40 ms"))
            for case in ("first", "nothing", "changed")
        ),
        *(
            Goal(
                f"{CASES[case]}, 10,000 runs against 1,000, {what}",
                f"D/{link}/{case}",
                contender,
                contender,
                11.0,
                reference_step=f"E/{link}/{case}",
                uses_memory=uses_memory,
            )
            for case, link, contender in (("first", "40 ms", COLD), ("nothing", "40 ms", WARM))
            for what, uses_memory in (("time", False), ("memory", True))
        ),
        Goal("`hsm --version` against `import typer`", "-/-/start", "hsm --version", "python -c 'import typer'", 1.3),
        Goal(
            f"nothing changed, A, 40 ms, warm, against {FLOOR_SECONDS} s and one session",
            "A/40 ms/nothing",
            WARM,
            SESSION,
            1.0,
            adds_seconds=FLOOR_SECONDS,
        ),
    )


INTRODUCTION = """\
# How fast HSM is

Written by `make bench` and `make bench-large`. All contenders send the same files from one folder over the same link to
one private sshd on this machine, in turns. The start of their programs is in the times; what brings a target into its
state before is not. Latency comes from a proxy that delays either direction by half the round trip; at 0 ms there is
none. Cold: no login is open. Warm: `hsm sync login` was called before. Ratios are ratios of medians. HSM looks at the
target first, proves what arrived and leaves a receipt there; the others do not. Targets lie in memory (tmpfs) where
there is room: after a large removal a disk may take ten times as long for new files, whoever's turn it is.
"""

MEMORY_LIMIT = ("nothing changed, D, 40 ms, warm: peak memory of HSM", "D/40 ms/nothing", WARM, 400_000_000)


def merge_parts(results: Results) -> dict[str, dict[str, Any]]:
    """Put together the steps that fill one table: `A/40 ms/first` and `A/40 ms/first+round 2`.

    Returns:
        By key without parts, in the order of first appearance.
    """
    merged: dict[str, dict[str, Any]] = {}
    for key, step in results.items():
        if not step:
            continue
        whole = merged.setdefault(
            key.partition("+")[0], {"text": step["text"], "seconds": {}, "peaks": {}, "notes": []}
        )
        for name, samples in step.get("seconds", {}).items():
            whole["seconds"][name] = [*whole["seconds"].get(name, []), *samples]
        whole["peaks"].update(step.get("peaks", {}))
        whole["notes"] = list(dict.fromkeys([*whole["notes"], *step.get("notes", [])]))
    return merged


def find_ratio(goal: Goal, results: Results) -> float | None:
    """The ratio of the medians; None where a side has not been measured."""
    above = _find_figure(results, goal.step, goal.contender, uses_memory=goal.uses_memory)
    below = _find_figure(results, goal.reference_step or goal.step, goal.reference, uses_memory=goal.uses_memory)
    return None if above is None or not below else above / (below + goal.adds_seconds)


def _find_figure(results: Results, step: str, contender: str, *, uses_memory: bool) -> float | None:
    found = results.get(step, {})
    if uses_memory:
        peak = found.get("peaks", {}).get(contender)
        return float(peak[0]) if peak else None
    seconds = found.get("seconds", {}).get(contender)
    return statistics.median(seconds) if seconds else None


def make_page(results: Results, facts: Mapping[str, str]) -> str:
    """The whole page, as Markdown."""
    lines = [
        INTRODUCTION,
        *(f"- {name}: {text}" for name, text in facts.items()),
        "",
        "## Goals",
        "",
        *_make_table(
            ("case", "goal", "reached", ""), [*_iter_goal_rows(results), *_iter_memory_rows(results)], n_text_columns=1
        ),
        "",
        "## All figures",
        "",
        "Seconds. The last column is the median against the one `rsync -aR`'s: below 1 is faster than that.",
    ]
    for key, step in results.items():
        lines += ["", f"### {step.get('text', key)}", "", *_make_step_lines(step)]
    return "\n".join(lines) + "\n"


def _iter_goal_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for goal in make_goals():
        ratio = find_ratio(goal, results)
        if ratio is not None:
            yield goal.text, f"<= {goal.limit:g}", f"{ratio:.2f}", "met" if ratio <= goal.limit else "**missed**"
        else:
            yield goal.text, f"<= {goal.limit:g}", "", "not measured"


def _iter_memory_rows(results: Results) -> Iterator[tuple[str, ...]]:
    text, step, contender, limit = MEMORY_LIMIT
    peak = _find_figure(results, step, contender, uses_memory=True)
    verdict = "not measured" if peak is None else "met" if peak <= limit else "**missed**"
    yield text, f"<= {limit / 1e6:g} MB", "" if peak is None else f"{peak / 1e6:.0f} MB", verdict


def _make_step_lines(step: Mapping[str, Any]) -> list[str]:
    seconds: Mapping[str, Sequence[float]] = step.get("seconds", {})
    reference = statistics.median(seconds[RSYNC]) if RSYNC in seconds else None
    rows = []
    for name, samples in seconds.items():
        median = statistics.median(samples)
        spread = f"{min(samples):.2f} to {max(samples):.2f}" if len(samples) > 1 else ""
        rows.append(
            (name, f"{median:.3f}", spread, str(len(samples)), f"{median / reference:.2f}" if reference else "")
        )
    lines = _make_table(("", "median", "from, to", "rounds", "ratio"), rows, n_text_columns=1) if rows else []
    peaks = [
        (name, f"{program / 1e6:.0f}", f"{children / 1e6:.0f}")
        for name, (program, children) in step.get("peaks", {}).items()
    ]
    if peaks:
        lines += [""] if lines else []
        lines += _make_table(("peak memory, MB", "program", "what it starts, together"), peaks, n_text_columns=1)
    if step.get("notes"):
        lines += ["", *step["notes"]]
    return lines


def _make_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, n_text_columns: int) -> list[str]:
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    rule = ["-" * width if index < n_text_columns else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    return [_join_cells(row, widths, n_text_columns) for row in (head, rule, *rows)]


def _join_cells(row: Sequence[str], widths: Sequence[int], n_text_columns: int) -> str:
    cells = [
        cell.ljust(width) if index < n_text_columns else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"| {' | '.join(cells)} |"


def read_facts(repository: str, today: str) -> dict[str, str]:
    """What the figures hang on: versions and the machine."""
    commit = _read_line("git", "-C", repository, "describe", "--always", "--dirty")
    return {
        "date": today,
        "HSM": f"{__version__} ({commit})",
        "Python": platform.python_version(),
        "rsync": _find_version(_read_line("rsync", "--version")),
        "OpenSSH": _read_line("ssh", "-V").partition(",")[0],
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "machine": f"{os.cpu_count()} cores, {_read_memory_bytes() / 2**30:.0f} GiB of memory",
    }


def _find_version(line: str) -> str:
    match = re.search(r"version (\S+).*?(protocol version \d+)", line)
    return f"{match[1]}, {match[2]}" if match else line


def _read_line(*argv: str) -> str:
    try:
        completed = subprocess.run(argv, check=False, capture_output=True, text=True)
    except OSError:
        return "none"
    return next(iter((completed.stdout or completed.stderr).splitlines()), "none")


def _read_memory_bytes() -> int:
    if sys.platform == "darwin":
        return int(_read_line("sysctl", "-n", "hw.memsize"))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
