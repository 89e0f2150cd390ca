"""The one set of models of `.hsm/sync_config.yaml`, with every rule that needs no look at the world.

A validator's `ValueError` says what is wrong with the value ("has a slash"), each field's `allowed` says in
words what would be right; `hsm.config.load` makes one line of the two.

Shell characters are refused in host, user and `ProxyJump`, because ssh puts them into a command line for the
user's shell when a jump host is configured (OpenSSH refuses most of them itself since 9.6).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

_TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OPTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_JUMPS = re.compile(r"[A-Za-z0-9._@:,\[\]/%-]+")
_SHELL_CHARACTERS = frozenset("'`\";&<>|(){}$*?!#")

# ssh_config(5): what runs or loads a program of the configuration's choice.
_PROGRAM_OPTIONS = re.compile(
    "proxycommand|proxyusefdpass|localcommand|knownhostscommand|pkcs11provider|smartcarddevice|"
    "securitykeyprovider|xauthlocation|match|include|host"
)
# What HSM sets on every session, or what would make a session do something else than its command.
_FIXED_OPTIONS = re.compile(
    "controlmaster|controlpath|controlpersist|batchmode|remotecommand|requesttty|clearallforwardings|"
    "forwardagent|forwardx11|forwardx11trusted|forwardx11timeout|permitlocalcommand|stricthostkeychecking|"
    "loglevel|logverbose|localforward|remoteforward|dynamicforward|tunnel|tunneldevice|sessiontype|"
    "forkafterauthentication|stdinnull|nohostauthenticationforlocalhost"
)
_SETTING_OPTIONS = {"hostname": "host", "user": "user", "port": "port"}

_PATH = "an absolute path or ~/... (not / or ~ itself, no ..)"
_SOURCE_PATH: dict[str, Any] = {"allowed": "a path relative to the project, or an absolute one (no ..)"}
_ROOT_PATH = "an absolute path, ~/... or one relative to project_root (not / or ~ itself, no ..)"
_TARGETS = "at least one section, named with up to 64 letters, digits and . _ - (first a letter or digit)"
_SWITCH: dict[str, Any] = {"allowed": "true or false"}


def _check_printable(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    if not text.isprintable():
        raise ValueError("has a line break, a control character or another that cannot be printed")
    return text


def check_target_name(text: str) -> str:
    """Return `text` if it can name a target.

    Raises:
        ValueError: It cannot, and why.
    """
    if not _TARGET_NAME.fullmatch(text):
        raise ValueError("cannot name a target")
    return text


def _check_login_word(text: str) -> str:
    _check_printable(text)
    if text.startswith("-"):
        raise ValueError("begins with a dash, so ssh would take it for an option")
    if any(character.isspace() for character in text):
        raise ValueError("has white space")
    if "/" in text:
        raise ValueError("has a slash")
    if bad := sorted(_SHELL_CHARACTERS.intersection(text)):
        raise ValueError(f"has {bad[0]}, which a shell would act on")
    return text


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def check_host(text: str) -> str:
    """Return `text` if ssh takes it for nothing but a host name, an address or an alias.

    Raises:
        ValueError: It is something else, and why.
    """
    _check_login_word(text)
    if "@" in text:
        raise ValueError("has an @; the name before it belongs into user")
    if _is_ipv6(text):
        return text
    if _is_ipv6(text.strip("[]")):
        raise ValueError("is an IPv6 address in brackets; write it without them")
    if ":" in text:
        raise ValueError("has a colon and is no IPv6 address; a port belongs into port, a folder into paths")
    if any(character in "%\\" for character in text):
        raise ValueError("has a character that no host name has")
    return text


def check_user(text: str) -> str:
    r"""Return `text` if it can be a login name; `DOMAIN\name` can.

    Raises:
        ValueError: It cannot, and why.
    """
    _check_login_word(text)
    for character in ":@%":
        if character in text:
            raise ValueError(f"has a {character}")
    if text.endswith("\\"):
        raise ValueError("ends with a backslash")
    return text


def check_path(text: str) -> str:
    """Return `text`, absolute or below the home folder, without empty and `.` components.

    Raises:
        ValueError: It is no such path, or leads out of itself, or is `/` or the home folder.
    """
    _check_printable(text)
    if text.startswith("$"):
        raise ValueError("begins with a variable, which is not expanded")
    head, *parts = (part for part in text.split("/") if part != ".")
    parts = [part for part in parts if part]
    if head and head != "~":
        raise ValueError("is ~ with a user's name" if head.startswith("~") else "is relative")
    if ".." in parts:
        raise ValueError("has the component ..")
    if not parts:
        raise ValueError("is the home folder itself" if head else "is the root of the file system")
    return "/".join([head, *parts])


def check_program(text: str) -> str:
    """Return `text` if it is a path as in `check_path`, or the bare name of a program."""
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", text) else check_path(text)


def check_source_path(text: str) -> str:
    """Return `text`, absolute or relative to the project, without empty and `.` components.

    Raises:
        ValueError: It leads out of the project, or is the project, `/` or below `~`.
    """
    _check_printable(text)
    if text.startswith(("~", "$")):
        raise ValueError("begins with ~ or a variable, which is not expanded here")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("has the component ..")
    root = "/" if text.startswith("/") else ""
    if not parts:
        raise ValueError("is the root of the file system" if root else "is the project itself")
    return root + "/".join(parts)


def check_pattern(text: str) -> str:
    """Return `text` if it is a gitignore pattern that can match something.

    Raises:
        ValueError: It is none.
    """
    from pathspec import GitIgnoreSpec  # noqa: PLC0415  (35 ms that most configurations never need)

    _check_printable(text)
    try:
        patterns = GitIgnoreSpec.from_lines([text]).patterns
    except (ValueError, re.error):
        raise ValueError("is no gitignore pattern") from None
    if all(pattern.include is None for pattern in patterns):
        raise ValueError("matches nothing")
    return text


def check_option_name(text: str) -> str:
    """Return `text` if it names an ssh option that a configuration may set.

    Raises:
        ValueError: It is no option's name, runs programs, or is HSM's own to set.
    """
    name = text.lower()
    if not _OPTION_NAME.fullmatch(text):
        raise ValueError("is no name of an ssh option")
    if name in _SETTING_OPTIONS:
        raise ValueError(f"is set by the target's {_SETTING_OPTIONS[name]}")
    if _PROGRAM_OPTIONS.fullmatch(name):
        raise ValueError("runs programs or reads other files; it belongs into your own ~/.ssh/config")
    if _FIXED_OPTIONS.fullmatch(name):
        raise ValueError("is set by HSM itself on every session")
    return text


def _make_option_text(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else value


def _check_jumps(text: str) -> None:
    hops = [hop.removeprefix("ssh://") for hop in text.split(",")]
    words = [word for hop in hops for word in hop.split("@")]
    if not _JUMPS.fullmatch(text) or any(not word or word.startswith("-") for word in words):
        raise ValueError("ProxyJump: not a list of [user@]host[:port], separated by commas")


def _check_known_hosts(text: str) -> None:
    for word in re.sub("[\"']", " ", text).split():
        if word.lower() == "none" or re.fullmatch(r"/[/.]*dev/[/.]*null", word):
            raise ValueError("UserKnownHostsFile: host keys are always checked, so a file of them is needed")


_OPTION_RULES = {"proxyjump": _check_jumps, "userknownhostsfile": _check_known_hosts}

TargetName = Annotated[str, AfterValidator(check_target_name)]
TargetPath = Annotated[str, AfterValidator(check_path)]
OptionName = Annotated[str, AfterValidator(check_option_name)]
OptionText = Annotated[str, BeforeValidator(_make_option_text), AfterValidator(_check_printable)]
Pattern = Annotated[str, AfterValidator(check_pattern)]


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
        if _check_printable(text).startswith(("/", "~", "$")):
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
        seen: dict[str, str] = {}
        for name, text in options.items():
            if other := seen.get(name.lower()):
                raise ValueError(f"{other} and {name} are one option")
            seen[name.lower()] = name
            if rule := _OPTION_RULES.get(name.lower()):
                rule(text)
        return options


class SyncOptions(Section):
    """What is sent to a target, and how."""

    null_is_value: ClassVar[frozenset[str]] = frozenset({"max_depth"})

    sync_sweep_metadata: bool = Field(
        default=True, description="Send the sweep's own folder.", json_schema_extra=_SWITCH
    )
    sync_wandb_runs: bool = Field(
        default=True, description="Send the sweep's wandb runs.", json_schema_extra=_SWITCH
    )
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
    check_remote_first: bool = Field(
        default=True,
        description="Compare with what the target has before anything is sent.",
        json_schema_extra=_SWITCH,
    )
    exclude: tuple[Pattern, ...] = Field(
        default=(),
        description="Patterns in the syntax of .gitignore of files that are not sent.",
        json_schema_extra={"allowed": 'a list of gitignore patterns, for example ["*.ckpt"]'},
    )

    @field_validator("latest_only", mode="before")
    @classmethod
    def _check_latest_only(cls, value: object) -> object:
        if value != "uploaded" and not isinstance(value, bool):
            raise ValueError("is neither of the three")
        return value

    @field_validator("exclude", mode="before")
    @classmethod
    def _make_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class TargetSettings(Section):
    """One machine that receives."""

    host: Annotated[str, AfterValidator(check_host)] = Field(
        description="Name, address or alias of ~/.ssh/config.",
        json_schema_extra={"allowed": "a host name, an address or an alias of ~/.ssh/config"},
    )
    user: Annotated[str, AfterValidator(check_user)] | None = Field(
        default=None,
        description="Login name; without it ssh's own configuration decides.",
        json_schema_extra={"allowed": "a login name"},
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None,
        description="Port of the ssh server; without it ssh's own configuration decides.",
        json_schema_extra={"allowed": "a whole number from 1 to 65535"},
    )
    rsync_path: Annotated[str, AfterValidator(check_program)] | None = Field(
        default=None,
        description="The rsync to run at the target.",
        json_schema_extra={"allowed": "an absolute path, ~/..., or a program's name without arguments"},
    )
    paths: TargetPaths = Field(description="The folders at the target.")
    ssh: SshSettings = Field(default=SshSettings(), description="How ssh reaches the target.")
    options: SyncOptions = Field(default=SyncOptions(), description="What is sent, and how.")


class SyncConfig(Section):
    """The whole of `.hsm/sync_config.yaml`.

    The validation context may hold `targets`, the names in the file: with it a wrong `default_target` is
    found even when a target is wrong too.
    """

    source: SourceSettings = Field(
        default=SourceSettings(), description="Where sweeps and runs lie in this project."
    )
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
