"""Draft of a sweep: everything that is to be prepared, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from hsm.errors import ConfigError, UsageError
from hsm.prepared_sweep.document import ArgumentStyle, ResumeRule, SweepMode
from hsm.prepared_sweep.records import Filling, TaskRecord, check_place, fill_words
from hsm.prepared_sweep.resources import Resources
from hsm.process.runner import Runner
from hsm.sweeps.code.capture import CapturedCode, CodeChoice, capture_code
from hsm.sweeps.definition.load import LoadedDefinition
from hsm.sweeps.project.interpreter import find_python
from hsm.sweeps.project.load import ProjectSettings
from hsm.sweeps.tasks.arguments import SCRIPT_WORD, CommandForm
from hsm.sweeps.tasks.values import Parameters

_MOST_SCRIPTS = 20


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """Request of a call.

    Attributes:
        definition: The sweep's, with its tasks.
        settings: The project's.
        name: The id; free, or it gets a number.
        mode: How tasks are to be started.
        code: What they are to run.
        most_tasks: Only the first tasks; 0 for all.
        asked: Resources of the command line, over those of the definition.
    """

    definition: LoadedDefinition
    settings: ProjectSettings
    name: str
    mode: SweepMode = SweepMode.AUTO
    code: CodeChoice = CodeChoice.AUTO
    most_tasks: int = 0
    asked: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SweepDraft:
    """A sweep that can be prepared.

    Attributes:
        request: What was asked for.
        tasks: Parameters by number, from 1.
        script: Relative to the code's folder, or absolute.
        python: The interpreter of this machine.
        code: That tasks run.
        asked: Resources of definition and command line.
        resources: Merged of all layers, for this machine.
    """

    request: SweepRequest
    tasks: Sequence[Parameters]
    script: str
    python: str
    code: CapturedCode
    asked: Mapping[str, object]
    resources: Resources

    @property
    def resume(self) -> ResumeRule | None:
        """The rule for tasks that go on after their time limit."""
        section = self.request.definition.definition.resume
        return ResumeRule(section.signal_seconds, section.times) if section else None

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of all tasks."""
        metadata, wandb = self.request.definition.definition.metadata, self.request.settings.file.wandb
        found = {"WANDB_PROJECT": metadata.wandb_project or wandb.project, "WANDB_ENTITY": wandb.entity}
        return {name: value for name, value in found.items() if value}

    def make_form(self, name: str) -> CommandForm:
        """Make the form of the commands of a sweep with this id."""
        definition = self.request.definition.definition
        style = ArgumentStyle(definition.arguments)
        return CommandForm(style, definition.command, self.script, name, definition.passed)

    def fill(self, record: TaskRecord, *, folder: Path, number: int) -> list[str]:
        """Return the words of a task's command as they are executed on this machine."""
        task = folder / "tasks" / f"task_{number}"
        places = {
            Filling.TASK: str(task),
            Filling.CODE: str(self.code.folder),
            Filling.PYTHON: self.python,
            Filling.PARAMETERS: str(task / "parameters.json"),
        }
        return fill_words(record.command, places)


def make_draft(request: SweepRequest, runner: Runner, *, dry_run: bool) -> SweepDraft:
    """Look for all that a sweep needs; without `dry_run`, take a snapshot of the code.

    Raises:
        ConfigError: Script or interpreter are missing, or resources contradict one another.
        UsageError: The project lies where tasks cannot be given its path, or its code is no code.
        TargetError: git or the snapshot failed.
    """
    settings, definition = request.settings, request.definition.definition
    check_place(str(settings.outputs), "the folder of sweeps")
    asked = _merge_asked(request)
    resources = _merge(request, asked)
    needs_script = any(SCRIPT_WORD in word for word in definition.command)
    script = _find_script(request) if needs_script or definition.script else ""
    python = find_python(settings.file.paths, settings.project)
    code = capture_code(
        settings.project,
        outputs=settings.file.paths.output_dir,
        choice=request.code,
        runner=runner,
        dry_run=dry_run,
    )
    tasks = request.definition.tasks
    chosen = tasks[: request.most_tasks] if request.most_tasks else tasks
    return SweepDraft(request, chosen, script, python, code, asked, resources)


def _merge_asked(request: SweepRequest) -> Mapping[str, object]:
    said = request.definition.definition.resources.dump()
    # One of the two counts, and the command line's does.
    dropped = {"mem": "mem_per_cpu", "mem_per_cpu": "mem"}
    for key in request.asked:
        said.pop(dropped.get(key, ""), None)
    extra = {**_get_options(said), **_get_options(request.asked)}
    return {**said, **request.asked, **({"extra": extra} if extra else {})}


def _get_options(said: Mapping[str, object]) -> Mapping[str, object]:
    extra = said.get("extra")
    return extra if isinstance(extra, Mapping) else {}


def _merge(request: SweepRequest, asked: Mapping[str, object]) -> Resources:
    try:
        return request.settings.merge(asked)
    except ValidationError as error:
        details = error.errors(include_url=False)
    lines = []
    for detail in details:
        place = ".".join(map(str, detail["loc"])) or "resources"
        lines.append(f"{place}: {detail.get('ctx', {}).get('error') or detail['msg']}")
    raise ConfigError(
        f"The resources of {request.definition.shown}, .hsm/config.yaml and the command line do not go together: "
        + "; ".join(lines),
        hint="Correct one of them, then look with `hsm sweep run --dry-run`.",
        kind="bad_resources",
    )


def _find_script(request: SweepRequest) -> str:
    settings = request.settings
    script = request.definition.definition.script or settings.file.paths.train_script
    if script is None:
        found = list_scripts(settings.project)
        there = f"; there are {', '.join(found)}" if found else ""
        raise ConfigError(
            f"{request.definition.shown} names no script, and neither does paths.train_script{there}",
            hint=f"Write `script: {found[0] if found else 'train.py'}` into {request.definition.shown}.",
            kind="no_script",
        )
    path = settings.project / script
    if not path.is_file():
        raise ConfigError(
            f"There is no script {path}",
            hint=f"Correct `script` in {request.definition.shown}.",
            kind="no_script",
        )
    if script.startswith("/"):
        check_place(script, "the script")
    return script


def list_scripts(project: Path) -> list[str]:
    """List what looks like a training script: `train*.py` in the project and one level below."""
    found = [path for pattern in ("train*.py", "*/train*.py") for path in sorted(project.glob(pattern))]
    plain = [path for path in found if path.is_file() and not path.parent.name.startswith(".")]
    return [str(path.relative_to(project)) for path in plain[:_MOST_SCRIPTS]]


def check_most(number: int | None) -> int:
    """Return the number of `--max-runs`; 0 for none.

    Raises:
        UsageError: It is no number of tasks.
    """
    if number is not None and number < 1:
        raise UsageError("--max-runs must be at least 1.", hint="Leave it out for all tasks.", kind="usage")
    return number or 0
