"""Time two checkouts of HSM in turns, and say where one of them is slower.

    python -m benchmarks.compare /path/to/other/.venv/bin/hsm [--rounds 9] [--only REGEX]

The same commit gives other figures an hour later, so two versions are compared only within one run. "Slower" is said
where the quartiles part and the medians differ by more than 5 %. All of it happens in `.bench/`; nothing is written.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import BENCH, Bench, Ground, Step, check_programs, find_target_folder, warm_up
from benchmarks.peers import HSM, BenchmarkError, Command, Hsm, WarmHsm, time_command
from benchmarks.workloads import make_workloads

LEAST_DIFFERENCE = 0.05
"""Of the medians; less is the machine's mood."""

CASES = tuple(
    (workload, link, case, kind, pulls)
    for workload, link, case, kind in (
        ("A", "0 ms", "first", Hsm),
        ("A", "40 ms", "first", Hsm),
        ("A", "0 ms", "nothing", WarmHsm),
        ("A", "40 ms", "nothing", Hsm),
        ("A", "40 ms", "nothing", WarmHsm),
        ("A", "0 ms", "changed", WarmHsm),
        ("A", "40 ms", "changed", WarmHsm),
        ("C", "100 ms", "first", Hsm),
        ("B", "0 ms", "first", Hsm),
        ("B", "0 ms", "nothing", WarmHsm),
        ("B", "40 ms", "first", Hsm),
        ("B", "40 ms", "nothing", WarmHsm),
        ("B", "40 ms", "changed", WarmHsm),
        ("D", "0 ms", "first", Hsm),
        ("D", "40 ms", "first", Hsm),
        ("D", "40 ms", "nothing", WarmHsm),
    )
    for pulls in (False, True)
)


def make_contender(kind: type[Hsm], program: Path, label: str) -> type[Hsm]:
    """Make a contender of another program."""
    return type(f"{kind.__name__}{label.title()}", (kind,), {"program": program, "name": f"{kind.name}, {label}"})


def judge(before: Sequence[float], after: Sequence[float]) -> tuple[float, str]:
    """Compare times: the ratio of the medians, and what it means.

    Args:
        before: Seconds, at least two.
        after: Seconds, at least two.
    """
    ratio = statistics.median(after) / statistics.median(before)
    low, high = statistics.quantiles(before, n=4), statistics.quantiles(after, n=4)
    if ratio > 1 + LEAST_DIFFERENCE and high[0] > low[2]:
        return ratio, "slower"
    if ratio < 1 - LEAST_DIFFERENCE and high[2] < low[0]:
        return ratio, "faster"
    return ratio, "the same"


def make_row(case: str, before: Sequence[float], after: Sequence[float]) -> str:
    """Make a row of the table."""
    ratio, verdict = judge(before, after)
    medians = f"{statistics.median(before):.3f} | {statistics.median(after):.3f}"
    return f"| {case} | {medians} | {ratio:.2f} | {verdict} |"


def time_start(programs: Sequence[Path], scratch: Path, *, rounds: int) -> list[list[float]]:
    """Time `hsm --version` of both."""
    found: list[list[float]] = [[] for _ in programs]
    for number in range(3 * rounds + 1):
        for seconds, program in zip(found, programs, strict=True):
            took = time_command(Command([str(program), "--version"], BENCH), scratch).seconds
            if number:  # the first one fills caches
                seconds.append(took)
    return found


def main() -> int:
    """Compare, and return 1 where the other checkout is faster anywhere."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("before", type=Path, help="the other checkout's `hsm`")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", metavar="REGEX", help="only the cases whose row matches")
    arguments = parser.parse_args()
    place = BENCH / "compare"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    targets = find_target_folder(place)
    rows: list[str] = []
    try:
        check_programs()
        warm_up()
        with Ground(["0 ms", "40 ms", "100 ms"]) as ground:
            bench = Bench(ground, place, targets, make_workloads(1.0), rounds=arguments.rounds, deadline=float("inf"))
            rows.append(
                make_row("start", *time_start([arguments.before, HSM], ground.scratch, rounds=arguments.rounds))
            )
            for workload, link, case, kind, pulls in CASES:
                row = f"{workload}, {link}, {case}, {kind.name}{', pull' if pulls else ''}"
                if not re.search(arguments.only, row):
                    continue
                field = tuple(
                    (make_contender(kind, program, label), arguments.rounds)
                    for label, program in (("before", arguments.before), ("after", HSM))
                )
                found = bench.run(Step(workload, link, case, field, pulls=pulls))["seconds"]
                rows.append(make_row(row, found[f"{kind.name}, before"], found[f"{kind.name}, after"]))
    except BenchmarkError as error:
        print(f"The comparison cannot go on: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(targets, ignore_errors=True)
        print("\n| case | before, s | after, s | ratio | |\n|---|---|---|---|---|", *rows, sep="\n")
    return int(any(row.endswith("slower |") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
