"""Lines of `hsm sync verify`."""

from __future__ import annotations

from hsm.cli.render.words import name_sweep
from hsm.errors import ExitCode
from hsm.sync.verify.report import VerifyReport, VerifyVerdict


def describe_verdicts(report: VerifyReport) -> list[str]:
    """Return the report as lines for people; paths are not escaped yet."""
    lines = []
    for sweep, verdicts in report.sweeps.items():
        for verdict in verdicts:
            lines.append(f"{name_sweep(sweep)} at {verdict.target}: {_describe(verdict)}")
            for words, paths in (
                ("differs", verdict.different),
                ("is missing there", verdict.missing),
                ("is only there", verdict.only_there),
            ):
                lines += [f"  {path} {words}" for path in paths]
            lines += [f"  {problem.path}: {problem.message}" for problem in verdict.problems]
    return lines


def _describe(verdict: VerifyVerdict) -> str:
    if verdict.error is not None:
        hint = f" {verdict.error.hint}" if verdict.error.hint else ""
        return f"could not be verified. {verdict.error.message}{hint}"
    if verdict.exit_code is ExitCode.INTERRUPTED:
        return "interrupted, nothing is known."
    left = ", ".join(f"{n} {reason}" for reason, n in verdict.left.items())
    files = "1 file is" if verdict.n_equal == 1 else f"{verdict.n_equal:,} files are"
    words = f"{files} equal, by checksum of what was read from disk at both ends"
    if verdict.exit_code is not ExitCode.DONE:
        words = f"{words}; {len(verdict.different)} differ, {len(verdict.missing)} are missing there"
    return f"{words}{f'; not compared: {left}' if left else ''}."
