"""View of a project that `hsm` alone shows: its sweeps, each in a line, and what to type next."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from hsm.cli.render.printer import Printer, TextColumn
from hsm.cli.render.words import format_count, name_sweep
from hsm.sync.status.glance import ProjectGlance, SweepGlance, TargetGlance

_MOST_SWEEPS = 10


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
        names = {target.name for sweep in shown for target in sweep.targets} or set(glance.targets)
        is_named = len(names) > 1  # else the header says it
        rows = [
            (name_sweep(sweep.sweep), _describe_runs(sweep), _describe_targets(sweep, now, is_named=is_named))
            for sweep in shown
        ]
        way = "at" if glance.direction == "to" else "from"
        header = "synced" if is_named else " ".join((way, *names))
        printer.print_table((TextColumn("sweep"), TextColumn("runs"), TextColumn(header)), rows, indent=2)
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
    is_open = [not sweep.targets or not all(target.is_complete for target in sweep.targets) for sweep in glance.sweeps]
    if not any(is_open) and not glance.new:
        return "`hsm sync report latest` shows the results; all that is known is complete."
    number = is_open.index(True) if any(is_open) else 0
    word = name_sweep(glance.sweeps[number].sweep) if number else "latest"
    verb = "sends" if glance.direction == "to" else "gets"
    return f"`hsm sync {glance.direction} {shlex.quote(word)}` {verb} what is new."


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


def _describe_targets(sweep: SweepGlance, now: float, *, is_named: bool) -> str:
    words = (f"{f'{target.name}: ' * is_named}{_describe_target(target, now)}" for target in sweep.targets)
    return "; ".join(words) or "never synced"


def _describe_target(target: TargetGlance, now: float) -> str:
    state = "complete" if target.is_complete else f"{target.n_complete:,} of {target.n_runs:,} complete"
    age = f", {format_age(now - target.updated_ns / 10**9)}" if target.updated_ns else ""
    return f"{'ended with an error' if target.is_failed else state}{age}"
