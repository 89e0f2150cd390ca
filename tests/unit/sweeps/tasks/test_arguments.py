"""Words of a task's command, in each style."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import pytest

from hsm.prepared_sweep.document import ArgumentStyle
from hsm.prepared_sweep.records import Filling, decode_record, encode_record, fill_word, fill_words
from hsm.sweeps.tasks.arguments import CommandForm, check_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACES = {
    Filling.TASK: "/p/sweeps/outputs/s/tasks/task_1",
    Filling.CODE: "/p/.hsm/code/1f",
    Filling.PYTHON: "/venv/bin/python",
    Filling.PARAMETERS: "/p/sweeps/outputs/s/tasks/task_1/parameters.json",
}
VALUES: Mapping[str, Any] = {"model.lr": 1e-3, "name": "it's", "tags": ["a", None], "n": -3, "on": True, "none": None}


def make_words(
    style: ArgumentStyle, parameters: Mapping[str, Any] = VALUES, passed: Mapping[str, str | None] | None = None
) -> tuple[str, list[str]]:
    form = CommandForm(style, ("{python}", "{script}"), "train.py", "sweep_1", passed or {})
    record = form.make_record(parameters)
    assert fill_words(decode_record(encode_record(record)).command, PLACES) == fill_words(record.command, PLACES)
    return fill_word(record.parameters, PLACES), fill_words(record.command, PLACES)


def test_hydra() -> None:
    parameters, words = make_words(ArgumentStyle.HYDRA)
    assert words == [
        "/venv/bin/python",
        "/p/.hsm/code/1f/train.py",
        "model.lr=0.001",
        "name='it\\'s'",
        "tags=['a',null]",
        "n=-3",
        "on=true",
        "none=null",
        "output.dir='/p/sweeps/outputs/s/tasks/task_1'",
        "wandb.group='sweep_1'",
        "hydra.run.dir='/p/sweeps/outputs/s/tasks/task_1'",
    ]
    assert parameters.endswith("\n")
    assert parameters.count("\n") == 1
    assert json.loads(parameters) == VALUES


def test_what_hsm_adds_is_renamed_and_left_out() -> None:
    passed = {"output.dir": "+out", "wandb.group": None, "hydra.run.dir": None}
    assert make_words(ArgumentStyle.HYDRA, {"a": 1}, passed)[1][2:] == ["a=1", f"+out='{PLACES[Filling.TASK]}'"]


def test_flags_arrive_at_argparse() -> None:
    _, words = make_words(ArgumentStyle.FLAGS, passed={"output.dir": "out", "wandb.group": None})
    parser = argparse.ArgumentParser()
    for name in (*VALUES, "out"):
        parser.add_argument(f"--{name}")
    found = vars(parser.parse_args(words[2:]))
    assert found == {
        "model.lr": "0.001",
        "name": "it's",
        "tags": '["a", null]',
        "n": "-3",
        "on": "true",
        "none": "null",
        "out": PLACES[Filling.TASK],
    }


@pytest.mark.parametrize("text", ["-1e-3", "--name", "-", "", " ", "a b", "$(id)", "-n=1"])
def test_no_value_of_a_flag_is_taken_for_one(text: str) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name")
    parser.add_argument("--number", type=float)
    _, words = make_words(ArgumentStyle.FLAGS, {"name": text, "number": -1e-3})
    found = parser.parse_args(words[2:])
    assert (found.name, found.number) == (text, -1e-3)


def test_flags_get_nothing_that_was_not_asked_for() -> None:
    assert make_words(ArgumentStyle.FLAGS, {"a": 1})[1][2:] == ["--a", "1"]


def test_json_is_one_argument() -> None:
    content, words = make_words(ArgumentStyle.JSON)
    assert words[2:] == [PLACES[Filling.PARAMETERS]]
    assert json.loads(content) == {**VALUES, "output.dir": PLACES[Filling.TASK], "wandb.group": "sweep_1"}
    assert content.count("\n") == 1
    content, _ = make_words(ArgumentStyle.JSON, {}, {"wandb.group": "group", "output.dir": None})
    assert json.loads(content) == {"group": "sweep_1"}
    content, _ = make_words(ArgumentStyle.JSON, {}, {"wandb.group": None, "output.dir": None})
    assert json.loads(content) == {}


@pytest.mark.parametrize(
    ("command", "script", "words"),
    [
        (("{python}", "-u", "{script}"), "a/train.py", ["/venv/bin/python", "-u", "/p/.hsm/code/1f/a/train.py"]),
        (("{python}", "{script}"), "/opt/train.py", ["/venv/bin/python", "/opt/train.py"]),
        (("x={script}:{python}:{node}",), "t", ["x=/p/.hsm/code/1f/t:/venv/bin/python:{node}"]),
        (("srun", "", "{script}{script}"), "t", ["srun", "", "/p/.hsm/code/1f/t/p/.hsm/code/1f/t"]),
    ],
)
def test_a_command_has_places_in_it(command: tuple[str, ...], script: str, words: list[str]) -> None:
    record = CommandForm(ArgumentStyle.FLAGS, command, script, "s").make_record({"a": 1})
    assert fill_words(record.command, PLACES) == [*words, "--a", "1"]


@pytest.mark.parametrize(
    ("style", "name", "value", "problem"),
    [
        (ArgumentStyle.FLAGS, "", 1, "empty name"),
        (ArgumentStyle.FLAGS, "a..b", 1, "empty name"),
        (ArgumentStyle.FLAGS, "a b", 1, "blanks"),
        (ArgumentStyle.FLAGS, "--a", 1, "cannot be a flag"),
        (ArgumentStyle.FLAGS, "a=b", 1, "cannot be a flag"),
        (ArgumentStyle.FLAGS, "é", 1, ""),
        (ArgumentStyle.JSON, "a=b", 1, ""),
        (ArgumentStyle.JSON, "a", "x\0", "NUL"),
        (ArgumentStyle.JSON, "a", ["\ud83d"], "half a character"),
        (ArgumentStyle.HYDRA, "a", [{"k": "\0"}], "NUL"),
        (ArgumentStyle.HYDRA, "é", 1, "Hydra does not read"),
        (ArgumentStyle.HYDRA, "a", {"1": 1}, "cannot be given"),
        (ArgumentStyle.FLAGS, "a", {"1": 1}, ""),
    ],
)
def test_what_a_script_cannot_be_given_is_said(style: ArgumentStyle, name: str, value: object, problem: str) -> None:
    found = check_parameter(style, name, value)
    assert problem in found
    assert bool(problem) == bool(found)
