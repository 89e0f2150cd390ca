"""Problems in groups: each message once, the paths below it, and the hint once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hsm.cli.render.printer import Printer
from hsm.cli.render.words import format_count
from hsm.model import Problem

_MOST_PATHS = 5  # of each kind: thousands of files may share one cause


def print_problems(
    printer: Printer, problems: Iterable[Problem], *, verbosity: int, is_quiet: bool, indent: int
) -> None:
    """Print failures and, apart from them, notices; each kind once, with up to five paths unless `-v`."""
    all_of_them = tuple(dict.fromkeys(problems))
    for is_failure in (True, False):
        groups: dict[str, list[Problem]] = {}
        for problem in all_of_them:
            if problem.is_failure is is_failure:
                groups.setdefault(problem.kind, []).append(problem)
        if is_quiet and not is_failure:
            continue
        for kind, group in groups.items():
            _print_group(printer, kind, group, most=len(group) if verbosity else _MOST_PATHS, indent=indent)


def _print_group(printer: Printer, kind: str, group: Sequence[Problem], *, most: int, indent: int) -> None:
    title = kind.replace("_", " ").replace("-", " ")
    count = f" ({len(group):,})" if len(group) > 1 else ""
    if group[0].is_failure:
        printer.print((f"{title}{count}", "bold red"), indent=indent)
    else:
        printer.print(f"note: {title}{count}", indent=indent)
    by_message: dict[str, list[Problem]] = {}
    for problem in group:
        by_message.setdefault(problem.message, []).append(problem)
    shown = [problem for members in by_message.values() for problem in members][:most]
    message = None
    for problem in shown:
        if problem.message != message:
            message = problem.message
            printer.print(message, indent=indent + 2, hang=2)
        if problem.path:
            printer.print_name(problem.path, indent=indent + 4)
    if len(group) > len(shown):
        printer.print(f"... and {len(group) - len(shown):,} more; -v lists them all", indent=indent + 4)
    for hint in dict.fromkeys(problem.hint for problem in shown if problem.hint):
        printer.print_hint(hint, indent=indent + 2)


def describe_problems(problems: Sequence[Problem]) -> str:
    """Return how many problems are failures, as `2 problems`; empty when there are none."""
    n_failures = sum(problem.is_failure for problem in dict.fromkeys(problems))
    return format_count(n_failures, "problem") if n_failures else ""
