"""The one set of models of `.hsm/sync_config.yaml`, with every rule that needs no look at the world.

A validator's `ValueError` says what is wrong with the value, each field's `allowed` says in words what would be
right; `hsm.config.yaml.findings` makes one line of the two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from hsm.config.rules import (
    SECRET_PATTERNS,
    check_command,
    check_host,
    check_option_name,
    check_options,
    check_path,
    check_pattern,
    check_printable,
    check_program,
    check_root_path,
    check_source_path,
    check_sweep_pattern,
    check_target_name,
    check_user,
    make_option_text,
)

_PATH = "an absolute path or ~/... (not / or ~ itself, no ..)"
_SOURCE_PATH: dict[str, Any] = {"allowed": "a path relative to the project, or an absolute one (no ..)"}
_ROOT_PATH = "an absolute path, ~/... or one relative to project_root (not / or ~ itself, no ..)"
_TARGETS = "at least one section, named with up to 64 letters, digits and . _ - (first a letter or digit)"
_PATTERNS = 'a section for each pattern of sweep ids, for example "sweep_2025*"'
_SWITCH: dict[str, Any] = {"allowed": "true or false"}

TargetName = Annotated[str, AfterValidator(check_target_name)]
TargetPath = Annotated[str, AfterValidator(check_path)]
OptionName = Annotated[str, AfterValidator(check_option_name)]
OptionText = Annotated[str, BeforeValidator(make_option_text), AfterValidator(check_printable)]
PathPattern = Annotated[str, AfterValidator(check_pattern)]
SweepPattern = Annotated[str, AfterValidator(check_sweep_pattern)]
RootPath = Annotated[str, AfterValidator(check_root_path)]


def _check_known_target(name: str, info: ValidationInfo) -> str:
    known: Collection[str] = (info.context or {}).get("targets", ())
    if known and name not in known:
        raise ValueError(f"no target is named {name}; there are: {', '.join(known)}")
    return name


TargetReference = Annotated[TargetName, AfterValidator(_check_known_target)]


class Section(BaseModel):
    """One section of the file. A key that is left empty counts as absent, except where null is a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    null_is_value: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: object) -> object:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            return data
        droppable = cls.model_fields.keys() - cls.null_is_value
        return {key: value for key, value in data.items() if value is not None or key not in droppable}


class SourceSettings(Section):
    """Where sweeps and runs lie in the project that is sent from."""

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


class TargetPaths(Section):
    """The folders at a target. Once loaded, all are absolute or begin with `~/`."""

    project_root: TargetPath | None = Field(  # first, because the validators of the others look at it
        default=None,
        description="The project's folder at the target: base of relative paths.",
        json_schema_extra={"allowed": _PATH},
    )
    sweeps: str = Field(
        description="Where sweep folders land, below `outputs/`.", json_schema_extra={"allowed": _ROOT_PATH}
    )
    wandb: str = Field(description="Where run folders land.", json_schema_extra={"allowed": _ROOT_PATH})

    @field_validator("sweeps", "wandb")
    @classmethod
    def _resolve(cls, text: str, info: ValidationInfo) -> str:
        if check_printable(text).startswith(("/", "~", "$")):
            return check_path(text)
        # A project_root that is wrong itself is absent here and has its own line in the report.
        root = info.data.get("project_root", "/project")
        if root is None:
            raise ValueError("is relative, and there is no project_root")
        return check_path(f"{root}/{text}")

    @field_validator("wandb")
    @classmethod
    def _keep_apart(cls, wandb: str, info: ValidationInfo) -> str:
        # One folder for both would mix the two roots' own `.hsm-` folders, and runs at or below
        # `<sweeps>/outputs` would be taken for sweeps or a sweep's files. Any other nesting is harmless:
        # sweeps only land below `<sweeps>/outputs/`, runs in `<wandb>/run-*` and `<wandb>/offline-run-*`.
        sweeps = info.data.get("sweeps")
        if sweeps is None:
            return wandb
        if wandb == sweeps:
            raise ValueError("is the same folder as sweeps")
        if f"{wandb}/".startswith(f"{sweeps}/outputs/"):
            raise ValueError(f"lies in {sweeps}/outputs, where sweep folders land")
        return wandb


class SshSettings(Section):
    """How ssh reaches a target, beyond the user's own ssh configuration."""

    client: Literal["auto", "openssh", "paramiko"] = Field(
        default="auto",
        description="What speaks SSH: the system's OpenSSH where there is one, else paramiko.",
        json_schema_extra={"allowed": "auto, openssh or paramiko"},
    )
    config: TargetPath | None = Field(
        default=None,
        description="Another ssh configuration file (ssh -F).",
        json_schema_extra={"allowed": _PATH},
    )
    identity_file: TargetPath | None = Field(
        default=None,
        description="The private key to log in with (ssh -i).",
        json_schema_extra={"allowed": _PATH},
    )
    options: dict[OptionName, OptionText] = Field(
        default_factory=dict,
        description="Further options of ssh_config(5), as with ssh -o.",
        json_schema_extra={"allowed": "names of ssh_config(5), each with a text, a whole number, yes or no"},
    )

    @field_validator("options")
    @classmethod
    def _check_options(cls, options: dict[str, str]) -> dict[str, str]:
        check_options(options)
        return options


class SyncOptions(Section):
    """What is sent to a target, and how."""

    null_is_value: ClassVar[frozenset[str]] = frozenset({"max_depth"})

    sync_sweep_metadata: bool = Field(
        default=True, description="Send the sweep's own folder.", json_schema_extra=_SWITCH
    )
    sync_wandb_runs: bool = Field(default=True, description="Send the sweep's wandb runs.", json_schema_extra=_SWITCH)
    latest_only: bool | Literal["uploaded"] = Field(
        default=True,
        description="Leave out what a later version supersedes; `uploaded`: only of runs wandb has already.",
        json_schema_extra={"allowed": "true, false or uploaded"},
    )
    max_depth: Annotated[int, Field(ge=1)] | None = Field(
        default=1,
        description="Levels of the sweep's folder that are sent: 1 sends its own files, null all depths.",
        json_schema_extra={"allowed": "a whole number from 1, or null for all depths"},
    )
    parallel_transfers: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Number of workers that send at the same time.",
        json_schema_extra={"allowed": "a whole number from 1 to 64"},
    )
    compress: Literal["auto", "zstd", "lz4", "none"] = Field(
        default="auto",
        description="What content is compressed with on its way; auto: zstd over a long link, nothing on a fast one.",
        json_schema_extra={"allowed": "auto, zstd, lz4 or none"},
    )
    check_remote_first: bool = Field(
        default=True,
        description="Compare with what the target has before anything is sent.",
        json_schema_extra=_SWITCH,
    )
    sync_artifact_staging: bool = Field(
        default=False,
        description="With wandb_sync: bring along the files in which artifacts of offline runs wait for their upload.",
        json_schema_extra=_SWITCH,
    )
    exclude: tuple[PathPattern, ...] = Field(
        default=(),
        description="Patterns in the syntax of .gitignore of files that are not sent.",
        json_schema_extra={"allowed": 'a list of gitignore patterns, for example ["*.ckpt"]'},
    )

    secret_patterns: tuple[PathPattern, ...] = Field(
        default=SECRET_PATTERNS,
        description="Patterns in the syntax of .gitignore of files left out as secrets; replaces the default.",
        json_schema_extra={"allowed": 'a list of gitignore patterns, for example [".env", "*.pem"]'},
    )

    @field_validator("latest_only", mode="before")
    @classmethod
    def _check_latest_only(cls, value: object) -> object:
        if value != "uploaded" and not isinstance(value, bool):
            raise ValueError("is neither of the three")
        return value

    @field_validator("exclude", "secret_patterns", mode="before")
    @classmethod
    def _make_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class AfterSyncStep(Section):
    """One thing that is done at a target once a sweep has arrived there."""

    wandb_sync: bool = Field(
        default=False,
        description="Upload the offline runs that have ended and are whole there, with `wandb sync`.",
        json_schema_extra=_SWITCH,
    )
    wandb_path: Annotated[str, AfterValidator(check_program)] | None = Field(
        default=None,
        description="With wandb_sync: the wandb program there.",
        json_schema_extra={"allowed": "an absolute path, ~/..., or a program's name without arguments"},
    )
    run: Annotated[str, AfterValidator(check_command)] | None = Field(
        default=None,
        description="A command line for /bin/sh there, in project_root.",
        json_schema_extra={"allowed": "a command line"},
    )

    @model_validator(mode="after")
    def _check_one(self) -> AfterSyncStep:
        if self.wandb_sync == (self.run is not None):
            raise ValueError("is neither wandb_sync nor run" if self.run is None else "is both wandb_sync and run")
        if self.wandb_path is not None and not self.wandb_sync:
            raise ValueError("has a wandb_path without wandb_sync")
        return self


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


def _check_ssh(ssh: SshSettings, info: ValidationInfo) -> SshSettings:
    if ssh != SshSettings():
        _check_has_host(ssh, info)
    if ssh.client == "paramiko" and info.data.get("engine") == "rsync":
        raise ValueError("has `client: paramiko`, which cannot carry `engine: rsync`")
    return ssh


class TargetSettings(Section):
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
    paths: TargetPaths = Field(description="The folders at the target.")
    ssh: Annotated[SshSettings, AfterValidator(_check_ssh)] = Field(
        default=SshSettings(), description="How ssh reaches the target."
    )
    secrets: Literal["warn", "refuse", "ignore"] = Field(
        default="warn",
        description="What to do about small text files to be sent that look as if they held a secret.",
        json_schema_extra={"allowed": "warn, refuse (nothing is sent) or ignore (they are not looked into)"},
    )
    options: SyncOptions = Field(default=SyncOptions(), description="What is sent, and how.")
    after_sync: tuple[AfterSyncStep, ...] = Field(
        default=(),
        description="What is done at the target once a sweep has arrived, in this order.",
        json_schema_extra={"allowed": "a list of {wandb_sync: true} and {run: COMMAND}"},
    )

    @field_validator("after_sync", mode="before")
    @classmethod
    def _make_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("after_sync")
    @classmethod
    def _check_steps(cls, steps: tuple[AfterSyncStep, ...], info: ValidationInfo) -> tuple[AfterSyncStep, ...]:
        # Paths that are wrong themselves are absent here and have their own line in the report.
        paths: TargetPaths | None = info.data.get("paths")
        if paths is not None and paths.project_root is None and any(step.run is not None for step in steps):
            raise ValueError("has a run, and there is no paths.project_root to run it in")
        return steps

    @model_validator(mode="after")
    def _check_staging(self) -> TargetSettings:
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
        """Whether runs are uploaded from the target."""
        return any(step.wandb_sync for step in self.after_sync)

    @property
    def is_folder(self) -> bool:
        """Whether the target is a folder of this machine."""
        return not self.host


class PathChanges(Section):
    """Folders at a target that some sweeps have in place of the target's own."""

    project_root: TargetPath | None = Field(
        default=None,
        description="In place of the target's; its relative paths then start from here.",
        json_schema_extra={"allowed": _PATH},
    )
    sweeps: RootPath | None = Field(
        default=None, description="In place of the target's.", json_schema_extra={"allowed": _ROOT_PATH}
    )
    wandb: RootPath | None = Field(
        default=None, description="In place of the target's.", json_schema_extra={"allowed": _ROOT_PATH}
    )


class TargetChanges(Section):
    """What some sweeps have in place of a target's own settings; only keys that are set count."""

    paths: PathChanges = Field(default=PathChanges(), description="Folders in place of the target's.")
    options: SyncOptions = Field(default=SyncOptions(), description="Options in place of the target's.")


class SweepSettings(TargetChanges):
    """The changes for the sweeps that a pattern matches, at every target and at single ones."""

    targets: dict[TargetReference, TargetChanges] = Field(
        default_factory=dict,
        description="Changes at single targets, which win over those of the pattern.",
        json_schema_extra={"allowed": "a section for each target, named as in sync_targets"},
    )


class SyncConfig(Section):
    """The whole of `.hsm/sync_config.yaml`.

    The validation context may hold `targets`, the names in the file: with it a wrong `default_target` is
    found even when a target is wrong too, and names in `sweeps` are checked.
    """

    source: SourceSettings = Field(default=SourceSettings(), description="Where sweeps and runs lie in this project.")
    sync_targets: dict[TargetName, TargetSettings] = Field(
        min_length=1,
        description="The machines that receive, by name.",
        json_schema_extra={"allowed": _TARGETS},
    )
    default_target: tuple[str, ...] = Field(  # after sync_targets, because its validator looks at them
        default=(),
        description="The target, or the list of targets, of a call that names none.",
        json_schema_extra={"allowed": "a target's name, or a list of names"},
    )
    sweeps: dict[SweepPattern, SweepSettings] = Field(
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
