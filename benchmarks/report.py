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
"""By step (`A/40 ms/first`, `A/40 ms/first/pull`): `seconds`, `peaks` and `sizes` by contender, `notes`, and `text`."""

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
    "two": "first sync to two targets at once, and to each alone",
    "list": "`hsm sync list --sweeps`",
    "report": "`hsm sync report`",
    "start": "start of the program",
    "make": "the project is written",
}
LIST_COLD = "hsm sync list --sweeps, cold"
LIST_WARM = "hsm sync list --sweeps, warm"
REPORT = "hsm sync report --html"
SFTP = "HSM cold, SFTP"
TWO = "HSM cold, two targets"
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is to be reached.

    Attributes:
        text: What is compared.
        step: Key of the results.
        contender: Whose median is above the line.
        reference: Whose is below; empty where the figure itself is limited, in seconds or bytes.
        limit: The most that the ratio, or the figure, may be.
        reference_step: Where the reference was measured, if elsewhere.
        adds_seconds: Added to the reference.
        measure: `seconds`, or `peaks` of memory, or `sizes` of what was written.
    """

    text: str
    step: str
    contender: str
    reference: str
    limit: float
    reference_step: str = ""
    adds_seconds: float = 0.0
    measure: str = "seconds"


def make_goals() -> tuple[Goal, ...]:
    """All goals, in the order of the page."""
    return (
        *(goal for pulls in (False, True) for goal in _iter_direction_goals(pulls=pulls)),
        Goal("two targets at once against one alone, A, 40 ms", "A/40 ms/two", TWO, COLD, 1.3),
        *_iter_size_goals(),
        *(goal for pulls in (False, True) for goal in _iter_growth_goals(pulls=pulls)),
        Goal("`hsm --version` against `import typer`", "-/-/start", "hsm --version", "python -c 'import typer'", 1.3),
        Goal(
            f"nothing changed, A, 40 ms, warm, against {FLOOR_SECONDS} s and one session",
            "A/40 ms/nothing",
            WARM,
            SESSION,
            1.0,
            adds_seconds=FLOOR_SECONDS,
        ),
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
    )


def _iter_direction_goals(*, pulls: bool) -> Iterator[Goal]:
    """Goals of a push or of a pull, against one `rsync -aR` in the same direction."""
    way, tail = (", pull", "/pull") if pulls else ("", "")
    rows = (
        ("A", "0 ms", "first", COLD, 1.10),
        ("B", "0 ms", "first", COLD, 1.25),
        ("D", "0 ms", "first", COLD, 1.25),
        ("A", "40 ms", "first", COLD, 0.65),
        ("B", "40 ms", "first", COLD, 0.65),
        ("D", "40 ms", "first", COLD, 0.65),
        ("C", "100 ms", "first", COLD, 0.33),
        ("A", "0 ms", "nothing", WARM, 0.9),
        ("A", "40 ms", "nothing", WARM, 0.33),
        ("A", "40 ms", "nothing", COLD, 0.75),
        ("D", "40 ms", "nothing", WARM, 0.15),
        ("A", "40 ms", "changed", WARM, 0.65),
    )
    for name, link, case, contender, limit in rows:
        login = "" if case == "first" else f", {contender.removeprefix('HSM ')}"
        yield Goal(f"{CASES[case]}, {name}, {link}{login}{way}", f"{name}/{link}/{case}{tail}", contender, RSYNC, limit)
    yield Goal(f"SFTP against HSM's own rsync, B, 40 ms{way}", f"B/40 ms/first{tail}", SFTP, COLD, 1.5)


def _iter_size_goals() -> Iterator[Goal]:
    """Goals of seconds and bytes, without a reference."""
    for way, tail in (("", ""), (", pull", "/pull")):
        yield Goal(
            f"first sync, D, 40 ms{way}: peak memory", f"D/40 ms/first{tail}", COLD, "", 250 * MB, measure="peaks"
        )
    yield Goal("`list --sweeps`, 10,000 runs, cold", "D/-/list", LIST_COLD, "", 2.5)
    yield Goal("`list --sweeps`, 10,000 runs, warm", "D/-/list", LIST_WARM, "", 0.5)
    report = "report of 10,000 runs of 1,000 rows"
    yield Goal(report, "S/-/report", REPORT, "", 45)
    yield Goal(f"{report}: peak memory", "S/-/report", REPORT, "", 600 * MB, measure="peaks")
    yield Goal(f"{report}: its page", "S/-/report", REPORT, "", 20 * MB, measure="sizes")


def _iter_growth_goals(*, pulls: bool) -> Iterator[Goal]:
    """Goals of what ten times as many runs may cost."""
    way, tail = (", pull", "/pull") if pulls else ("", "")
    rows = [
        (f"40 ms/first{tail}", f"{CASES['first']}{way}", COLD),
        (f"40 ms/nothing{tail}", f"nothing changed{way}", WARM),
    ]
    cases = [(f"D/{case}", f"E/{case}", text, contender) for case, text, contender in rows]
    if not pulls:
        cases.append(("D/-/list", "E/-/list", "`list --sweeps`, cold", LIST_COLD))
        cases.append(("S/-/report", "R/-/report", "report", REPORT))
    for large, small, text, contender in cases:
        for what, measure in (("time", "seconds"), ("memory", "peaks")):
            if contender != LIST_COLD or measure == "seconds":
                yield Goal(
                    f"{text}, 10,000 runs against 1,000, {what}",
                    large,
                    contender,
                    contender,
                    11.0,
                    reference_step=small,
                    measure=measure,
                )


INTRODUCTION = """\
# How fast HSM is

Written by `make bench` and `make bench-large`. All contenders send the same files from one folder over the same link to
one private sshd on this machine, in turns; in a pull that folder lies behind the sshd, and they fetch it. The start of
their programs is in the times; what brings a target into its state before is not. Latency comes from a proxy that
delays either direction by half the round trip; at 0 ms there is none. Cold: no login is open. Warm: `hsm sync login`
was called before. Ratios are ratios of medians. HSM looks at the destination first, proves what arrived and leaves a
receipt there; the others do not. Destinations lie in memory (tmpfs) where there is room: after a large removal a disk
may take ten times as long for new files, whoever's turn it is.
"""


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
            key.partition("+")[0], {"text": step["text"], "seconds": {}, "peaks": {}, "sizes": {}, "notes": []}
        )
        for name, samples in step.get("seconds", {}).items():
            whole["seconds"][name] = [*whole["seconds"].get(name, []), *samples]
        whole["peaks"].update(step.get("peaks", {}))
        whole["sizes"].update(step.get("sizes", {}))
        whole["notes"] = list(dict.fromkeys([*whole["notes"], *step.get("notes", [])]))
    return merged


def find_ratio(goal: Goal, results: Results) -> float | None:
    """The ratio of the medians, or the figure itself; None where a side has not been measured."""
    above = _find_figure(results, goal.step, goal.contender, goal.measure)
    if not goal.reference:
        return above
    below = _find_figure(results, goal.reference_step or goal.step, goal.reference, goal.measure)
    return None if above is None or not below else above / (below + goal.adds_seconds)


def _find_figure(results: Results, step: str, contender: str, measure: str) -> float | None:
    found = results.get(step, {}).get(measure, {}).get(contender)
    if not found:
        return None
    if measure == "seconds":
        return statistics.median(found)
    return float(found[0] if measure == "peaks" else found)


def make_page(results: Results, facts: Mapping[str, str]) -> str:
    """The whole page, as Markdown."""
    lines = [
        INTRODUCTION,
        *(f"- {name}: {text}" for name, text in facts.items()),
        "",
        "## Goals",
        "",
        *_make_table(("case", "goal", "reached", ""), [*_iter_goal_rows(results)], n_text_columns=1),
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
        limit, ratio = f"<= {_format(goal, goal.limit)}", find_ratio(goal, results)
        if ratio is not None:
            yield goal.text, limit, _format(goal, ratio, digits=2), "met" if ratio <= goal.limit else "**missed**"
        else:
            yield goal.text, limit, "", "not measured"


def _format(goal: Goal, figure: float, *, digits: int | None = None) -> str:
    if not goal.reference and goal.measure != "seconds":
        return f"{figure / MB:.0f} MB"
    number = f"{figure:g}" if digits is None else f"{figure:.{digits}f}"
    return number if goal.reference else f"{number} s"


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
