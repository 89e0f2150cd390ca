"""Sections of a target: its folders, how ssh reaches it, what is sent, and what is done after a sync. Pure.

A validator's `ValueError` says what is wrong with the value, each field's `allowed` says in words what would be
right; `hsm.config.yaml.findings` makes one line of the two.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from hsm.config.rules.ssh_options import check_option_name, check_options, make_option_text
from hsm.config.rules.values import (
    SECRET_PATTERNS,
    check_command,
    check_path,
    check_pattern,
    check_printable,
    check_program,
    check_root_path,
)
from hsm.config.sections import Section, make_tuple, make_values
from hsm.config.settings import AfterSyncStep, ReceiveMode, SshSettings, SyncOptions, TargetPaths
from hsm.sweep_folder import OUTPUTS

ABSOLUTE_PATH = "an absolute path or ~/... (not / or ~ itself, no ..)"
ROOT_PATH = "an absolute path, ~/... or one relative to project_root (not / or ~ itself, no ..)"
SWITCH: dict[str, Any] = {"allowed": "true or false"}

TargetPath = Annotated[str, AfterValidator(check_path)]
OptionName = Annotated[str, AfterValidator(check_option_name)]
OptionText = Annotated[str, BeforeValidator(make_option_text), AfterValidator(check_printable)]
RootPath = Annotated[str, AfterValidator(check_root_path)]
PathPattern = Annotated[str, AfterValidator(check_pattern)]


class PathsSection(Section):
    """Folders at a target. Once loaded, all are absolute or begin with `~/`."""

    project_root: TargetPath | None = Field(  # first, because the validators of the others look at it
        default=None,
        description="The project's folder at the target: base of relative paths.",
        json_schema_extra={"allowed": ABSOLUTE_PATH},
    )
    sweeps: str = Field(
        description="Where sweep folders land, below `outputs/`.", json_schema_extra={"allowed": ROOT_PATH}
    )
    wandb: str = Field(description="Where run folders land.", json_schema_extra={"allowed": ROOT_PATH})

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
        if f"{wandb}/".startswith(f"{sweeps}/{OUTPUTS}/"):
            raise ValueError(f"lies in {sweeps}/{OUTPUTS}, where sweep folders land")
        return wandb

    def make(self) -> TargetPaths:
        """Make the value that the program uses."""
        return TargetPaths(**make_values(self))


class SshSection(Section):
    """Settings of ssh for a target, beyond the user's own ssh configuration."""

    client: Literal["auto", "openssh", "paramiko"] = Field(
        default="auto",
        description="What speaks SSH: the system's OpenSSH where there is one, else paramiko.",
        json_schema_extra={"allowed": "auto, openssh or paramiko"},
    )
    config: TargetPath | None = Field(
        default=None,
        description="Another ssh configuration file (ssh -F).",
        json_schema_extra={"allowed": ABSOLUTE_PATH},
    )
    identity_file: TargetPath | None = Field(
        default=None,
        description="The private key to log in with (ssh -i).",
        json_schema_extra={"allowed": ABSOLUTE_PATH},
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

    def make(self) -> SshSettings:
        """Make the value that the program uses."""
        return SshSettings(**make_values(self))


class OptionsSection(Section):
    """Options of what is sent to a target, and how."""

    null_is_value: ClassVar[frozenset[str]] = frozenset({"max_depth"})

    sync_sweep_metadata: bool = Field(
        default=True, description="Send the sweep's own folder.", json_schema_extra=SWITCH
    )
    sync_wandb_runs: bool = Field(default=True, description="Send the sweep's wandb runs.", json_schema_extra=SWITCH)
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
        json_schema_extra=SWITCH,
    )
    sync_artifact_staging: bool = Field(
        default=False,
        description="With wandb_sync: bring along the files in which artifacts of offline runs wait for their upload.",
        json_schema_extra=SWITCH,
    )
    exclude: Annotated[tuple[PathPattern, ...], BeforeValidator(make_tuple)] = Field(
        default=(),
        description="Patterns in the syntax of .gitignore of files that are not sent.",
        json_schema_extra={"allowed": 'a list of gitignore patterns, for example ["*.ckpt"]'},
    )
    receive_mode: ReceiveMode = Field(
        default="private",
        description="Mode of new files: the source's under the umask there, or what the umask there leaves of any.",
        json_schema_extra={"allowed": "private or umask"},
    )
    folder_links: Literal["skip", "follow"] | tuple[TargetPath, ...] = Field(
        default="skip",
        description="What is done about symlinks to folders in runs and in the sweep's folder.",
        json_schema_extra={"allowed": "skip, follow (within the project), or a list of paths they may lead into too"},
    )
    secret_patterns: Annotated[tuple[PathPattern, ...], BeforeValidator(make_tuple)] = Field(
        default=SECRET_PATTERNS,
        description="Patterns in the syntax of .gitignore of files left out as secrets; replaces the default.",
        json_schema_extra={"allowed": 'a list of gitignore patterns, for example [".env", "*.pem"]'},
    )

    @field_validator("folder_links", mode="before")
    @classmethod
    def _check_folder_links(cls, value: object) -> object:
        # As for `latest_only`: one line for one mistake.
        if isinstance(value, list):
            return tuple(check_path(path) if isinstance(path, str) else path for path in value)
        if value not in ("skip", "follow") and not isinstance(value, tuple):
            raise ValueError("is neither of the three")
        return value

    @field_validator("latest_only", mode="before")
    @classmethod
    def _check_latest_only(cls, value: object) -> object:
        # A union of a boolean and a word has two errors for one mistake; the file has one line.
        if value != "uploaded" and not isinstance(value, bool):
            raise ValueError("is neither of the three")
        return value

    def make(self) -> SyncOptions:
        """Make the value that the program uses."""
        return SyncOptions(**make_values(self))


class StepSection(Section):
    """Step that is done at a target once a sweep has arrived there."""

    wandb_sync: bool = Field(
        default=False,
        description="Upload the offline runs that have ended and are whole there, with `wandb sync`.",
        json_schema_extra=SWITCH,
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
    def _check_one(self) -> StepSection:
        if self.wandb_sync == (self.run is not None):
            raise ValueError("is neither wandb_sync nor run" if self.run is None else "is both wandb_sync and run")
        if self.wandb_path is not None and not self.wandb_sync:
            raise ValueError("has a wandb_path without wandb_sync")
        return self

    def make(self) -> AfterSyncStep:
        """Make the value that the program uses."""
        return AfterSyncStep(**make_values(self))


class PathChanges(Section):
    """Folders at a target that some sweeps have in place of the target's own."""

    project_root: TargetPath | None = Field(
        default=None,
        description="In place of the target's; its relative paths then start from here.",
        json_schema_extra={"allowed": ABSOLUTE_PATH},
    )
    sweeps: RootPath | None = Field(
        default=None, description="In place of the target's.", json_schema_extra={"allowed": ROOT_PATH}
    )
    wandb: RootPath | None = Field(
        default=None, description="In place of the target's.", json_schema_extra={"allowed": ROOT_PATH}
    )


class TargetChanges(Section):
    """Settings that some sweeps have in place of a target's own; only keys that are set count."""

    paths: PathChanges = Field(default=PathChanges(), description="Folders in place of the target's.")
    options: OptionsSection = Field(default=OptionsSection(), description="Options in place of the target's.")
