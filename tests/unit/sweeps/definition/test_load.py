"""Reading of definitions: their tasks, and every mistake at once with its line."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from hsm.errors import ConfigError
from hsm.sweeps.definition.load import load_definition, make_command_form, parse_definition

if TYPE_CHECKING:
    from hsm.sweeps.definition.load import LoadedDefinition

EXAMPLE = """\
script: ./src//train.py
arguments: hydra
sweep:
  grid: {model: {lr: [1e-3, 3e-4]}, seed: [1, 2, 3]}
  paired: [{size: {model.width: [64, 128], model.depth: [2, 4]}}]
  random: {n: 2, seed: 7, parameters: {drop: {log_uniform: [1e-5, 1e-1]}, opt: {choice: [adam, sgd]}}}
  combinations: [{model.lr: 1e-2, seed: 9}]
  fixed: {trainer: {epochs: 10}, when: 2024-01-01}
  exclude: [{model.lr: 1e-3, seed: [2, 3]}]
  order: given
metadata: {description: a word, wandb_project: mine, tags: [a, b]}
resources: {walltime: "04:00:00", gpus: 1}
resume: {signal_seconds: 60}
command: [srun, "{python}", "{script}"]
pass: {output.dir: out.dir, wandb.group: null}
"""


def parse(text: str) -> LoadedDefinition:
    return parse_definition(dedent(text), "s.yaml")


def find_problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.kind in ("bad_definition", "bad_yaml")
    assert caught.value.hint
    return [" ".join(line.split()) for line in caught.value.message.splitlines()[1:]]


def test_the_example_is_read() -> None:
    found = parse(EXAMPLE)
    definition = found.definition
    assert definition.script == "src/train.py"
    assert definition.command == ("srun", "{python}", "{script}")
    assert definition.passed == {"output.dir": "out.dir", "wandb.group": None}
    assert definition.metadata.tags == ("a", "b")
    assert (definition.resume.signal_seconds, definition.resume.times) == (60, 10)  # type: ignore[union-attr]
    assert definition.resources.dump() == {"walltime": "04:00:00", "gpus": 1}
    assert len(found.tasks) == (6 - 2) * 2 * 2 + 1
    assert found.n_excluded == 8
    first = found.tasks[0]
    assert list(first) == ["model.lr", "seed", "model.width", "model.depth", "drop", "opt", "trainer.epochs", "when"]
    assert (first["model.lr"], first["when"]) == (0.001, "2024-01-01")
    assert found.tasks[-1] == {"model.lr": 0.01, "seed": 9, "trainer.epochs": 10, "when": "2024-01-01"}


def test_blocks_are_in_the_order_in_which_they_are_written() -> None:
    found = parse("sweep:\n  paired: [{g: {b: [1, 2]}}]\n  grid: {a: [x, y]}\n")
    assert found.tasks == ({"b": 1, "a": "x"}, {"b": 1, "a": "y"}, {"b": 2, "a": "x"}, {"b": 2, "a": "y"})


def test_groups_multiply() -> None:
    found = parse("sweep: {paired: [{g: {a: [1, 2], b: [3, 4]}}, {h: {c: {d: [5, 6]}}}]}")
    assert [tuple(task.values()) for task in found.tasks] == [(1, 3, 5), (1, 3, 6), (2, 4, 5), (2, 4, 6)]


def test_the_same_text_gives_the_same_tasks() -> None:
    assert parse(EXAMPLE).tasks == parse(EXAMPLE).tasks
    shuffled = EXAMPLE.replace("order: given", "order: {shuffled: 3}")
    assert parse(shuffled).tasks == parse(shuffled).tasks
    assert parse(shuffled).tasks != parse(EXAMPLE).tasks
    assert sorted(map(json.dumps, parse(shuffled).tasks)) == sorted(map(json.dumps, parse(EXAMPLE).tasks))


def test_every_mistake_is_told_at_once() -> None:
    assert find_problems(
        """\
        scirpt: train.py
        arguments: hydr
        sweep:
          grd: {a: [1]}
          order: random
        resources: {walltime: 48:00, gpu: 1}
        pass: {output: x}
        """
    ) == [
        "line 1 scirpt: unknown, did you mean script?",
        "line 2 arguments: found 'hydr', allowed: hydra, flags or json",
        "line 4 sweep.grd: unknown, did you mean grid?",
        "line 5 sweep.order: 'random' is no order; allowed: given, or {shuffled: SEED}",
        "line 6 resources.gpu: unknown, did you mean gpus?",
        "line 6 resources.walltime: '48:00' is no time limit; Slurm reads it as minutes and seconds, write 48:00:00; "
        "allowed: HH:MM:SS or D-HH:MM:SS",
        "line 7 pass: has 'output', which HSM adds nothing by; allowed: output.dir, wandb.group, hydra.run.dir, each "
        "with a name or null",
    ]


MISTAKES = [
    ("a group of unequal lengths", "paired: [{g: {a: [1, 2], b: [1, 2, 3]}}]", "g.b: has 3 values, and a has 2"),
    ("an empty list", "grid: {a: []}", "grid.a: is an empty list"),
    ("an empty list in a group", "paired: [{g: {a: []}}]", "g.a: is an empty list"),
    ("no list", "grid: {a: 1}", "grid.a: is no list"),
    ("a group without lists", "paired: [{g: [1]}]", "g: is no group"),
    ("an empty group", "paired: [{}]", "paired[0]: is an empty group"),
    ("one key in two places", "{grid: {a: [1]}, fixed: {a: 2}}", "fixed.a: is there twice, first as grid.a"),
    ("a key nested and dotted", "grid: {a: {b: [1]}, a.b: [2]}", "a.b: is there twice"),
    ("a key in grid and random", "{grid: {a: [1]}, random: {n: 1, parameters: {a: {int: [1, 2]}}}}", "is there twice"),
    ("a fixed key in a combination", "{combinations: [{a: 1}], fixed: {a: 2}}", "is in fixed too"),
    ("an exclusion of nothing", "{grid: {a: [1, 2]}, exclude: [{a: 3}]}", "exclude[0]: leaves out nothing"),
    ("an exclusion of text for a number", "{grid: {a: [1, 2]}, exclude: [{a: '1'}]}", "leaves out nothing"),
    ("an exclusion of everything", "{grid: {a: [1, 2]}, exclude: [{a: [1, 2]}]}", "exclude[0]: leaves out every task"),
    ("two that leave nothing", "{grid: {a: [1, 2]}, exclude: [{a: 1}, {a: 2}]}", "all of it together"),
    ("an exclusion of an unknown name", "{grid: {a: [1]}, exclude: [{b: 3}]}", "names 'b', which no task has"),
    ("an empty exclusion", "{grid: {a: [1]}, exclude: [{}]}", "would leave out everything"),
    ("an exclusion of no value", "{grid: {a: [1]}, exclude: [{a: []}]}", "would leave out nothing"),
    ("no task", "fixed: {a: 1}", "sweep: makes no task"),
    ("nothing at all", "{}", "makes no task"),
    ("an empty combination", "combinations: [{}]", "has no parameters"),
    ("a task that is there twice", "{grid: {a: [1]}, combinations: [{a: 1}]}", "one task twice: 1 and 2"),
    ("a value that is there twice", "grid: {a: [1, 1]}", "one task twice: 1 and 2"),
    ("far too many", "grid: {a: &a [1, 2, 3, 4, 5, 6, 7], b: *a, c: *a, d: *a, e: *a, f: *a}", "makes 117649 tasks"),
    ("a distribution that is none", "random: {n: 1, parameters: {a: {unifrom: [0, 1]}}}", "did you mean uniform?"),
    (
        "more draws than there are",
        "random: {n: 3, parameters: {a: {choice: [1, 2]}}}",
        "random.n: asks for 3 different",
    ),
    ("nothing to draw", "random: {n: 3, parameters: {}}", "has no parameters"),
    ("a negative seed", "random: {n: 1, seed: -1, parameters: {a: {int: [0, 1]}}}", "random.seed"),
    ("a name that Hydra cannot read", "grid: {'a b': [1]}", "has a name with blanks"),
    ("a value that Hydra cannot be given", "grid: {a: [{'1': 2}]}", "mapping with the key '1'"),
    ("HSM's own argument", "grid: {wandb.group: [a]}", "adds wandb.group, which is a parameter of the sweep too"),
    ("a key that is there twice", "{grid: {a: [1]}, grid: {a: [2]}}", "is there twice, first in line"),
    ("a number as a name", "grid: {1: [1]}", 'write "1"'),
]


@pytest.mark.parametrize(("sweep", "problem"), [pytest.param(*case[1:], id=case[0]) for case in MISTAKES])
def test_a_mistake_is_told(sweep: str, problem: str) -> None:
    found = find_problems(f"sweep:\n  {sweep}\n" if sweep[0] != "{" else f"sweep: {sweep}\n")
    assert any(problem in line for line in found), found
    assert all(line.startswith("line ") for line in found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("[1]", "found a list"),
        ("script: ../x.py\nsweep: {grid: {a: [1]}}", "holds .."),
        ("script: ~/x.py\nsweep: {grid: {a: [1]}}", "begins with ~"),
        ("command: []\nsweep: {grid: {a: [1]}}", "has no program"),
        ("command: python x\nsweep: {grid: {a: [1]}}", "command: found 'python x'"),
        ("sweep: {grid: {a: [1]}}\npass: {output.dir: 'a b'}", "pass: has a name with blanks"),
        ("script: t.py", "sweep: is missing"),
        ("a: [1", "line"),
    ],
)
def test_a_mistake_outside_of_the_sweep_is_told(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_definition(text, "s.yaml")
    assert problem in caught.value.message
    assert "s.yaml" in caught.value.message


def test_what_is_given_up_for_hydra_is_taken_for_json() -> None:
    assert len(parse("arguments: json\nsweep: {grid: {é: [{'1': 2}, 3]}}").tasks) == 2


def test_a_renamed_argument_makes_room_for_a_parameter() -> None:
    found = parse("sweep: {grid: {wandb.group: [a]}}\npass: {wandb.group: null}")
    form = make_command_form(found.definition, script="t.py", group="g")
    assert [name for name, _ in form.list_added()] == ["output.dir", "hydra.run.dir"]


def test_a_file_is_read_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(EXAMPLE.encode())
    found = load_definition(path, "sweeps/s.yaml")
    assert (found.content, found.shown) == (EXAMPLE.encode(), "sweeps/s.yaml")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: None, "cannot be read: No such file"),
        (Path.mkdir, "is a folder"),
        (lambda path: path.write_bytes(b"\xff"), "is no UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, make: object, problem: str) -> None:
    path = tmp_path / "s.yaml"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=problem) as caught:
        load_definition(path)
    assert caught.value.hint
