"""Models of `.hsm/config.yaml`, and of the defaults of user and site. Pure."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from hsm.config.rules.values import check_path, check_printable, check_target_name
from hsm.config.sections import Section
from hsm.prepared_sweep.resources import Resources
from hsm.sweep_folder import OUTPUTS
from hsm.sweeps.definition.schema import check_script

_Text = Annotated[str, AfterValidator(check_printable)]
_GPUS = re.compile(r"all|cpu|\d{1,3}(,\d{1,3})*", re.ASCII)

LEAST_ASK_SECONDS = 30
"""Between two questions to a scheduler in a loop, by default."""


def check_program_path(text: str) -> str:
    """Return the path or name of a program, `~` for the home folder allowed.

    Raises:
        ValueError: It cannot be one.
    """
    check_printable(text)
    if text.startswith("-") or any(character in text for character in "'\"\\$"):
        raise ValueError("is no plain path or name")
    return text


def _check_output(text: str) -> str:
    plain = check_script(text)
    if plain.startswith("/") or plain.rpartition("/")[2] != OUTPUTS:
        raise ValueError("is no folder of the project that is called outputs, where `hsm sync` looks for sweeps")
    return plain


def _make_gpus(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_gpus(text: str) -> str:
    if not _GPUS.fullmatch(text):
        raise ValueError("names no GPUs")
    return text


class ProjectSection(Section):
    """Words about the project."""

    name: _Text | None = Field(default=None, description="Its name, for people.", json_schema_extra={"allowed": "text"})
    root: _Text | None = Field(
        default=None,
        description="Its folder, for people; HSM takes the one that holds `.hsm/`.",
        json_schema_extra={"allowed": "text"},
    )


class ProjectPaths(Section):
    """Places in the project."""

    python_interpreter: Annotated[str, AfterValidator(check_program_path)] | None = Field(
        default=None,
        description="The Python that tasks run; without it the first `python` or `python3` of PATH.",
        json_schema_extra={"allowed": "a path or the name of a program"},
    )
    conda_env: Annotated[str, AfterValidator(check_program_path)] | None = Field(
        default=None,
        description="The conda environment whose Python tasks run, in place of `python_interpreter`.",
        json_schema_extra={"allowed": "a name or a path"},
    )
    train_script: Annotated[str, AfterValidator(check_script)] | None = Field(
        default=None,
        description="The script of sweeps that name none.",
        json_schema_extra={"allowed": "a path in the project, or an absolute one"},
    )
    config_dir: _Text | None = Field(
        default=None, description="The script's own configuration, for people.", json_schema_extra={"allowed": "text"}
    )
    output_dir: Annotated[str, AfterValidator(_check_output)] = Field(
        default=f"sweeps/{OUTPUTS}",
        description="Where the folders of sweeps are made.",
        json_schema_extra={"allowed": "a folder of the project that is called outputs"},
    )

    CODE_KEYS: ClassVar[tuple[str, ...]] = ("python_interpreter", "conda_env", "train_script")
    """Keys that name programs."""


class WandbSection(Section):
    """Account and project that runs are uploaded to."""

    project: _Text | None = Field(
        default=None, description="WANDB_PROJECT of the tasks.", json_schema_extra={"allowed": "text"}
    )
    entity: _Text | None = Field(
        default=None, description="WANDB_ENTITY of the tasks.", json_schema_extra={"allowed": "text"}
    )


class LocalSection(Section):
    """The pool of this machine."""

    parallel: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Most tasks that run at the same time.",
        json_schema_extra={"allowed": "a whole number from 1 to 1024"},
    )
    gpus: Annotated[str, BeforeValidator(_make_gpus), AfterValidator(_check_gpus)] | None = Field(
        default=None,
        description="GPUs to use; without it those that nobody uses.",
        json_schema_extra={"allowed": "all, cpu, a number, or GPUs such as 0,2"},
    )


class MachineSection(Section):
    """Another machine that tasks can be sent to."""

    path: Annotated[str, AfterValidator(check_path)] | None = Field(
        default=None,
        description="The project's folder there; without it that of the sync target.",
        json_schema_extra={"allowed": "an absolute path or ~/... (not / or ~ itself, no ..)"},
    )
    python: Annotated[str, AfterValidator(check_program_path)] | None = Field(
        default=None,
        description="The Python that tasks run there.",
        json_schema_extra={"allowed": "a path or the name of a program"},
    )
    pre_script: str | None = Field(
        default=None,
        description="Lines of bash to run there before the task.",
        json_schema_extra={"allowed": "text"},
    )
    slurm: Resources = Field(default_factory=Resources, description="Resources there, over those of `slurm`.")

    CODE_KEYS: ClassVar[tuple[str, ...]] = ("python", "pre_script")
    """Keys that name programs."""


class SettingsFile(Section):
    """All of `.hsm/config.yaml`."""

    project: ProjectSection = Field(default_factory=ProjectSection, description="Words about the project.")
    paths: ProjectPaths = Field(default_factory=ProjectPaths, description="Places in the project.")
    wandb: WandbSection = Field(default_factory=WandbSection, description="Where runs are uploaded.")
    slurm: Resources = Field(default_factory=Resources, description="Resources of a task, for all sweeps.")
    local: LocalSection = Field(default_factory=LocalSection, description="The pool of this machine.")
    machines: dict[str, MachineSection] = Field(
        default_factory=dict,
        description="Other machines that tasks can be sent to, by the name of a sync target or host.",
        json_schema_extra={"allowed": "names, each with a section"},
    )

    @field_validator("machines")
    @classmethod
    def _check_names(cls, machines: dict[str, MachineSection]) -> dict[str, MachineSection]:
        for name in machines:
            check_target_name(name)
        return machines


class DefaultsFile(Section):
    """Defaults of a user (`~/.config/hsm/config.yaml`) or of a site (`/etc/hsm/config.yaml`)."""

    slurm: Resources = Field(default_factory=Resources, description="Resources of a task, where nothing else is said.")
    ask_seconds: Annotated[int, Field(ge=1, le=86400)] | None = Field(
        default=None,
        description="Shortest time between two questions to the scheduler; a site's counts as the least.",
        json_schema_extra={"allowed": "a whole number from 1 to 86400"},
    )
    notice: str | None = Field(
        default=None, description="A word to everybody who runs a sweep.", json_schema_extra={"allowed": "text"}
    )
