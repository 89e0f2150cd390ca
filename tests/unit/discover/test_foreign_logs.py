"""Files in place of logs that are none of wandb's: a failure of each run, and never a run that may still begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hsm.discover.index import RunIndex
from hsm.model import Problem
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.discover.conftest import MadeProject

SWEEP = "sweep_20251020_212836"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12345\n" % 0
RUN = "offline-run-20251020_220000-a"

CONTENTS = {
    "a pointer": (POINTER, "is a Git LFS pointer; run `git lfs pull`"),
    "a text": (b"nothing of wandb's", "is no wandb log"),
    "seven bytes": (b"broken\n", "is no wandb log"),
    "two bytes": (b"x\n", "is no wandb log"),
    "zeros": (bytes(1000), "is no wandb log"),
}


@pytest.fixture
def sweep(made: MadeProject) -> MadeProject:
    """Return a project with a sweep folder and no runs."""
    made.write(f"sweeps/outputs/{SWEEP}/sweep_config.yaml")
    return made


def assert_not_a_log(problems: Sequence[Problem], words: str) -> None:
    (problem,) = problems
    assert (problem.path, problem.kind, problem.is_failure) == (RUN, "not_a_log", True)
    assert words in problem.message
    assert problem.hint


@pytest.mark.parametrize(("content", "words"), CONTENTS.values(), ids=CONTENTS)
def test_where_nothing_else_says_whose_it_is_it_is_named_and_not_sent(
    sweep: MadeProject, content: bytes, words: str
) -> None:
    sweep.write_run(f"wandb/{RUN}", log=content)
    index = RunIndex()
    for _ in range(2):  # also from the cache
        inventory = sweep.read(SWEEP, index=index)
        assert inventory.runs == ()
        assert_not_a_log(inventory.problems, words)


@pytest.mark.parametrize(("content", "words"), CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("place", [f"wandb/{SWEEP}", f"sweeps/outputs/{SWEEP}/wandb"])
def test_where_its_place_decides_it_is_sent_and_named(
    sweep: MadeProject, place: str, content: bytes, words: str
) -> None:
    sweep.write_run(f"{place}/{RUN}", log=content)
    index = RunIndex()
    for _ in range(2):
        inventory = sweep.read(SWEEP, index=index)
        assert [run.name for run in inventory.runs] == [RUN]
        assert any(file.path.endswith(".wandb") for file in inventory.files)
        assert_not_a_log(inventory.problems, words)


def test_its_arguments_may_say_whose_it_is(sweep: MadeProject) -> None:
    sweep.write_run(f"wandb/{RUN}", log=POINTER)
    sweep.write(f"wandb/{RUN}/files/wandb-metadata.json", f'{{"args": ["wandb.group={SWEEP}"]}}')
    inventory = sweep.read(SWEEP)
    assert [run.name for run in inventory.runs] == [RUN]
    assert_not_a_log(inventory.problems, "git lfs pull")


def test_one_that_began_before_the_sweep_is_not_the_sweeps(sweep: MadeProject) -> None:
    sweep.write_run("wandb/offline-run-20251019_220000-a", log=POINTER)
    assert sweep.read(SWEEP).problems == ()


@pytest.mark.parametrize("log", [b"", w.HEADER, w.HEADER[:4]], ids=["no bytes", "a header", "part of a header"])
def test_a_log_that_may_still_begin_is_a_note(sweep: MadeProject, log: bytes) -> None:
    sweep.write_run(f"wandb/{RUN}", log=log, seconds_ago=60)
    (problem,) = sweep.read(SWEEP).problems
    assert (problem.kind, problem.is_failure) == ("membership_unknown", False)


def test_arguments_that_come_while_the_log_is_a_header_count(sweep: MadeProject) -> None:
    index = RunIndex()
    sweep.write_run(f"wandb/{RUN}", log=w.HEADER, seconds_ago=60)
    assert sweep.read(SWEEP, index=index).runs == ()
    sweep.write(f"wandb/{RUN}/files/wandb-metadata.json", f'{{"args": ["wandb.group={SWEEP}"]}}')
    assert len(sweep.read(SWEEP, index=index).runs) == 1
