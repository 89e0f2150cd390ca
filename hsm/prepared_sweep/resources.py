"""Resources that the tasks of a sweep ask for, as `slurm:` and `resources:` name them in files. Pure.

Every value becomes a word or a line of a job script, so each has a known form without line breaks; only `pre_script` is
meant to be shell code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hsm.config.sections import Section, make_tuple

_WALLTIME = re.compile(r"(?:(\d{1,4})-)?(\d{1,3}):(\d{2}):(\d{2})", re.ASCII)
_MEMORY = re.compile(r"(\d{1,9})([KMGT]?)B?", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]*", re.ASCII)
_WORDS = re.compile(rf"{_WORD.pattern}(?:,{_WORD.pattern})*", re.ASCII)
# Features are combined by these; see sbatch(1), --constraint.
_CONSTRAINT = re.compile(r"[A-Za-z0-9_.&|,*()\[\]:@+-]+", re.ASCII)
_NODES = re.compile(
    r"[A-Za-z0-9_.-]+(?:\[[0-9,-]+\][A-Za-z0-9_.-]*)*(?:,[A-Za-z0-9_.-]+(?:\[[0-9,-]+\][A-Za-z0-9_.-]*)*)*"
)
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/=-]*", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OPTION = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|(?:API|ACCESS|PRIVATE)_?KEY)(?:$|_)", re.I)
# HSM sets these itself, or finds its jobs again by them.
_OWN_OPTIONS = frozenset(
    {"array", "job-name", "comment", "output", "error", "open-mode", "parsable", "wrap", "chdir", "signal", "requeue"}
    | {"no-requeue", "test-only", "export", "export-file", "input", "wait", "dependency", "time", "mem"}
)
_OWN_VARIABLES = ("HSM_", "SLURM_", "SBATCH_")


def parse_walltime(text: str) -> int:
    """Return the seconds that `HH:MM:SS` or `D-HH:MM:SS` are.

    Raises:
        ValueError: It is neither; Slurm would read `48:00` as minutes and seconds.
    """
    match = _WALLTIME.fullmatch(text)
    if match is None:
        hint = f"; Slurm reads it as minutes and seconds, write {text}:00" if re.fullmatch(r"\d+:\d\d", text) else ""
        raise ValueError(f"is no time limit{hint}")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if minutes > 59 or seconds > 59 or (match[1] and hours > 23):
        raise ValueError("has more than 59 minutes or seconds, or more than 23 hours beside days")
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total:
        raise ValueError("is no time at all")
    return total


def _check_walltime(text: str) -> str:
    parse_walltime(text)
    return text


def _check_memory(text: str) -> str:
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise ValueError("is no amount of memory")
    return f"{match[1]}{match[2].upper() or 'M'}"


def _make_memory(value: object) -> object:
    """Return a plain number as text: Slurm counts in MiB."""
    return f"{value}M" if isinstance(value, int) and not isinstance(value, bool) else value


def _make_check(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"is {what}")
        return text

    return AfterValidator(check)


def _make_text(value: object) -> object:
    """Return numbers and switches as the text that was written, for what is handed on as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _check_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a line break or a control character")
    return text


def _check_script(text: str) -> str:
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("has a NUL or half a character")
    return text


def _check_variables(variables: dict[str, str]) -> dict[str, str]:
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"has {name!r}, which is no name of a variable")
        if name.startswith(_OWN_VARIABLES):
            raise ValueError(f"has {name}, which is not for files to set")
        if _SECRET.search(name):
            # Job scripts are readable by others on many clusters, and are kept.
            raise ValueError(f"has {name}, which seems to be a secret: set it in the shell that submits")
    return variables


def _check_options(options: dict[str, str]) -> dict[str, str]:
    for name in options:
        if not _OPTION.fullmatch(name):
            raise ValueError(f"has {name!r}, which is no long option of sbatch without its dashes")
        if name in _OWN_OPTIONS:
            raise ValueError(f"has {name}, which HSM sets itself or has a key of its own for")
    return options


_Word = Annotated[str, _make_check(_WORD, "no plain word")]
_Count = Annotated[int, Field(ge=1)]
_Memory = Annotated[str, BeforeValidator(_make_memory), AfterValidator(_check_memory)]
_Line = Annotated[str, BeforeValidator(_make_text), AfterValidator(_check_line)]
_Module = Annotated[str, _make_check(_MODULE, "no name of a module")]

_COUNT: dict[str, Any] = {"allowed": "a whole number from 1"}
_MEMORY_WORDS: dict[str, Any] = {"allowed": "a whole number with K, M, G or T, for example 16G"}
_PLAIN: dict[str, Any] = {"allowed": "letters, digits and _ . : @ + -"}


class Resources(Section):
    """Resources of one task, and how many tasks run at a time. A key that is absent leaves it to Slurm or the site."""

    walltime: Annotated[str, AfterValidator(_check_walltime)] | None = Field(
        default=None,
        description="The time limit of one task.",
        json_schema_extra={"allowed": "HH:MM:SS or D-HH:MM:SS"},
    )
    cpus_per_task: _Count | None = Field(default=None, description="Processors of one task.", json_schema_extra=_COUNT)
    mem: _Memory | None = Field(default=None, description="Memory of a node.", json_schema_extra=_MEMORY_WORDS)
    mem_per_cpu: _Memory | None = Field(
        default=None, description="Memory of each processor, in place of `mem`.", json_schema_extra=_MEMORY_WORDS
    )
    gpus: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="GPUs of one task.", json_schema_extra={"allowed": "a whole number from 0"}
    )
    gpu_type: _Word | None = Field(default=None, description="The type of GPU.", json_schema_extra=_PLAIN)
    nodes: _Count | None = Field(default=None, description="Nodes of one task.", json_schema_extra=_COUNT)
    ntasks: _Count | None = Field(
        default=None, description="Processes that `srun` starts in one task.", json_schema_extra=_COUNT
    )
    partition: Annotated[str, _make_check(_WORDS, "no name of a partition")] | None = Field(
        default=None, description="The partition, or several.", json_schema_extra={"allowed": "names, with , between"}
    )
    qos: _Word | None = Field(default=None, description="The quality of service.", json_schema_extra=_PLAIN)
    account: _Word | None = Field(default=None, description="The account.", json_schema_extra=_PLAIN)
    constraint: Annotated[str, _make_check(_CONSTRAINT, "no expression of features")] | None = Field(
        default=None,
        description="Features that the nodes must have.",
        json_schema_extra={"allowed": "as sbatch takes it, without blanks"},
    )
    exclude: Annotated[str, _make_check(_NODES, "no list of nodes")] | None = Field(
        default=None,
        description="Nodes to keep away from.",
        json_schema_extra={"allowed": "names as Slurm writes them, for example node[1-3,7]"},
    )
    nice: int | None = Field(
        default=None,
        description="How far the jobs stand back behind others of the user's.",
        json_schema_extra={"allowed": "a whole number"},
    )
    modules: Annotated[tuple[_Module, ...], BeforeValidator(make_tuple)] | None = Field(
        default=None,
        description="Modules to load before the task.",
        json_schema_extra={"allowed": "a list of names"},
    )
    pre_script: Annotated[str, AfterValidator(_check_script)] | None = Field(
        default=None,
        description="Lines of bash to run before the task.",
        json_schema_extra={"allowed": "text"},
    )
    env: Annotated[dict[str, _Line], AfterValidator(_check_variables)] | None = Field(
        default=None,
        description="Variables for the task.",
        json_schema_extra={"allowed": "names, each with a text or a number; no secrets"},
    )
    extra: Annotated[dict[str, _Line], AfterValidator(_check_options)] | None = Field(
        default=None,
        description="Further long options of sbatch, without their dashes.",
        json_schema_extra={"allowed": "names such as mail-type, each with a text or a number"},
    )
    throttle: _Count | None = Field(
        default=None, description="Most tasks that run at the same time.", json_schema_extra=_COUNT
    )
    max_array_size: _Count | None = Field(
        default=None, description="Most tasks of one job array.", json_schema_extra=_COUNT
    )
    tasks_per_job: _Count | None = Field(
        default=None, description="Tasks that share one job, one after another.", json_schema_extra=_COUNT
    )
    tasks_at_once: _Count | None = Field(
        default=None, description="Of the tasks of one job, how many run at the same time.", json_schema_extra=_COUNT
    )

    CODE_KEYS: ClassVar[tuple[str, ...]] = ("modules", "pre_script", "env", "extra")
    """Keys that name programs, or decide which ones run."""

    @model_validator(mode="after")
    def _check_together(self) -> Resources:
        if self.mem is not None and self.mem_per_cpu is not None:
            raise ValueError("has mem and mem_per_cpu, of which only one can count")
        if self.gpu_type is not None and self.gpus == 0:
            raise ValueError("has a gpu_type and 0 gpus")
        if (self.tasks_at_once or 1) > (self.tasks_per_job or self.tasks_at_once or 1):
            raise ValueError("has more tasks_at_once than tasks_per_job")
        return self

    def dump(self) -> dict[str, object]:
        """Return what was said, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def merge_resources(*layers: Mapping[str, object] | Resources) -> Resources:
    """Lay resources over one another: what a later one says counts, by key; variables and options one by one.

    Args:
        layers: As written, or as `Resources.dump` gives them.

    Raises:
        pydantic.ValidationError: The result contradicts itself.
    """
    found: dict[str, object] = {}
    for layer in layers:
        said = layer.dump() if isinstance(layer, Resources) else dict(layer)
        for one, other in (("mem", "mem_per_cpu"), ("mem_per_cpu", "mem")):
            if one in said:
                found.pop(other, None)
        if said.get("gpus") == 0:
            found.pop("gpu_type", None)
        for key in ("env", "extra"):
            former, new = found.get(key), said.get(key)
            if isinstance(former, Mapping) and isinstance(new, Mapping):
                said[key] = {**former, **new}
        found |= said
    return Resources.model_validate(found)
