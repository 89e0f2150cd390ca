"""Arguments of a task's command: `key=value` for Hydra, `--key value`, or a file of JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.prepared_sweep.document import ArgumentStyle
from hsm.prepared_sweep.records import CommandWord, Filling, TaskRecord
from hsm.sweeps.tasks.hydra import check_hydra_name, check_hydra_value, escape_hydra_text, format_hydra_value
from hsm.sweeps.tasks.values import Parameters, encode_value

OUTPUT, GROUP, HYDRA_FOLDER = "output.dir", "wandb.group", "hydra.run.dir"
PASSED = (OUTPUT, GROUP, HYDRA_FOLDER)
"""Arguments that HSM adds to those of the sweep; `pass` renames and drops them."""

_UNFIT = re.compile("[\0\ud800-\udfff]")

PYTHON_WORD, SCRIPT_WORD = "{python}", "{script}"
"""Words that `command` has in the places of the interpreter and the script."""

_DEFAULTS = {
    # Two tasks that start in one second otherwise share a folder of Hydra's.
    ArgumentStyle.HYDRA: {OUTPUT: OUTPUT, GROUP: GROUP, HYDRA_FOLDER: HYDRA_FOLDER},
    # A script refuses flags that it does not know, so it gets those alone that were asked for.
    ArgumentStyle.FLAGS: {},
    ArgumentStyle.JSON: {OUTPUT: OUTPUT, GROUP: GROUP},
}


@dataclass(frozen=True, slots=True)
class CommandForm:
    """Form of the command of every task of a sweep.

    Attributes:
        style: How the script takes its parameters.
        command: The words that start a task, with `{python}` and `{script}` in them.
        script: Relative to the code's folder, or absolute; empty where `command` has no `{script}`.
        group: The value of `wandb.group`.
        passed: What `pass` says.
    """

    style: ArgumentStyle
    command: Sequence[str]
    script: str
    group: str
    passed: Mapping[str, str | None] = field(default_factory=dict)

    def list_added(self) -> list[tuple[str, CommandWord]]:
        """List the arguments that are added to those of the sweep, by name."""
        names: dict[str, str | None] = {**_DEFAULTS[self.style], **self.passed}
        values: dict[str, CommandWord] = {OUTPUT: (Filling.TASK,), GROUP: (self.group,), HYDRA_FOLDER: (Filling.TASK,)}
        return [(name, values[key]) for key in PASSED if (name := names.get(key)) is not None]

    def make_record(self, parameters: Parameters) -> TaskRecord:
        """Make all that a task is given."""
        head = tuple(self._make_command_word(word) for word in self.command)
        tail = _WRITERS[self.style](self, parameters)
        return TaskRecord(self._make_parameters(parameters), (*head, *tail))

    def _make_command_word(self, word: str) -> CommandWord:
        """Put the places into a word of `command`."""
        script: CommandWord = (self.script,) if self.script.startswith("/") else (Filling.CODE, f"/{self.script}")
        found: list[str | Filling] = []
        for index, between in enumerate(word.split(PYTHON_WORD)):
            found += [Filling.PYTHON] if index else []
            for inner, text in enumerate(between.split(SCRIPT_WORD)):
                found += [*(script if inner else ()), text]
        return tuple(piece for piece in found if piece != "")

    def _make_parameters(self, parameters: Parameters) -> CommandWord:
        """Make the content of the file of parameters; that of the style `json` has what is added, too."""
        text = encode_value(parameters)
        if self.style is not ArgumentStyle.JSON:
            return (f"{text}\n",)
        pieces: list[str | Filling] = []
        for name, value in self.list_added():
            separator = ", " if parameters or pieces else ""
            pieces.append(f"{separator}{encode_value(name)}: ")
            # A place has no character that JSON would escape (`check_place`).
            pieces += [encode_value(piece) if isinstance(piece, str) else piece for piece in value]
        return _join([text[:-1], *_quote_places(pieces), "}\n"])


def _quote_places(pieces: Sequence[str | Filling]) -> list[str | Filling]:
    return [part for piece in pieces for part in ((piece,) if isinstance(piece, str) else ('"', piece, '"'))]


def _join(pieces: Sequence[str | Filling]) -> CommandWord:
    """Make one piece of texts that follow one another."""
    found: list[str | Filling] = []
    for piece in pieces:
        if found and isinstance(piece, str) and isinstance(found[-1], str):
            found[-1] += piece
        else:
            found.append(piece)
    return tuple(found)


def _make_hydra_words(form: CommandForm, parameters: Parameters) -> list[CommandWord]:
    words: list[CommandWord] = [(f"{name}={format_hydra_value(value)}",) for name, value in parameters.items()]
    for name, value in form.list_added():
        inner = [escape_hydra_text(piece) if isinstance(piece, str) else piece for piece in value]
        words.append(_join([f"{name}='", *inner, "'"]))
    return words


def _make_flag_words(form: CommandForm, parameters: Parameters) -> list[CommandWord]:
    words: list[CommandWord] = []
    for name, value in parameters.items():
        text = format_flag_value(value)
        # argparse takes `-1e-3` for an option of its own, but not behind `=`.
        words += [(f"--{name}={text}",)] if text.startswith("-") else [(f"--{name}",), (text,)]
    for name, place in form.list_added():
        words += [(f"--{name}",), place]
    return words


def format_flag_value(value: object) -> str:
    """Write a value as one argument: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else encode_value(value)


def _make_json_words(_: CommandForm, __: Parameters) -> list[CommandWord]:
    return [(Filling.PARAMETERS,)]


_WRITERS: Mapping[ArgumentStyle, Callable[[CommandForm, Parameters], list[CommandWord]]] = {
    ArgumentStyle.HYDRA: _make_hydra_words,
    ArgumentStyle.FLAGS: _make_flag_words,
    ArgumentStyle.JSON: _make_json_words,
}


def check_parameter(style: ArgumentStyle, name: str, value: object) -> str:
    """Say why a script cannot be given a parameter; empty where it can."""
    if not name or any(part == "" for part in name.split(".")):
        return "has an empty name"
    if not name.isprintable() or " " in name:
        return "has a name with blanks or control characters"
    if style is ArgumentStyle.FLAGS and (name.startswith("-") or "=" in name):
        return "has a name that cannot be a flag: without dashes before it and without `=`"
    if _holds(_UNFIT, value):
        return "has a value with a NUL or half a character (\\ud83d), which no argument can hold"
    if style is ArgumentStyle.HYDRA:
        return check_hydra_name(name) or check_hydra_value(value)
    return ""


def _holds(pattern: re.Pattern[str], value: object) -> bool:
    if isinstance(value, str):
        return pattern.search(value) is not None
    if isinstance(value, dict):
        return any(_holds(pattern, part) for part in (*value.keys(), *value.values()))
    return isinstance(value, list) and any(_holds(pattern, part) for part in value)
