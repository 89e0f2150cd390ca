"""Models of `.hsm/sync_config.yaml`, with every rule that can be checked without looking at the world.

A validator's `ValueError` says what is wrong with the value, each field's `allowed` says in words what would be
right; `hsm.config.yaml.findings` makes one line of the two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from hsm.config.rules.values import (
    check_host,
    check_program,
    check_source_path,
    check_sweep_pattern,
    check_target_name,
    check_user,
)
from hsm.config.sections import Section, make_tuple, make_values
from hsm.config.settings import SourceSettings, SyncConfig, TargetSettings
from hsm.config.target_sections import OptionsSection, PathsSection, SshSection, StepSection, TargetChanges

_SOURCE_PATH: dict[str, Any] = {"allowed": "a path relative to the project, or an absolute one (no ..)"}
_TARGETS = "at least one section, named with up to 64 letters, digits and . _ - (first a letter or digit)"
_PATTERNS = 'a section for each pattern of sweep ids, for example "sweep_2025*"'

TargetName = Annotated[str, AfterValidator(check_target_name)]
SweepPattern = Annotated[str, AfterValidator(check_sweep_pattern)]


def _check_known_target(name: str, info: ValidationInfo) -> str:
    known: Collection[str] = (info.context or {}).get("targets", ())
    if known and name not in known:
        raise ValueError(f"no target is named {name}; there are: {', '.join(known)}")
    return name


TargetReference = Annotated[TargetName, AfterValidator(_check_known_target)]


class SourceSection(Section):
    """Folders of sweeps and runs in the project that is sent from."""

    sweeps: Annotated[str, AfterValidator(check_source_path)] = Field(
        default="sweeps",
        description="Folder whose `outputs/` holds the sweeps.",
        json_schema_extra=_SOURCE_PATH,
    )
    wandb: Annotated[str, AfterValidator(check_source_path)] = Field(
        default="wandb",
        description="Folder that holds the wandb runs.",
        json_schema_extra=_SOURCE_PATH,
    )
    wandb_folders: Annotated[
        tuple[Annotated[str, AfterValidator(check_source_path)], ...], BeforeValidator(make_tuple)
    ] = Field(
        default=(),
        description="Further folders that hold wandb runs, in place of a search for them.",
        json_schema_extra={"allowed": "a list of paths relative to the project, or absolute ones (no ..)"},
    )

    def make(self) -> SourceSettings:
        """Make the value that the program uses."""
        return SourceSettings(**make_values(self))


_Value = TypeVar("_Value")


def _check_has_host(value: _Value, info: ValidationInfo) -> _Value:
    """Refuse what makes no sense at a folder of this machine. A host that is wrong itself has its own line."""
    if value is not None and info.data.get("host") == "":
        raise ValueError("needs `host`; without it the target is a folder of this machine")
    return value


def _check_node(node: str | None, info: ValidationInfo) -> str | None:
    """Refuse a machine that nothing was put in for (`hsm.config.nodes`): it would pass for a folder of this one."""
    if node is not None and info.data.get("host") == "":
        raise ValueError("names a machine of the hosts file, which was not read here")
    return node


def _check_engine(engine: str, info: ValidationInfo) -> str:
    host = info.data.get("host")
    if engine == "sftp":
        return _check_has_host(engine, info)
    if engine == "copy" and host:
        raise ValueError("copies within this machine, and there is a `host`")
    return engine


def _check_ssh(ssh: SshSection, info: ValidationInfo) -> SshSection:
    if ssh != SshSection():
        _check_has_host(ssh, info)
    if ssh.client == "paramiko" and info.data.get("engine") == "rsync":
        raise ValueError("has `client: paramiko`, which cannot carry `engine: rsync`")
    return ssh


class TargetSection(Section):
    """One machine that receives, or a folder of this one."""

    null_is_value: ClassVar[frozenset[str]] = frozenset({"host"})

    host: Annotated[str, AfterValidator(check_host)] = Field(  # first, because the validators of others look at it
        default="",
        description="Name, address or alias of ~/.ssh/config; without it the target is a folder of this machine.",
        json_schema_extra={"allowed": "a host name, an address or an alias of ~/.ssh/config"},
    )
    node: Annotated[str, AfterValidator(check_target_name), AfterValidator(_check_node)] | None = Field(
        default=None,
        description="A machine of the hosts file, in place of host, user and port; relative paths begin at its path.",
        json_schema_extra={"allowed": "the name of a machine in the hosts file"},
    )
    user: Annotated[str, AfterValidator(check_user), AfterValidator(_check_has_host)] | None = Field(
        default=None,
        description="Login name; without it ssh's own configuration decides.",
        json_schema_extra={"allowed": "a login name"},
    )
    port: Annotated[int, Field(ge=1, le=65535), AfterValidator(_check_has_host)] | None = Field(
        default=None,
        description="Port of the ssh server; without it ssh's own configuration decides.",
        json_schema_extra={"allowed": "a whole number from 1 to 65535"},
    )
    engine: Annotated[Literal["auto", "rsync", "sftp", "copy"], AfterValidator(_check_engine)] = Field(
        default="auto",
        description="What carries the files: rsync where both ends have it, else SFTP, or a copy within this machine.",
        json_schema_extra={"allowed": "auto, rsync, sftp (with host) or copy (without host)"},
    )
    rsync_path: Annotated[str, AfterValidator(check_program), AfterValidator(_check_has_host)] | None = Field(
        default=None,
        description="The rsync to run at the target.",
        json_schema_extra={"allowed": "an absolute path, ~/..., or a program's name without arguments"},
    )
    paths: PathsSection = Field(description="The folders at the target.")
    ssh: Annotated[SshSection, AfterValidator(_check_ssh)] = Field(
        default=SshSection(), description="How ssh reaches the target."
    )
    secrets: Literal["warn", "refuse", "ignore"] = Field(
        default="warn",
        description="What to do about small text files to be sent that look as if they held a secret.",
        json_schema_extra={"allowed": "warn, refuse (nothing is sent) or ignore (they are not looked into)"},
    )
    options: OptionsSection = Field(default=OptionsSection(), description="What is sent, and how.")
    after_sync: Annotated[tuple[StepSection, ...], BeforeValidator(make_tuple)] = Field(
        default=(),
        description="What is done at the target once a sweep has arrived, in this order.",
        json_schema_extra={"allowed": "a list of {wandb_sync: true} and {run: COMMAND}"},
    )

    @field_validator("after_sync")
    @classmethod
    def _check_steps(cls, steps: tuple[StepSection, ...], info: ValidationInfo) -> tuple[StepSection, ...]:
        # Paths that are wrong themselves are absent here and have their own line in the report.
        paths: PathsSection | None = info.data.get("paths")
        if paths is not None and paths.project_root is None and any(step.run is not None for step in steps):
            raise ValueError("has a run, and there is no paths.project_root to run it in")
        return steps

    @model_validator(mode="after")
    def _check_staging(self) -> TargetSection:
        if self.options.sync_artifact_staging and not self.uploads:
            # A validator's own error would name the whole target, and so not the line that is wrong.
            wrong: InitErrorDetails = {
                "type": "value_error",
                "loc": ("options", "sync_artifact_staging"),
                "input": True,
                "ctx": {"error": ValueError("needs a step `wandb_sync: true` in after_sync")},
            }
            raise ValidationError.from_exception_data(type(self).__name__, [wrong])
        return self

    @property
    def uploads(self) -> bool:
        """Tell whether runs are uploaded from the target."""
        return any(step.wandb_sync for step in self.after_sync)

    def make(self) -> TargetSettings:
        """Make the value that the program uses."""
        return TargetSettings(**make_values(self))


class PatternSection(TargetChanges):
    """Changes for the sweeps that a pattern matches, at every target and at single ones."""

    targets: dict[TargetReference, TargetChanges] = Field(
        default_factory=dict,
        description="Changes at single targets, which win over those of the pattern.",
        json_schema_extra={"allowed": "a section for each target, named as in sync_targets"},
    )


class ConfigSection(Section):
    """Whole of `.hsm/sync_config.yaml`.

    The validation context may hold `targets`, the names in the file: with it a wrong `default_target` is
    found even when a target is wrong too, and names in `sweeps` are checked.
    """

    source: SourceSection = Field(default=SourceSection(), description="Where sweeps and runs lie in this project.")
    sync_targets: dict[TargetName, TargetSection] = Field(
        min_length=1,
        description="The machines that receive, by name.",
        json_schema_extra={"allowed": _TARGETS},
    )
    default_target: tuple[str, ...] = Field(  # after sync_targets, because its validator looks at them
        default=(),
        description="The target, or the list of targets, of a call that names none.",
        json_schema_extra={"allowed": "a target's name, or a list of names"},
    )
    sweeps: dict[SweepPattern, PatternSection] = Field(
        default_factory=dict,
        description="Other settings for the sweeps whose id a pattern matches.",
        json_schema_extra={"allowed": _PATTERNS},
    )

    @field_validator("default_target", mode="before")
    @classmethod
    def _make_tuple(cls, value: object) -> object:
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, list) else value

    @field_validator("default_target")
    @classmethod
    def _check_known(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        context: Mapping[str, Any] = info.context or {}
        known: Collection[str] = info.data.get("sync_targets") or context.get("targets", ())
        unknown = [name for name in names if name not in known]
        if known and unknown:
            raise ValueError(f"no target is named {', '.join(unknown)}; there are: {', '.join(known)}")
        return tuple(dict.fromkeys(names))

    def make(self) -> SyncConfig:
        """Make the values that the program uses."""
        return SyncConfig(
            source=self.source.make(),
            sync_targets={name: target.make() for name, target in self.sync_targets.items()},
            default_target=self.default_target,
            sweeps=self.model_dump(mode="json", include={"sweeps"}, exclude_unset=True).get("sweeps", {}),
            source_keys=frozenset(self.source.model_fields_set),
        )


def parse_target(data: object) -> TargetSettings:
    """Make a target from the values of its section.

    Raises:
        pydantic.ValidationError: They are not right.
    """
    return TargetSection.model_validate(data).make()
