"""What people see: every text, in a pipe, in terminals of several widths, and in odd locales."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hsm.cli.render import escape_text, show_error, show_lines, show_note, show_report, show_targets
from hsm.cli.render.sync.report import describe_streams
from hsm.cli.render.words import format_clock, format_count, format_part, format_seconds
from hsm.config.load import parse_document
from hsm.config.loaded import LoadedConfig
from hsm.errors import ConfigError, ExitCode, RefusedError, TargetError, UnreachableError
from hsm.model import PlanItem, Problem, Reason, Root, Run, RunState, SourceFile, SyncPlan
from hsm.sync.reports import State, SweepReport, SyncReport, TargetReport
from hsm.transfer.outcome import Outcome, Streams, TransferResult
from hsm.units import format_bytes
from tests.unit.cli.render.conftest import HOSTILE, HOSTILE_SHOWN, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SWEEP = "sweep_20251020_212836"

ESCAPED = {
    "plain text": ("run-1/files", "run-1/files"),
    "letters of all scripts": ("ä-名-é", "ä-名-é"),
    "an escape sequence": ("\x1b[31m", r"\x1b[31m"),
    "line breaks and a tab": ("a\nb\rc\td", r"a\nb\rc\td"),
    "other control characters": ("\x00\x07\x7f", r"\x00\x07\x7f"),
    "C1 control characters": ("\x9b31m", r"\u009b31m"),
    "bidirectional controls": ("\u202etxt.\u2066", r"\u202etxt.\u2066"),
    "line and paragraph separators": ("\u2028\u2029", r"\u2028\u2029"),
    "a zero-width space": ("a\u200bb", r"a\u200bb"),
    "a byte that is no UTF-8": ("a\udcff", r"a\xff"),
    "another surrogate": ("\ud800", r"\ud800"),
    "beyond the basic plane": ("\U000e0041", r"\U000e0041"),
    "what rich would take for markup": ("[bold]x[/bold]", "[bold]x[/bold]"),
}


@pytest.mark.parametrize(("text", "expected"), ESCAPED.values(), ids=ESCAPED)
def test_escape_text(text: str, expected: str) -> None:
    assert escape_text(text) == expected
    assert escape_text(expected) == expected


FORMATTED = {
    "no byte": (format_bytes(0), "0 B"),
    "just below a kilobyte": (format_bytes(999), "999 B"),
    "a kilobyte": (format_bytes(1000), "1.0 kB"),
    "rounds into the next unit": (format_bytes(999_960), "1.0 MB"),
    "does not round into the next unit": (format_bytes(999_940), "999.9 kB"),
    "beyond the largest unit": (format_bytes(5e18), "5000.0 PB"),
    "part in the unit of the whole": (format_part(400_000, 2_100_000_000), "0.0 of 2.1 GB"),
    "part of bytes": (format_part(3, 7), "3 of 7 B"),
    "one": (format_count(1, "file"), "1 file"),
    "none": (format_count(0, "file"), "0 files"),
    "thousands": (format_count(12_345, "run"), "12,345 runs"),
    "own plural": (format_count(2, "run is", "runs are"), "2 runs are"),
    "tenths of a second": (format_seconds(0.44), "0.4 s"),
    "nearly ten seconds": (format_seconds(9.97), "10 s"),
    "a minute": (format_seconds(59.6), "1 min 00 s"),
    "hours": (format_seconds(7_500), "2 h 05 min"),
    "clock of seconds": (format_clock(7.2), "0:07"),
    "clock of minutes": (format_clock(725), "12:05"),
    "clock of hours": (format_clock(3_605), "1:00:05"),
}


@pytest.mark.parametrize(("shown", "expected"), FORMATTED.values(), ids=FORMATTED)
def test_numbers(shown: str, expected: str) -> None:
    assert shown == expected


def item(run: str, name: str, reason: Reason, size: int = 1000, detail: str = "") -> PlanItem:
    root, path = (Root.WANDB, f"{run}/{name}") if run else (Root.SWEEPS, f"outputs/{SWEEP}/{name}")
    return PlanItem(SourceFile(root, path, "/p", size, 1, 1, run), reason, detail)


def make_plan(runs: Iterable[Run], items: Iterable[PlanItem], **more: object) -> SyncPlan:
    return SyncPlan(SWEEP, tuple(runs), tuple(items), **more)  # type: ignore[arg-type]


def many(n: int, reason: Reason, prefix: str) -> tuple[list[Run], list[PlanItem]]:
    runs = [Run(f"{prefix}-{i:05d}", "/p/wandb", state=RunState.FINISHED, exit_code=0) for i in range(n)]
    return runs, [item(run.name, "x", reason) for run in runs]


RUNS = (
    Run("run-a", "/p", state=RunState.FINISHED, exit_code=0),
    Run("run-b", "/p", state=RunState.FAILED, exit_code=3),
    Run("run-c", "/p", state=RunState.RUNNING),
    Run("run-d", "/p", state=RunState.UNKNOWN),
)
ITEMS = (
    item("", "config.yaml", Reason.NEW, 300),
    item("run-a", "1.png", Reason.SUPERSEDED, 5, "superseded by step 70"),
    item("run-a", "2.png", Reason.SUPERSEDED, 5, "superseded by step 70"),
    item("run-a", "3.png", Reason.NEW, 1_200_000),
    item("run-a", "4.ckpt", Reason.EXCLUDED, 7, "excluded by the configuration"),
    item("run-b", "1", Reason.SIZE),
    item("run-b", "2", Reason.SAME),
    item("run-b", "3", Reason.CONFLICT, 1, "newer at the destination"),
    item("run-c", "1", Reason.NEW),
    item("run-c", "run-c.wandb.synced", Reason.UNFINISHED, 0, "the run has no exit record"),
    item("run-d", "1", Reason.SAME),
)
PLAN = make_plan(RUNS, ITEMS, deeper={"logs": 200, "tasks": 14})
CONFLICTS = tuple(
    Problem(f"run-b/{i}", "conflict", "Kept as it is: newer at the destination.", "Look at both.") for i in range(8)
)
NOTICE = Problem("run-y", "young_log", "The log is too young.", is_failure=False)
UNREACHABLE = UnreachableError(
    "laptop refused the connection", hint="is its ssh server running?", detail="ssh: refused\x1b[2J\r\nbye"
)


def planned(plan: SyncPlan, name: str = "desktop", **more: object) -> TargetReport:
    return TargetReport(name, State.PLANNED, ExitCode.DONE, plan=plan, **more)  # type: ignore[arg-type]


def make_result(plan: SyncPlan, *outcomes: Outcome, **more: object) -> TransferResult:
    keys = [(file.root, file.path) for file in plan.sends]
    files = {(file.root, file.path): file for file in plan.sends}
    return TransferResult(dict(zip(keys, outcomes, strict=False)), files, **more)  # type: ignore[arg-type]


def report(*targets: TargetReport, is_dry_run: bool = False, direction: str = "push") -> SyncReport:
    return SyncReport("sync to", direction, is_dry_run, (SweepReport(SWEEP, targets),))


def show(capsys: pytest.CaptureFixture[str], shown: SyncReport, *, verbosity: int = 0, is_quiet: bool = False) -> str:
    show_report(shown, verbosity=verbosity, is_quiet=is_quiet)
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def squeeze(text: str) -> list[str]:
    return [re.sub(" +", " ", line).strip() for line in text.splitlines()]


def test_dry_run_by_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert squeeze(show(capsys, report(planned(PLAN), is_dry_run=True))) == [
        f"{SWEEP} to desktop, dry run",
        "run state change files bytes left out",
        "(sweep folder) new 1 300 B",
        "run-a finished new 1 1.2 MB 2 superseded, 1 excluded",
        "run-b failed (code 3) updated 1 1.0 kB 1 conflict",
        "run-c running new 1 1.0 kB 1 upload mark of an unfinished run",
        "run-d unknown unchanged",
        "total 4 1.2 MB 2 superseded, 1 excluded, 1 upload mark of an unfinished run, 1 conflict",
        "4 runs: 2 new, 1 updated, 1 unchanged; 1 finished, 1 failed, 1 running, 1 unknown",
        "2 files are there already",
        "214 files in logs/, tasks/ left out: max_depth 1",
        "",
        "Nothing was touched. The same command without --dry-run sends it.",
    ]


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    lines = show(capsys, report(planned(PLAN), is_dry_run=True)).splitlines()
    header, folder, run_a = lines[1], lines[2], lines[3]
    assert header.index("state") == run_a.index("finished")
    assert header.index("bytes") + len("bytes") == run_a.index("1.2 MB") + len("1.2 MB")
    assert header.index("left out") == run_a.index("2 superseded")
    assert folder == folder.rstrip()


def test_dry_run_by_file(capsys: pytest.CaptureFixture[str]) -> None:
    lines = squeeze(show(capsys, report(planned(PLAN), is_dry_run=True), verbosity=1))
    assert f"send new 300 B sweeps/outputs/{SWEEP}/config.yaml" in lines
    assert "send size differs 1.0 kB wandb/run-b/1" in lines
    assert "leave superseded 5 B wandb/run-a/1.png (superseded by step 70)" in lines
    assert "leave conflict 1 B wandb/run-b/3 (newer at the destination)" in lines
    assert not any("wandb/run-b/2" in line for line in lines)


def test_files_that_are_the_same_are_listed_under_vv(capsys: pytest.CaptureFixture[str]) -> None:
    lines = squeeze(show(capsys, report(planned(PLAN), is_dry_run=True), verbosity=2))
    assert "leave same 1.0 kB wandb/run-b/2" in lines


def test_a_sweep_of_ten_thousand_runs_stays_readable(capsys: pytest.CaptureFixture[str]) -> None:
    new, same = many(9000, Reason.NEW, "run-n"), many(1000, Reason.SAME, "run-s")
    upd = many(3, Reason.TIME, "run-u")
    plan = make_plan(new[0] + same[0] + upd[0], new[1] + same[1] + upd[1])
    lines = squeeze(show(capsys, report(planned(plan), is_dry_run=True)))
    assert sum(line.startswith("run-n-") for line in lines) == 20
    assert "... and 8,980 more new runs 8,980 9.0 MB" in lines
    assert "3 updated runs 3 3.0 kB" in lines
    assert "1,000 unchanged runs" in lines
    assert len(lines) < 40


def test_verbose_folds_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    new, same = many(30, Reason.NEW, "run-n"), many(30, Reason.SAME, "run-s")
    plan = make_plan(new[0] + same[0], new[1] + same[1])
    lines = squeeze(show(capsys, report(planned(plan), is_dry_run=True), verbosity=1))
    assert sum(" finished " in line for line in lines) == 60


def test_an_unchanged_run_with_a_conflict_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    same = many(30, Reason.SAME, "run-s")
    plan = make_plan(same[0], [*same[1], item("run-s-00007", "y", Reason.CONFLICT)])
    lines = squeeze(show(capsys, report(planned(plan), is_dry_run=True)))
    assert "run-s-00007 finished unchanged 1 conflict" in lines
    assert "... and 29 more unchanged runs" in lines


def test_dry_run_with_nothing_to_send(capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(RUNS[:1], [item("run-a", "1", Reason.SAME)])
    out = show(capsys, report(planned(plan), is_dry_run=True))
    assert out.endswith("Nothing was touched, and there is nothing to send.\n")
    assert "1 file is there already" in out


OUTCOMES = {
    "done": (
        TargetReport(
            "desktop",
            State.DONE,
            ExitCode.DONE,
            plan=PLAN,
            result=make_result(PLAN, *[Outcome.SENT] * 4),
            seconds={"check": 0.4, "transfer": 1.0},
        ),
        ["done: 3 runs, 4 files, 1.2 MB in 1.4 s", "left out: 2 superseded, 2 excluded", "2 files are unchanged"],
    ),
    "nothing to do": (
        TargetReport("desktop", State.NOTHING_TO_DO, ExitCode.DONE, plan=make_plan(RUNS[:1], [])),
        ["nothing to do: 1 run is there already"],
    ),
    "nothing to do without runs": (
        TargetReport("desktop", State.NOTHING_TO_DO, ExitCode.DONE, plan=make_plan([], [item("", "a", Reason.SAME)])),
        ["nothing to do: 1 file is there already"],
    ),
    "nothing at all": (
        TargetReport("desktop", State.NOTHING_TO_DO, ExitCode.DONE, plan=make_plan([], [])),
        ["nothing to do: the sweep has no files to send"],
    ),
    "partial": (
        TargetReport(
            "desktop",
            State.PARTIAL,
            ExitCode.PARTIAL,
            plan=PLAN,
            result=make_result(PLAN, Outcome.SENT, Outcome.SENT, Outcome.FAILED, Outcome.UNSETTLED),
        ),
        [
            "partial: 2 of 4 files (1.2 of 1.2 MB) sent",
            "still open: 1 conflict, 1 changed meanwhile, 1 failed",
            "1 of 4 runs complete; 1 running, 1 unknown",
        ],
    ),
    "partial with problems alone": (
        TargetReport(
            "desktop", State.PARTIAL, ExitCode.PARTIAL, plan=make_plan([], []), problems=(CONFLICTS[0], NOTICE)
        ),
        ["partial: there was nothing to send, 1 problem"],
    ),
    "interrupted": (
        TargetReport(
            "desktop",
            State.INTERRUPTED,
            ExitCode.INTERRUPTED,
            plan=PLAN,
            result=make_result(PLAN, Outcome.SENT, is_interrupted=True),
        ),
        [
            "interrupted: 1 of 4 files (0.0 of 1.2 MB) have arrived for certain",
            "Next: run the same command again: it goes on from there.",
        ],
    ),
    "refused": (
        TargetReport(
            "desktop",
            State.REFUSED,
            ExitCode.REFUSED,
            plan=PLAN,
            error=RefusedError("/data needs 5 bytes.\nAnd inodes.", hint="Free some.", kind="space"),
        ),
        ["refused: nothing was sent", "Error: /data needs 5 bytes.", "And inodes.", "Next: Free some."],
    ),
    "unreachable": (
        TargetReport("laptop", State.UNREACHABLE, ExitCode.UNREACHABLE, error=UNREACHABLE),
        [
            "unreachable: nothing was sent",
            "Error: laptop refused the connection",
            "Next: is its ssh server running?",
        ],
    ),
    "not compared": (
        TargetReport(
            "desktop",
            State.DONE,
            ExitCode.DONE,
            plan=make_plan(RUNS[:1], [item("run-a", "1", Reason.UNCHECKED)], is_checked=False),
        ),
        ["conflicts not checked (check_remote_first: false)"],
    ),
}


@pytest.mark.parametrize(("target", "expected"), OUTCOMES.values(), ids=OUTCOMES)
def test_summary(target: TargetReport, expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = squeeze(show(capsys, report(target)))
    assert [line for line in expected if line not in lines] == []
    assert not any(line.startswith(("Nothing was touched", "In all")) for line in lines)


def test_a_sweep_that_is_wholly_there_takes_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(RUNS[:1], [item("run-a", "1", Reason.SAME)])
    out = show(capsys, report(TargetReport("desktop", State.NOTHING_TO_DO, ExitCode.DONE, plan=plan)))
    assert out.splitlines() == [f"{SWEEP} to desktop", "  nothing to do: 1 run is there already"]


def test_a_pull_says_from(capsys: pytest.CaptureFixture[str]) -> None:
    out = show(capsys, report(OUTCOMES["unreachable"][0], direction="pull"))
    assert out.startswith(f"{SWEEP} from laptop\n")


def partial(*problems: Problem) -> SyncReport:
    return report(TargetReport("desktop", State.PARTIAL, ExitCode.PARTIAL, plan=PLAN, problems=problems))


def test_problems_are_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    lines = squeeze(show(capsys, partial(*CONFLICTS, NOTICE)))
    begin = lines.index("conflict (8)")
    assert lines[begin:] == [
        "conflict (8)",
        "Kept as it is: newer at the destination.",
        *[f"run-b/{i}" for i in range(5)],
        "... and 3 more; -v lists them all",
        "Next: Look at both.",
        "note: young log",
        "The log is too young.",
        "run-y",
    ]


def test_verbose_lists_every_path_of_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    lines = squeeze(show(capsys, partial(*CONFLICTS), verbosity=1))
    assert [line for line in lines if line.startswith("run-b/")] == [f"run-b/{i}" for i in range(8)]
    assert not any("more" in line for line in lines)


def test_verbose_shows_detail_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    error = TargetError("The disk is full", hint="free some", detail="rsync: no space\x1b[2J\r\nline two\n")
    target = TargetReport(
        "desktop",
        State.FAILED,
        ExitCode.PARTIAL,
        plan=PLAN,
        error=error,
        seconds={"login": 0.31, "transfer": 75.0},
    )
    out = show(capsys, report(target), verbosity=1)
    assert "    rsync: no space\\x1b[2J\n    line two\n" in out
    assert "time: login 0.3 s, transfer 1 min 15 s" in out
    assert "no space" not in show(capsys, report(target))


def test_quiet_shows_what_went_wrong_alone(capsys: pytest.CaptureFixture[str]) -> None:
    bad = TargetReport("bad", State.PARTIAL, ExitCode.PARTIAL, plan=PLAN, problems=(CONFLICTS[0], NOTICE))
    out = show(capsys, report(OUTCOMES["done"][0], bad, OUTCOMES["unreachable"][0]), is_quiet=True)
    assert squeeze(out) == [
        f"{SWEEP} to bad",
        "partial: nothing was sent, 1 problem",
        "conflict",
        "Kept as it is: newer at the destination.",
        "run-b/0",
        "Next: Look at both.",
        "",
        f"{SWEEP} to laptop",
        "unreachable: nothing was sent",
        "Error: laptop refused the connection",
        "Next: is its ssh server running?",
    ]
    assert show(capsys, report(OUTCOMES["done"][0]), is_quiet=True) == ""


WHOLE = {
    "a run": (False, "In all: 1 done, 1 unreachable (laptop); 4 files, 1.2 MB sent"),
    "a dry run": (True, "In all: 1 done, 1 unreachable (laptop); 4 files, 1.2 MB to send"),
}


@pytest.mark.parametrize(("is_dry_run", "expected"), WHOLE.values(), ids=WHOLE)
def test_several_targets_are_summed_up(
    is_dry_run: bool,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    targets = (OUTCOMES["done"][0], OUTCOMES["unreachable"][0])
    assert expected in show(capsys, report(*targets, is_dry_run=is_dry_run)).splitlines()


def test_an_error_of_the_whole_call_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    out = show(capsys, SyncReport("sync to", "push", is_dry_run=False, error=UNREACHABLE), is_quiet=True)
    assert out == "Error: laptop refused the connection\nNext: is its ssh server running?\n"


def hostile_report(*, is_dry_run: bool) -> SyncReport:
    plan = make_plan([Run(HOSTILE, "/p", state=RunState.FINISHED, exit_code=0)], [item(HOSTILE, HOSTILE, Reason.NEW)])
    problem = Problem(HOSTILE, "failed", f"rsync: {HOSTILE}", f"look at {HOSTILE}")
    error = TargetError(f"no {HOSTILE}".replace("\n", ""), detail=HOSTILE)
    state = State.PLANNED if is_dry_run else State.PARTIAL
    target = TargetReport("t", state, ExitCode.PARTIAL, plan=plan, problems=(problem,), error=error)
    return report(target, is_dry_run=is_dry_run)


@pytest.mark.parametrize("is_dry_run", [True, False], ids=["dry run", "run"])
@pytest.mark.parametrize("width", [80, 160])
def test_hostile_names_do_nothing_to_a_terminal(
    is_dry_run: bool,
    width: int,
    terminal: Callable[[int], Terminal],
) -> None:
    stream = terminal(width)
    show_report(hostile_report(is_dry_run=is_dry_run), verbosity=1, is_quiet=False)
    written = stream.getvalue()
    assert set(re.findall("\x1b[^m]*m", written)) <= {"\x1b[0m", "\x1b[1m", "\x1b[32m", "\x1b[1;31m", "\x1b[1;33m"}
    unstyled = re.sub("\x1b[^m]*m", "", written)
    assert all(line.isprintable() for line in unstyled.split("\n"))
    assert HOSTILE_SHOWN in unstyled


WIDTHS = {"narrow": 80, "wide": 160}


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_lines_fit_into_a_terminal(width: int, terminal: Callable[[int], Terminal]) -> None:
    name = "offline-run-20251020_212900-aaaaaaaa"
    runs = [Run(name, "/p", state=RunState.FAILED, exit_code=137)]
    items = [item(name, str(i), reason) for i, reason in enumerate(reason for reason in Reason for _ in range(1200))]
    stream = terminal(width)
    show_report(report(planned(make_plan(runs, items)), is_dry_run=True), verbosity=0, is_quiet=False)
    lines = re.sub("\x1b[^m]*m", "", stream.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line.rstrip().endswith("\u2026") for line in lines)
    assert any("1,200 conflicts" in line for line in lines)


def test_paths_stay_whole_in_a_narrow_terminal(terminal: Callable[[int], Terminal]) -> None:
    path = "wandb/" + "a" * 200
    stream = terminal(40)
    show_report(partial(Problem(path, "failed", "It did not arrive.")), verbosity=0, is_quiet=False)
    assert path in stream.getvalue()


def test_sentences_wrap_between_words(terminal: Callable[[int], Terminal]) -> None:
    stream = terminal(30)
    show_note("one two three four five six seven eight")
    assert stream.getvalue() == "one two three four five six\nseven eight\n"


def test_nothing_is_wrapped_or_coloured_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    message = "word " * 60 + "end."
    out = show(capsys, partial(Problem("p" * 300, "failed", message)))
    assert message in out
    assert "p" * 300 in out
    assert "\x1b" not in out


def test_no_color(monkeypatch: pytest.MonkeyPatch, terminal: Callable[[int], Terminal]) -> None:
    stream = terminal(80)
    show_error(UNREACHABLE, verbosity=0)
    assert "\x1b[1;31m" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream = terminal(80)
    show_error(UNREACHABLE, verbosity=0)
    assert "31m" not in stream.getvalue()


ASCII_PROGRAM = """
from hsm.cli.render import *
from hsm.errors import UsageError
from hsm.progress import *
show_lines(["caf\\u00e9 \\u540d \\udcff"])
show_note("caf\\u00e9 \\u540d")
show_error(UsageError("no caf\\u00e9"), verbosity=0)
with make_reporter(is_quiet=False, targets=["\\u540d"]) as reporter:
    reporter.report(StepStarted("\\u540d", "login"))
"""


def test_an_ascii_locale_raises_nothing(hsm_root: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", ASCII_PROGRAM],
        env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONPATH": str(hsm_root)},
        capture_output=True,
        check=True,
    )
    assert completed.stdout == b"caf\\xe9 \\u540d \\xff\n"
    assert completed.stderr.decode("ascii").splitlines() == [
        r"caf\xe9 \u540d",
        r"Error: no caf\xe9",
        r"\u540d: logging in",
    ]


@pytest.fixture
def hsm_root() -> Path:
    return Path(__file__).parents[3]


def test_importing_loads_no_rich(hsm_root: Path) -> None:
    program = "import sys, hsm.cli.render; assert 'rich' not in sys.modules, 'rich is loaded'"
    subprocess.run([sys.executable, "-c", program], cwd=hsm_root, check=True)


ERRORS = {
    "message and hint": (
        UNREACHABLE,
        0,
        "Error: laptop refused the connection\nNext: is its ssh server running?\n",
    ),
    "detail under -v": (
        UNREACHABLE,
        1,
        "Error: laptop refused the connection\nNext: is its ssh server running?\n  ssh: refused\\x1b[2J\n  bye\n",
    ),
    "a list keeps its lines": (
        ConfigError("the file has 2 problems:\n  line 1  a: x\n  line 2  b: y"),
        0,
        "Error: the file has 2 problems:\n  line 1  a: x\n  line 2  b: y\n",
    ),
    "further sentences stand below the first": (
        RefusedError("one.\ntwo.", hint="do this\nor that"),
        0,
        "Error: one.\n       two.\nNext: do this\n      or that\n",
    ),
    "markup is text": (ConfigError("[red]x[/red] [/]"), 0, "Error: [red]x[/red] [/]\n"),
}


@pytest.mark.parametrize(("error", "verbosity", "expected"), ERRORS.values(), ids=ERRORS)
def test_show_error(error: ConfigError, verbosity: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_error(error, verbosity=verbosity)
    assert capsys.readouterr() == ("", expected)


def test_show_lines_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    show_lines(["a", "b\x1b[2Jc\nd", ""])
    show_note("first\nsecond")
    assert capsys.readouterr() == ("a\nb\\x1b[2Jc\\nd\n\n", "first\nsecond\n")


CONFIG = """
default_target: desktop
source: {wandb: runs}
sync_targets:
  desktop:
    host: lw1115.example.org
    user: gb21
    port: 2222
    rsync_path: /opt/bin/rsync
    paths: {sweeps: /data/sweeps, wandb: /data/wandb}
    ssh: {identity_file: ~/.ssh/id_hpc, options: {ServerAliveInterval: 15}}
    options: {latest_only: uploaded, max_depth: null, exclude: ["*.ckpt"], parallel_transfers: 4}
  six:
    host: "::1"
    port: 22
    paths: {sweeps: ~/p/sweeps, wandb: ~/p/wandb}
  alias:
    host: alias
    paths: {sweeps: ~/p/sweeps, wandb: ~/p/wandb}
"""


def test_show_targets(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("/proj/.hsm/sync_config.yaml")
    show_targets(LoadedConfig(parse_document(CONFIG, "config")[0].make(), path, path.parent.parent))
    assert squeeze(capsys.readouterr().out) == [
        "Configuration: /proj/.hsm/sync_config.yaml",
        "Source: wandb: runs",
        "",
        "target setting value",
        "desktop (default) address gb21@lw1115.example.org:2222",
        "sweeps /data/sweeps",
        "wandb /data/wandb",
        "rsync_path /opt/bin/rsync",
        "options latest_only: uploaded",
        "options max_depth: null",
        "options exclude: *.ckpt",
        "ssh identity_file: ~/.ssh/id_hpc",
        "ssh ServerAliveInterval 15",
        "six address [::1]:22 (user: ssh decides)",
        "sweeps ~/p/sweeps",
        "wandb ~/p/wandb",
        "alias address alias (user and port: ssh decides)",
        "sweeps ~/p/sweeps",
        "wandb ~/p/wandb",
        "",
        "3 targets; default: desktop; what is not shown has its default",
    ]


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        pytest.param(
            Streams("rsync", 4, 0.0403, "zstd"),
            "streams: 4 of rsync, since a round trip takes 40 ms; compressed with zstd",
            id="far away",
        ),
        pytest.param(
            Streams("rsync", 1, 0.00042),
            "streams: 1 of rsync, since a round trip takes 0.4 ms; not compressed",
            id="near",
        ),
        pytest.param(Streams("sftp", 2), "streams: 2 of sftp; not compressed", id="not measured"),
        pytest.param(
            Streams("rsync", 2, 0.0),
            "streams: 2 of rsync, since a round trip takes 0.0 ms; not compressed",
            id="at once",
        ),
    ],
)
def test_streams_are_told_with_their_reason(streams: Streams, expected: str) -> None:
    assert describe_streams(streams) == expected
