"""Models of a sweep's definition (`sweeps/*.yaml`). Pure.

What is varied stays plain values here: names and values are the user's own. `hsm.sweeps.definition.space` reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, create_model

from hsm.config.rules.values import check_printable
from hsm.config.sections import Section, make_tuple
from hsm.prepared_sweep.resources import Resources
from hsm.sweeps.tasks.arguments import PASSED, PYTHON_WORD, SCRIPT_WORD

_Text = Annotated[str, AfterValidator(check_printable)]
_ValuesByName = dict[str, Any]


def check_script(text: str) -> str:
    """Return the path of a script, absolute or relative to the project, without leading `./`.

    Raises:
        ValueError: It leads out of the project, or cannot be a path.
    """
    check_printable(text)
    parts = text.split("/")
    if ".." in parts:
        raise ValueError("holds ..")
    if text.startswith("~"):
        raise ValueError("begins with ~")
    plain = "/".join(part for part in parts if part not in ("", "."))
    if not plain:
        raise ValueError("is no file")
    return f"/{plain}" if text.startswith("/") else plain


def check_text(text: str) -> str:
    """Return a text that files and arguments can hold.

    Raises:
        ValueError: It has a NUL, or half a character.
    """
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("has a NUL or half a character")
    return text


def _check_command(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0]:
        raise ValueError("has no program")
    for word in words:
        check_text(word)
    return words


def _check_order(value: object) -> int | None:
    """Return the seed of a shuffled order; None for the given one."""
    if value == "given":
        return None
    if isinstance(value, dict) and list(value) == ["shuffled"]:
        seed = value["shuffled"]
        if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0:
            return seed
    raise ValueError("is no order")


def _check_passed(names: dict[str, str | None]) -> dict[str, str | None]:
    for name in names:
        if name not in PASSED:
            raise ValueError(f"has {name!r}, which HSM adds nothing by")
    return names


class RandomSection(Section):
    """Parameters that are drawn."""

    n: Annotated[int, Field(ge=1, le=100_000)] = Field(
        description="How many different ones are drawn.",
        json_schema_extra={"allowed": "a whole number from 1 to 100000"},
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="The same seed gives the same tasks everywhere.",
        json_schema_extra={"allowed": "a whole number from 0"},
    )
    parameters: _ValuesByName = Field(
        description="Each with a distribution.",
        json_schema_extra={"allowed": "names, each with a distribution such as {uniform: [0, 1]}"},
    )


class SweepSection(Section):
    """Parameters that are varied, and how they are combined."""

    grid: _ValuesByName = Field(
        default_factory=dict,
        description="Every value with every other.",
        json_schema_extra={"allowed": "names, each with a list of values"},
    )
    paired: Annotated[tuple[_ValuesByName, ...], BeforeValidator(make_tuple)] = Field(
        default=(),
        description="Groups whose parameters vary together.",
        json_schema_extra={"allowed": "a list such as [{size: {width: [1, 2], depth: [3, 4]}}]"},
    )
    random: RandomSection | None = Field(default=None, description="Parameters that are drawn.")
    combinations: Annotated[tuple[_ValuesByName, ...], BeforeValidator(make_tuple)] = Field(
        default=(),
        description="Further tasks, written out.",
        json_schema_extra={"allowed": "a list of sections, each with names and their values"},
    )
    fixed: _ValuesByName = Field(
        default_factory=dict,
        description="Parameters of every task.",
        json_schema_extra={"allowed": "names, each with its value"},
    )
    exclude: Annotated[tuple[_ValuesByName, ...], BeforeValidator(make_tuple)] = Field(
        default=(),
        description="Tasks that are left out: those in which every parameter named has the value, or one of the list.",
        json_schema_extra={"allowed": "a list of sections, each with names and a value or a list of values"},
    )
    order: Annotated[Any, AfterValidator(_check_order)] = Field(
        default=None,
        description="In which order tasks are numbered.",
        json_schema_extra={"allowed": "given, or {shuffled: SEED}"},
    )


class MetadataSection(Section):
    """Words about a sweep."""

    description: Annotated[str, AfterValidator(check_text)] | None = Field(
        default=None, description="In words.", json_schema_extra={"allowed": "text"}
    )
    wandb_project: _Text | None = Field(
        default=None, description="WANDB_PROJECT of the tasks.", json_schema_extra={"allowed": "text"}
    )
    tags: Annotated[tuple[_Text, ...], BeforeValidator(make_tuple)] = Field(
        default=(), description="Words to find it by.", json_schema_extra={"allowed": "a list of texts"}
    )


class ResumeSection(Section):
    """Rule for tasks that go on after their time limit."""

    signal_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        default=120,
        description="How long before its limit a task gets SIGTERM.",
        json_schema_extra={"allowed": "a whole number from 1 to 86400"},
    )
    times: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10,
        description="How often a task is sent again at most.",
        json_schema_extra={"allowed": "a whole number from 1 to 1000"},
    )


class _DefinitionBase(Section):
    """All of a definition but `pass`, which is no name that Python takes in a class."""

    script: Annotated[str, AfterValidator(check_script)] | None = Field(
        default=None,
        description="The script that a task runs; without it `paths.train_script` of `.hsm/config.yaml`.",
        json_schema_extra={"allowed": "a path in the project, or an absolute one"},
    )
    arguments: Literal["hydra", "flags", "json"] = Field(
        default="hydra",
        description="How the script takes its parameters: `key=value`, `--key value`, or a JSON file.",
        json_schema_extra={"allowed": "hydra, flags or json"},
    )
    command: Annotated[tuple[str, ...], BeforeValidator(make_tuple), AfterValidator(_check_command)] = Field(
        default=(PYTHON_WORD, SCRIPT_WORD),
        description="The words that start a task; the arguments are appended.",
        json_schema_extra={"allowed": 'a list of texts, for example [srun, "{python}", "{script}"]'},
    )
    sweep: SweepSection = Field(description="What is varied.")
    metadata: MetadataSection = Field(default_factory=MetadataSection, description="Words about the sweep.")
    resources: Resources = Field(
        default_factory=Resources, description="Resources of a task, over those of `.hsm/config.yaml`."
    )
    resume: ResumeSection | None = Field(
        default=None, description="Tasks save their state before the time limit, and go on in a further job."
    )

    @property
    def passed(self) -> dict[str, str | None]:
        """Content of `pass`: the name of an argument of HSM's -> another one, or None to leave it out."""
        found: dict[str, str | None] = getattr(self, "pass")
        return found


_PASS = Annotated[dict[str, _Text | None], AfterValidator(_check_passed)]

if TYPE_CHECKING:

    class Definition(_DefinitionBase):
        """Definition of a sweep."""

else:
    Definition = create_model(
        "Definition",
        __base__=_DefinitionBase,
        **{
            "pass": (
                _PASS,
                Field(
                    default_factory=dict,
                    description="Other names for the arguments that HSM adds, or null for none.",
                    json_schema_extra={"allowed": f"{', '.join(PASSED)}, each with a name or null"},
                ),
            )
        },
    )
