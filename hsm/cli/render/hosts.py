"""Tables and lines of `hsm hosts`: the inventory, answers, and commands that ran."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hsm.cli.render.printer import Part, Printer, TextColumn
from hsm.cli.render.words import format_count, format_seconds

if TYPE_CHECKING:
    from hsm.hosts.inventory.node import ClusterNode
    from hsm.hosts.reach.check import HostCheck
    from hsm.hosts.reach.run import HostRun
    from hsm.hosts.reach.vitals import Vitals
    from hsm.hosts.scores.node_scores import NodeScores

_LIST_COLUMNS = (
    TextColumn("machine"),
    TextColumn("status"),
    TextColumn("role"),
    TextColumn("address"),
    TextColumn("cpus", is_number=True),
    TextColumn("memory", is_number=True),
    TextColumn("gpu"),
)
_CHECK_COLUMNS = (
    TextColumn("machine"),
    TextColumn("tcp"),
    TextColumn("ssh"),
    TextColumn("http"),
    TextColumn("round trip", is_number=True),
    TextColumn("load", is_number=True),
    TextColumn("gpus free", is_number=True),
    TextColumn("address"),
)
_SCORE_COLUMNS = (
    TextColumn("machine"),
    TextColumn("rows", is_number=True),
    TextColumn("new", is_number=True),
    TextColumn("missing", is_number=True),
    TextColumn("changed", is_number=True),
    TextColumn("last pull", is_number=True),
    TextColumn("largest difference", is_number=True),
    TextColumn("in step"),
)
_RUN_COLUMNS = (TextColumn("machine"), TextColumn("exit code", is_number=True), TextColumn("what happened"))


def show_inventory(nodes: Sequence[ClusterNode], path: str) -> None:
    """Print the machines, and in which file they stand."""
    printer = Printer()
    if path:
        printer.print_name(("Hosts file: ", "bold"), path)
        printer.print()
    if nodes:
        printer.print_table(_LIST_COLUMNS, [_make_list_row(node) for node in nodes])
        printer.print()
    n_active = sum(node.is_active for node in nodes)
    printer.print(f"{format_count(len(nodes), 'machine')}, {n_active} active")


def _make_list_row(node: ClusterNode) -> list[Part]:
    status: Part = node.status if node.is_active else (node.status, "dim")
    memory = f"{node.memory_gb} GB" if node.memory_gb else ""
    addresses = ", ".join(node.addresses) or "none"
    return [(node.name, "bold"), status, node.role, addresses, str(node.cpus or ""), memory, node.gpu]


def show_checks(checks: Sequence[HostCheck]) -> None:
    """Print what answers at each machine, what went wrong, and how many answer."""
    printer = Printer()
    printer.print_table(_CHECK_COLUMNS, [_make_check_row(check) for check in checks])
    printer.print()
    for check in checks:
        if check.message:
            printer.print((f"{check.name}: ", "bold"), check.message, indent=2, hang=2)
            if check.hint:
                printer.print_hint(check.hint, indent=4)
    n_silent = sum(check.is_active and not check.is_answering for check in checks)
    total = format_count(len(checks), "machine")
    printer.print(f"{total}: {sum(check.is_answering for check in checks)} answer, {n_silent} active without an answer")


def _make_check_row(check: HostCheck) -> list[Part]:
    name: Part = (check.name, "bold") if check.is_active else (check.name, "dim")
    seconds = check.round_trip_seconds
    return [
        name,
        _show_state(check.tcp),
        _show_state(check.ssh),
        _show_state(check.http),
        "" if seconds is None else f"{1000 * seconds:.1f} ms",
        *_show_vitals(check.vitals),
        check.address,
    ]


def _show_state(state: str) -> Part:
    styles = {"ok": "green", "not checked": "dim"}
    return state.replace("_", " "), styles.get(state, "bold red")


def _show_vitals(vitals: Vitals | None) -> tuple[str, str]:
    if vitals is None:
        return "", ""
    load = "" if vitals.load is None else f"{vitals.load:.1f}"
    cpus = f" of {vitals.n_cpus}" if load and vitals.n_cpus else ""
    gpus = f"{sum(gpu.is_free for gpu in vitals.gpus)} of {len(vitals.gpus)}" if vitals.gpus else ""
    return load + cpus, gpus


def make_line_writer(names: Sequence[str]) -> Callable[[str, str], None]:
    """Return a function that prints a machine's line of output behind its name."""
    printer = Printer()
    width = max(map(len, names), default=0)

    def write(name: str, line: str) -> None:
        printer.print_name((f"{name:<{width}} | ", "bold"), line.expandtabs(4))

    return write


def show_runs(runs: Sequence[HostRun], *, seconds: float) -> None:
    """Print how a command ended at each machine."""
    printer = Printer()
    printer.print()
    printer.print_table(_RUN_COLUMNS, [_make_run_row(run) for run in runs])
    printer.print()
    for hint in dict.fromkeys(run.hint for run in runs if run.hint):
        printer.print_hint(hint)
    n_good = sum(run.exit_code == 0 and not run.error for run in runs)
    printer.print(f"{format_count(len(runs), 'machine')}: {n_good} ended with 0, in {format_seconds(seconds)}")


def _make_run_row(run: HostRun) -> list[Part]:
    code = "" if run.exit_code is None else str(run.exit_code)
    style = "green" if run.exit_code == 0 and not run.error else "bold red"
    return [(run.name, "bold"), (code, style), run.message or ("ended" if run.exit_code else "done")]


def show_scores(scores: Sequence[NodeScores], *, threshold: int) -> None:
    """Print how each machine's scores stand against the coordinator's."""
    printer = Printer()
    printer.print_table(_SCORE_COLUMNS, [_make_score_row(one) for one in scores])
    printer.print()
    n_diverged = sum(one.has_diverged for one in scores)
    machines = format_count(len(scores), "machine")
    printer.print(f"{machines}: {n_diverged} with a rating that differs by more than {threshold}")


def _make_score_row(one: NodeScores) -> list[Part]:
    ago = "" if one.last_sync is None else f"{format_seconds(max(0.0, time.time() - one.last_sync))} ago"
    name: Part = (f"{one.name} (coordinator)" if one.is_coordinator else one.name, "bold")
    found = one.comparison
    if found is None:
        return [name, "", "", "", "", ago, "", (one.problem, "bold red")]
    counts = [f"{n:,}" for n in (found.n_rows, found.n_new, found.n_missing, found.n_differing)]
    largest = "" if found.divergence is None else f"{found.divergence:.1f}"
    return [name, *counts, ago, largest, ("DIVERGED", "bold red") if one.has_diverged else ("yes", "green")]
