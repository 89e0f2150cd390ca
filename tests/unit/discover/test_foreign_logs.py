"""Files in place of logs that are none of wandb's: a failure of each run, and never a run that may still begin."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.membership import Candidate
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.words.catalogue import Catalogue, KnownRun
from hsm.discover.words.lookup import Lookup
from hsm.errors import ExitCode
from hsm.model import Problem, SweepInventory, SweepKind
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import LOOSE
from hsm.wandb_log.facts import LogFacts
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


SILENT = {
    "a header": (w.HEADER, {}),
    "no bytes": (b"", {}),
    "the layout of 0.8": (None, {"config.yaml": "lr: {value: 1}", "wandb-metadata.json": "{}"}),
    "files alone": (None, {"files/config.yaml": "lr: {value: 1}"}),
}


@pytest.mark.parametrize(("log", "files"), SILENT.values(), ids=SILENT)
def test_a_run_that_rests_without_a_word_is_loose(made: MadeProject, log: bytes | None, files: dict[str, str]) -> None:
    for name, content in files.items():
        made.write(f"wandb/{RUN}/{name}", content)
    if log is not None:
        made.write_run(f"wandb/{RUN}", log=log)
    inventory = read_loose(made)
    assert [run.name for run in inventory.runs] == [RUN]
    assert inventory.problems == ()


def test_a_pointer_is_not_loose(made: MadeProject) -> None:
    made.write_run(f"wandb/{RUN}", log=POINTER)
    inventory = read_loose(made)
    assert inventory.runs == ()
    assert_not_a_log(inventory.problems, "git lfs pull")


def read_loose(made: MadeProject) -> SweepInventory:
    sweep = Sweep(LOOSE, kind=SweepKind.LOOSE)
    return read_inventory(LocalEndpoint(), made.layout, sweep, max_depth=1, index=RunIndex(), known_sweeps=())


def make_known(name: str, **facts: Any) -> KnownRun:
    return KnownRun(Candidate(name, "/p/wandb", log="run-a.wandb"), LogFacts(**facts))


POINTERS = (make_known(RUN, is_foreign=True, is_pointer=True), make_known("other", is_foreign=True))
LAYOUT = Layout("/p", "/p/sweeps", "/p/wandb")


def make_lookup(*runs: KnownRun) -> Lookup:
    return Lookup([Sweep("exp2")], LAYOUT, lambda _: Catalogue(runs))


def test_a_word_that_no_log_names_may_be_that_of_a_log_that_is_not_there() -> None:
    error = make_lookup(*POINTERS).make_unknown_error("exp1")
    assert (error.exit_code, error.kind) == (ExitCode.PARTIAL, "not_a_log")
    assert RUN in error.message
    assert "is a Git LFS pointer; run `git lfs pull`" in error.message
    assert "1 more" in error.message
    assert "exp2" in error.hint


TOLD = {
    "by its log": KnownRun(Candidate(RUN, "/p/wandb"), LogFacts("a")),
    "by an agent": replace(POINTERS[0], names=frozenset({"exp3"})),
    "by its place": replace(POINTERS[0], inside="exp3"),
}


@pytest.mark.parametrize("run", TOLD.values(), ids=TOLD)
def test_a_run_that_is_told_is_no_reason_for_an_unknown_word(run: KnownRun) -> None:
    error = make_lookup(run).make_unknown_error("exp1")
    assert (error.exit_code, error.kind) == (ExitCode.USAGE, "unknown_sweep")
