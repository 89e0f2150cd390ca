"""Reader of a sweep's definition, which reports all its mistakes at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from hsm.config.sections import list_keys, validate
from hsm.config.yaml.core_schema import compose_core, make_core_builder
from hsm.config.yaml.document import Finding, is_null, make_dotted, show_value
from hsm.config.yaml.findings import FileForm
from hsm.errors import ConfigError
from hsm.prepared_sweep.document import ArgumentStyle
from hsm.sweeps.definition.schema import Definition
from hsm.sweeps.definition.space import Fault, SpaceReader
from hsm.sweeps.tasks.arguments import CommandForm, check_parameter
from hsm.sweeps.tasks.space import ParameterSpace, expand_space
from hsm.sweeps.tasks.values import Parameters, make_task_key
from hsm.user_files import FileFlaw, FlawedFileError, read_config_file

MOST_TASKS = 100_000
"""Of one sweep. A grid of more is a slip far more often than a plan."""

# Room for 100,000 tasks that are written out.
_MAX_BYTES = 32 * 1024 * 1024

DEFINITION_FORM = FileForm(
    Definition, "bad_definition", "correct the file, then look at it with `hsm sweep run --dry-run --config FILE`"
)


@dataclass(frozen=True, slots=True)
class LoadedDefinition:
    """Definition of a sweep, and its tasks.

    Attributes:
        definition: As it was read.
        space: Of its parameters.
        tasks: The parameters of each task; the first one is task 1.
        n_excluded: Tasks that were left out.
        content: The file, byte for byte.
        shown: Its name in messages.
    """

    definition: Definition
    space: ParameterSpace
    tasks: tuple[Parameters, ...]
    n_excluded: int
    content: bytes
    shown: str


def load_definition(path: Path, shown: str = "") -> LoadedDefinition:
    """Read a definition and make its tasks.

    Args:
        path: The file.
        shown: Its name in messages; default: the path.

    Raises:
        ConfigError: It cannot be read or is wrong (kind `bad_definition`, `bad_yaml`); the message lists every mistake.
    """
    shown = shown or str(path)
    try:
        text = read_config_file(path, shown, noun="definition of a sweep", most_bytes=_MAX_BYTES)
    except FlawedFileError as error:
        hint = "name one with --config FILE; `hsm sweep init` writes one to begin with"
        hint = error.hint or (hint if error.flaw is FileFlaw.MISSING else "correct the file")
        raise ConfigError(str(error), hint=hint, kind="bad_definition") from None
    return parse_definition(text, shown)


def parse_definition(text: str, shown: str) -> LoadedDefinition:
    """Make the definition that a document describes, and its tasks. Raises as `load_definition`."""
    root = compose_core(text, shown)
    if root is None or is_null(root):
        hint = "`hsm sweep init` writes one to begin with"
        raise ConfigError(f"{shown} is empty", hint=hint, kind="bad_definition")
    if not isinstance(root, yaml.MappingNode):
        found = f"found {show_value(root)}, allowed: {list_keys(Definition)}"
        raise DEFINITION_FORM.make_error([Finding(root.start_mark.line + 1, make_dotted(()), found)], shown)
    builder = make_core_builder()
    data = builder.make_value(root, ())
    outcome = validate(Definition, data)
    if not isinstance(outcome, Definition):
        findings = [*builder.findings, *(DEFINITION_FORM.make_finding(error, root) for error in outcome)]
        raise DEFINITION_FORM.make_error(findings, shown)
    written = data["sweep"] if isinstance(data, dict) else {}
    space, faults = _read_space(outcome, written)
    tasks: tuple[Parameters, ...] = ()
    n_excluded = 0
    if not faults:
        expansion = expand_space(space)
        tasks, n_excluded = expansion.tasks, space.count() - len(expansion.tasks)
        faults += _iter_faults(space, tasks, expansion.excluded)
    faults += _iter_name_faults(outcome, space)
    findings = [*builder.findings, *(_make_finding(fault, root) for fault in faults)]
    if findings:
        raise DEFINITION_FORM.make_error(findings, shown)
    return LoadedDefinition(outcome, space, tasks, n_excluded, text.encode(), shown)


def make_command_form(definition: Definition, *, script: str, group: str) -> CommandForm:
    """Make the form of the commands.

    Args:
        definition: The definition.
        script: The script, which may be the project's.
        group: The value of `wandb.group`.
    """
    style = ArgumentStyle(definition.arguments)
    return CommandForm(style, definition.command, script, group, definition.passed)


def _read_space(definition: Definition, written: Mapping[str, object]) -> tuple[ParameterSpace, list[Fault]]:
    style = ArgumentStyle(definition.arguments)
    reader = SpaceReader(definition.sweep, written, partial(check_parameter, style))
    space = reader.read()
    faults = list(reader.faults)
    if not faults and (count := space.count()) > MOST_TASKS:
        faults.append(Fault(("sweep",), f"makes {count} tasks; the most is {MOST_TASKS}"))
    return space, faults


def _iter_name_faults(definition: Definition, space: ParameterSpace) -> Iterator[Fault]:
    """Find what is wrong with the names of the arguments that HSM adds."""
    names = set(space.iter_names())
    form = make_command_form(definition, script="", group="")
    for name, _ in form.list_added():
        if name in names:
            text = f"adds {name}, which is a parameter of the sweep too; `pass: {{{name}: null}}` leaves HSM's out"
            yield Fault(("pass",), text)
        elif problem := check_parameter(form.style, name, ""):
            yield Fault(("pass",), problem)


def _iter_faults(space: ParameterSpace, tasks: tuple[Parameters, ...], excluded: tuple[int, ...]) -> Iterator[Fault]:
    """Find what is wrong with the tasks as a whole."""
    n_all = space.count()
    if not n_all:
        yield Fault(("sweep",), "makes no task; name values in grid, paired, random or combinations")
        return
    known = set(space.iter_names())
    for index, (exclusion, count) in enumerate(zip(space.exclusions, excluded, strict=True)):
        place = ("sweep", "exclude", index)
        if unknown := [name for name in exclusion if name not in known]:
            yield Fault(place, f"names {unknown[0]!a}, which no task has; there are: {', '.join(known)}")
        elif not count:
            yield Fault(place, "leaves out nothing: no task has these values")
        elif count == n_all:
            yield Fault(place, "leaves out every task")
    if not tasks and all(count < n_all for count in excluded):
        yield Fault(("sweep", "exclude"), "leaves out every task, all of it together")
    yield from _iter_repeats(tasks)


def _iter_repeats(tasks: tuple[Parameters, ...]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for number, task in enumerate(tasks, 1):
        former = first.setdefault(make_task_key(task), number)
        if former != number:
            yield Fault(("sweep",), f"makes one task twice: {former} and {number} are the same")
            return


def _make_finding(fault: Fault, root: yaml.Node) -> Finding:
    line, _ = DEFINITION_FORM.locate(root, fault.location)
    return Finding(line, make_dotted(fault.location), fault.text)
