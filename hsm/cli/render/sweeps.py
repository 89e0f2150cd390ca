"""Output of `hsm sweep`: the tasks of a draft, what was prepared, and the list of sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hsm.cli.json_document import print_document
from hsm.cli.render.printer import Printer, TextColumn
from hsm.cli.render.words import escape_text, format_count
from hsm.errors import ExitCode
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.prepared_sweep.resources import Resources, parse_walltime
from hsm.sweeps.command_line import format_command
from hsm.sweeps.draft import SweepDraft
from hsm.sweeps.listing import ListedSweep
from hsm.sweeps.tasks.values import encode_value


def show_draft(draft: SweepDraft, *, first: int = 1, as_json: bool) -> None:
    """Print what would be prepared: every task, and how the first one is started.

    Args:
        draft: The sweep, or what would be added to one of this name.
        first: The number of its first task.
        as_json: As a document.
    """
    request = draft.request
    folder = request.settings.outputs / request.name
    command = draft.fill(draft.make_form(request.name).make_record(draft.tasks[0]), folder=folder, number=first)
    if as_json:
        print_document("sweep run", {"dry_run": True, **_make_document(draft, folder, command)})
        return
    printer = Printer()
    n_excluded = request.definition.n_excluded
    left_out = f", {n_excluded} excluded" if n_excluded else ""
    printer.print_name((request.name, "bold"), f": {format_count(len(draft.tasks), 'task')}{left_out}")
    printer.print_many(_iter_table(draft, first))
    for line in _iter_facts(draft):
        printer.print(line, hang=2)
    printer.print(f"Command of task {first}:")
    printer.print_many([f"  {format_command(command)}"])
    printer.print_hint("Nothing was written. Without --dry-run it is submitted; --prepare writes its folder alone.")


def show_prepared(draft: SweepDraft, folder: PreparedFolder, *, as_json: bool) -> None:
    """Print what was prepared."""
    name = folder.folder.name
    command = draft.fill(draft.make_form(name).make_record(draft.tasks[0]), folder=folder.folder, number=1)
    if as_json:
        print_document("sweep run", {"dry_run": False, **_make_document(draft, folder.folder, command)})
        return
    printer = Printer()
    printer.print_name((name, "bold"), f": {format_count(len(draft.tasks), 'task')} prepared in {folder.folder}")
    for line in _iter_facts(draft):
        printer.print(line, hang=2)


def show_extended(name: str, n_added: int, *, as_json: bool) -> None:
    """Print how many tasks were added to a sweep."""
    if as_json:
        print_document("sweep run", {"dry_run": False, "sweep": name, "n_added": n_added})
    else:
        Printer().print_name((name, "bold"), f": {format_count(n_added, 'task')} added")


def show_sweep_list(sweeps: Sequence[ListedSweep], *, outputs: str, as_json: bool) -> None:
    """Print the sweeps of a project."""
    if as_json:
        rows = [_make_row(sweep) for sweep in sweeps]
        code = ExitCode.PARTIAL if any(sweep.problem for sweep in sweeps) else ExitCode.DONE
        print_document("sweep list", {"sweeps": rows}, code=code)
        return
    printer = Printer()
    if not sweeps:
        printer.print(f"No sweep was prepared in {outputs}. `hsm sweep run --prepare` prepares one.")
        return
    columns = [
        TextColumn("sweep"),
        TextColumn("tasks", is_number=True),
        TextColumn("mode"),
        TextColumn("created (UTC)"),
        TextColumn("state"),
    ]
    printer.print_table(columns, (_make_cells(sweep) for sweep in sweeps))


def _make_cells(sweep: ListedSweep) -> list[str]:
    found = sweep.prepared
    if found is None:
        return [sweep.name, "", "", "", sweep.problem]
    created = found.created.replace("T", " ").removesuffix("Z")
    return [sweep.name, str(found.n_tasks), found.mode.value, created, _name_state(sweep)]


def _name_state(sweep: ListedSweep) -> str:
    return "submitted" if sweep.is_submitted else "prepared"


def _make_row(sweep: ListedSweep) -> dict[str, object]:
    found = sweep.prepared
    if found is None:
        return {"sweep": sweep.name, "problem": sweep.problem}
    return {
        "sweep": sweep.name,
        "n_tasks": found.n_tasks,
        "mode": found.mode.value,
        "created": found.created,
        "state": _name_state(sweep),
        "snapshot": found.code.hash or None,
        "commit": found.code.commit or None,
        "metadata": dict(found.metadata),
        "problem": None,
    }


def _make_document(draft: SweepDraft, folder: Path, command: Sequence[str]) -> dict[str, object]:
    code = draft.code
    return {
        "sweep": folder.name,
        "folder": str(folder),
        "mode": draft.request.mode.value,
        "n_tasks": len(draft.tasks),
        "n_excluded": draft.request.definition.n_excluded,
        "tasks": list(draft.tasks),
        "words": list(command),
        "python": draft.python,
        "script": draft.script or None,
        "code": {
            "folder": str(code.folder),
            "snapshot": code.code.hash or None,
            "commit": code.code.commit or None,
            "is_changed": code.code.is_changed,
        },
        "resources": draft.resources.dump(),
    }


def _iter_table(draft: SweepDraft, first: int) -> Iterator[str]:
    """Yield the tasks as lines of a table: a column for each parameter that varies, nothing cut."""
    fixed = draft.request.definition.space.fixed
    names = [name for name in draft.request.definition.space.iter_names() if name not in fixed]
    rows = [["task", *map(escape_text, names)]]
    for number, task in enumerate(draft.tasks, first):
        cells = [escape_text(encode_value(task[name])) if name in task else "-" for name in names]
        rows.append([str(number), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        aligned = [cell.ljust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].rjust(widths[0]), *aligned]).rstrip()
    if fixed:
        yield "every task: " + ", ".join(f"{name}={encode_value(value)}" for name, value in fixed.items())


def _iter_facts(draft: SweepDraft) -> Iterator[str]:
    code = draft.code
    commit = (
        f" of {code.code.commit[:12]}{', with changes' if code.code.is_changed else ''}" if code.code.commit else ""
    )
    files = f" ({format_count(code.n_files, 'file')})" if code.n_files else ""
    yield (
        f"Code: snapshot {code.code.hash}{commit}{files}"
        if code.code.hash
        else "Code: the project as it is when a task starts"
    )
    said = draft.resources.dump()
    if said:
        shown = {key: "..." if key == "pre_script" else value for key, value in said.items()}
        yield "Resources: " + ", ".join(f"{key}={encode_value(value)}" for key, value in shown.items())
    if most := _describe_gpu_hours(draft.resources, len(draft.tasks)):
        yield most


def _describe_gpu_hours(resources: Resources, n_tasks: int) -> str:
    """Say how much the tasks use at most; empty where that is not known."""
    if not resources.gpus or resources.walltime is None:
        return ""
    hours = n_tasks * resources.gpus * (resources.nodes or 1) * parse_walltime(resources.walltime) / 3600
    return f"At most {hours:,.1f} GPU hours"
