"""Description of a prepared sweep for its executor, as `sweep.json` holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hsm.errors import TargetError, UsageError
from hsm.file_errors import explain_os_error
from hsm.files import DamagedFileError, NewerFileError, load_json, save_json
from hsm.prepared_sweep.folder import PreparedFolder

SCHEMA = 1


class SweepMode(str, Enum):
    """Way in which tasks are started."""

    AUTO = "auto"
    LOCAL = "local"
    ARRAY = "array"
    INDIVIDUAL = "individual"


class ArgumentStyle(str, Enum):
    """Form in which a task's script takes its parameters."""

    HYDRA = "hydra"
    FLAGS = "flags"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class SweepCode:
    """Code that the tasks run.

    Attributes:
        hash: Of the snapshot, which lies in `.hsm/code/<hash>` of the project; empty where tasks run in the project.
        commit: Of the git repository; empty without one.
        is_changed: The files were not those of the commit.
    """

    hash: str = ""
    commit: str = ""
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class ResumeRule:
    """Rule for tasks that save their state before the time limit and go on in a further job.

    Attributes:
        signal_seconds: The task gets SIGTERM so long before its limit.
        times: It is sent again at most so often.
    """

    signal_seconds: int
    times: int


@dataclass(frozen=True, slots=True)
class PreparedSweep:
    """A sweep that can be submitted.

    Attributes:
        sweep: Its id.
        key: 16 random hexadecimal digits.
        created: The time, ISO 8601 in UTC.
        n_tasks: Tasks have the numbers 1 to this.
        mode: As it was asked for.
        arguments: How the script takes its parameters.
        script: Relative to the code's folder, or absolute.
        command: The words that start a task, with `{python}` and `{script}` in them.
        code: That the tasks run.
        python: The interpreter on this machine.
        environment: Variables of every task besides those that the job script sets.
        resources: What definition and command line ask for, as `hsm.prepared_sweep.resources.Resources` reads it.
        resume: None where tasks end at their time limit.
        metadata: Of the definition.
    """

    sweep: str
    key: str
    created: str
    n_tasks: int
    mode: SweepMode
    arguments: ArgumentStyle
    script: str
    command: tuple[str, ...]
    code: SweepCode
    python: str
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, object] = field(default_factory=dict)
    resume: ResumeRule | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


def save_prepared(folder: PreparedFolder, sweep: PreparedSweep) -> None:
    """Write the document; from then on the sweep is prepared.

    Raises:
        OSError: It could not be written.
    """
    code: dict[str, object] = {"kind": "live"}
    if sweep.code.hash:
        code = {"kind": "snapshot", "hash": sweep.code.hash}
    if sweep.code.commit:
        code |= {"commit": sweep.code.commit, "is_changed": sweep.code.is_changed}
    data = {
        "sweep": sweep.sweep,
        "key": sweep.key,
        "created": sweep.created,
        "n_tasks": sweep.n_tasks,
        "mode": sweep.mode.value,
        "arguments": sweep.arguments.value,
        "script": sweep.script,
        "command": list(sweep.command),
        "code": code,
        "python": sweep.python,
        "environment": dict(sweep.environment),
        "resources": dict(sweep.resources),
        "resume": {"signal_seconds": sweep.resume.signal_seconds, "times": sweep.resume.times}
        if sweep.resume
        else None,
        "metadata": dict(sweep.metadata),
    }
    save_json(folder.document, data, schema=SCHEMA)


def load_prepared(folder: PreparedFolder) -> PreparedSweep:
    """Read the document of a sweep.

    Raises:
        UsageError: The sweep was not prepared by `hsm sweep` (kind `not_prepared`).
        TargetError: The document cannot be read (kind `bad_prepared_sweep`).
    """
    shown = folder.document
    try:
        data = load_json(shown, schema=SCHEMA)
        if data is not None:
            return _make_prepared(data)
    except NewerFileError as error:
        raise TargetError(str(error), hint="Use that version of HSM.", kind="bad_prepared_sweep") from None
    except (DamagedFileError, AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{shown} is damaged: {error}"
        raise TargetError(message, hint="Prepare the sweep anew.", kind="bad_prepared_sweep") from None
    except OSError as error:
        reason, hint = explain_os_error(error, shown)
        raise TargetError(f"{shown} cannot be read: {reason}", hint=hint, kind="bad_prepared_sweep") from None
    raise UsageError(
        f"{folder.folder.name} was not prepared by `hsm sweep`: there is no {shown}",
        hint="`hsm sweep list` shows the sweeps that were.",
        kind="not_prepared",
    )


def _make_prepared(data: Mapping[str, object]) -> PreparedSweep:
    code = _get_mapping(data, "code")
    resume = data["resume"]
    return PreparedSweep(
        sweep=_get_text(data, "sweep"),
        key=_get_text(data, "key"),
        created=_get_text(data, "created"),
        n_tasks=_get_number(data, "n_tasks"),
        mode=SweepMode(data["mode"]),
        arguments=ArgumentStyle(data["arguments"]),
        script=_get_text(data, "script"),
        command=_get_words(data, "command"),
        code=SweepCode(
            hash=str(code.get("hash", "")), commit=str(code.get("commit", "")), is_changed=bool(code.get("is_changed"))
        ),
        python=_get_text(data, "python"),
        environment={name: str(value) for name, value in _get_mapping(data, "environment").items()},
        resources=_get_mapping(data, "resources"),
        resume=ResumeRule(_get_number(resume, "signal_seconds"), _get_number(resume, "times"))
        if isinstance(resume, dict)
        else None,
        metadata=_get_mapping(data, "metadata"),
    )


def _get_text(data: Mapping[str, object], key: str) -> str:
    value = data[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _get_number(data: Mapping[str, object], key: str) -> int:
    value = data[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{key} is no number")
    return value


def _get_mapping(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = data[key]
    if not isinstance(value, dict):
        raise TypeError(f"{key} is no object")
    return value


def _get_words(data: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = data[key]
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError(f"{key} is no list of texts")
    return tuple(value)
