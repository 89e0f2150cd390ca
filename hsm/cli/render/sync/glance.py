"""What `hsm` alone shows of a project: its sweeps, each in a line, and what to type next."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from hsm.cli.render.printer import Printer, TextColumn
from hsm.cli.render.words import format_count, name_sweep
from hsm.sync.status.glance import ProjectGlance, SweepGlance, TargetGlance

_MOST_SWEEPS = 10
_COLUMNS = (TextColumn("sweep"), TextColumn("runs"), TextColumn("synced"))


def show_glance(project: Path, glance: ProjectGlance) -> None:
    """Print a project.

    Args:
        project: Its folder.
        glance: What is known of it.
    """
    printer = Printer()
    now = time.time()
    arrow = "pushes to" if glance.direction == "to" else "pulls from"
    printer.print((project.name, "bold"), f" {arrow} {', '.join(glance.targets) or 'no target'}", hang=2)
    if glance.sweeps:
        shown = glance.sweeps[:_MOST_SWEEPS]
        rows = [(name_sweep(sweep.sweep), _describe_runs(sweep), _describe_targets(sweep, now)) for sweep in shown]
        printer.print_table(_COLUMNS, rows, indent=2)
    if len(glance.sweeps) > _MOST_SWEEPS:
        printer.print(f"... and {len(glance.sweeps) - _MOST_SWEEPS:,} older ones: `hsm sync status`", indent=2)
    for target, n in glance.new.items():
        printer.print(f"{format_count(n, 'run')} here that no sync with {target} has met yet", indent=2)
    last = f"Last sync: {format_age(now - glance.updated_ns / 10**9)}." if glance.updated_ns else "Nothing synced yet."
    printer.print(f"{last} As this machine's records have it; `hsm sync status --check` asks the targets.", hang=2)
    printer.print_hint(make_next_line(glance))


def make_next_line(glance: ProjectGlance) -> str:
    """Make what to do next, a command first."""
    if not glance.sweeps and not glance.new:
        if glance.direction == "to" or not glance.targets:
            return "`hsm sync doctor` checks the targets; there is no sweep here yet."
        return f"`hsm sync list --sweeps -t {shlex.quote(glance.targets[0])}` shows which sweeps are there."
    failed = next((sweep for sweep in glance.sweeps if any(target.is_failed for target in sweep.targets)), None)
    if failed is not None:
        return (
            f"`hsm sync {glance.direction} {shlex.quote(name_sweep(failed.sweep))}`: its last sync ended with an error."
        )
    if not glance.sweeps:
        return "`hsm sync list --sweeps` shows which sweeps these runs are in."
    is_open = glance.new or any(
        not sweep.targets or not all(target.is_complete for target in sweep.targets) for sweep in glance.sweeps
    )
    if is_open:
        verb = "sends" if glance.direction == "to" else "gets"
        return f"`hsm sync {glance.direction} latest` {verb} what is new of the newest sweep."
    return "`hsm sync report latest` shows the results; all that is known is complete."


def format_age(seconds: float) -> str:
    """Return how long ago something was, as `just now`, `5 min ago`, `2 h ago` or `3 d ago`."""
    if seconds < 60:
        return "just now"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size):,} {unit} ago"
    return "just now"


def _describe_runs(sweep: SweepGlance) -> str:
    newest = max(sweep.targets, key=lambda target: target.updated_ns, default=None)
    if newest is None:
        return ""
    return ", ".join(f"{count:,} {state}" for state, count in sorted(newest.states.items())) or "0"


def _describe_targets(sweep: SweepGlance, now: float) -> str:
    return "; ".join(_describe_target(target, now) for target in sweep.targets) or "never"


def _describe_target(target: TargetGlance, now: float) -> str:
    n_open = target.n_runs - target.n_complete
    state = f"{n_open:,} of {format_count(target.n_runs, 'run')} not complete" if n_open else "complete"
    words = "ended with an error" if target.is_failed else state
    age = f", {format_age(now - target.updated_ns / 10**9)}" if target.updated_ns else ""
    return f"{target.name}: {words}{age}"
