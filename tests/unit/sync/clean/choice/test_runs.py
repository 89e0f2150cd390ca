"""Runs that a clean asks for: by names and by project; the others are counted."""

from __future__ import annotations

import pytest

from hsm.errors import UsageError
from hsm.model import Root, Run, SweepInventory
from hsm.plan.choice import RunChoice
from hsm.records.cleaned import CleanedUnit
from hsm.sync.clean.choice.runs import choose_asked, leave_folder

A, B = (f"run-20260101_000000-{run_id}" for run_id in ("a", "b"))
LEFT = CleanedUnit("run-20260101_000000-left", "/p/wandb", "run-20260101_000000-left", ".hsm-clean-" + "0" * 16)
INVENTORY = SweepInventory("sweep_1", (Run(A, "/p", id="a", project="x"), Run(B, "/p", id="b", project="y")), ())


@pytest.mark.parametrize(
    ("choice", "only", "runs", "leftovers"),
    [
        pytest.param(RunChoice(), (), [A, B], 1, id="all"),
        pytest.param(RunChoice(names=frozenset({"a"})), (), [A], 0, id="an id"),
        pytest.param(RunChoice(names=frozenset({A, "b"})), (), [A, B], 0, id="a name and an id"),
        pytest.param(RunChoice(), (B,), [B], 0, id="what a word means"),
        pytest.param(RunChoice(project="x"), (), [A], 0, id="a project"),
        pytest.param(RunChoice(project="x"), (B,), [], 0, id="a run of another project"),
        pytest.param(RunChoice(names=frozenset({"left"})), (), [], 1, id="what an interrupted clean left, by its id"),
        pytest.param(RunChoice(names=frozenset({LEFT.name})), (), [], 1, id="what an interrupted clean left"),
    ],
)
def test_what_is_asked_for(choice: RunChoice, only: tuple[str, ...], runs: list[str], leftovers: int) -> None:
    asked = choose_asked(INVENTORY, [LEFT], choice, frozenset(only))
    assert [run.name for run in asked.inventory.runs] == runs
    assert (len(asked.leftovers), asked.n_others) == (leftovers, 2 - len(runs))


def test_a_run_that_is_not_the_sweeps_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        choose_asked(INVENTORY, [], RunChoice(names=frozenset({"a", "left"})), frozenset())
    assert caught.value.kind == "unknown_run"
    assert "'left'" in caught.value.message


def test_of_single_runs_the_sweeps_folder_stays() -> None:
    assert leave_folder(tuple(Root)) == leave_folder((Root.WANDB,)) == (Root.WANDB,)
    with pytest.raises(UsageError):
        leave_folder((Root.SWEEPS,))
