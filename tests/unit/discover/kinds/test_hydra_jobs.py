"""Hydra's jobs: their parameters, and how they ended as far as submitit says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hsm.discover.kinds.expected_jobs import count_expected_jobs
from hsm.discover.kinds.hydra_jobs import find_job_of, make_parameters, parse_state, read_jobs
from hsm.model import Run, RunState
from hsm.remote.local import LocalEndpoint

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = "submitit INFO (2026-11-30 02:02:47,327) - Starting with JobEnvironment(job_id=1, hostname=vm)"
DONE = "submitit INFO (2026-11-30 02:02:48,182) - Job completed successfully"
EXIT = "[2026-11-30 02:02:48,198][submitit][INFO] - Exiting after successful completion"
FAILED = "submitit ERROR (2026-11-30 02:02:48,182) - Submitted job triggered an exception"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((BEGIN, "lr 0.1", DONE, EXIT), RunState.FINISHED),
        (("Job completed successfully",), RunState.FINISHED),
        ((BEGIN, DONE, "a library says goodbye"), RunState.FINISHED),
        ((BEGIN, FAILED), RunState.FAILED),
        ((BEGIN, FAILED, BEGIN), RunState.UNKNOWN),  # queued again
        ((BEGIN, "Job completed successfully, says the script", "lr 0.2"), RunState.UNKNOWN),
        ((BEGIN, "epoch 1: Job completed successfully"), RunState.UNKNOWN),
        ((BEGIN, "lr 0.1"), RunState.UNKNOWN),
        ((), RunState.UNKNOWN),
    ],
)
def test_the_end_of_submitits_log_tells(lines: tuple[str, ...], expected: RunState) -> None:
    assert parse_state("\n".join(lines).encode()) is expected


@pytest.mark.parametrize(
    ("config", "overrides", "expected"),
    [
        (b"lr: 0.1\n", b"- lr=0.1\n", {("lr",): 0.1}),
        (b"db:\n  driver: m\n", b"- db=mysql\n", {("db", "driver"): "m", ("db",): "mysql"}),
        (b"", b"- +a.b=1\n- ++c=x\n- ~d\n", {("a", "b"): 1, ("c",): "x"}),
        (b"a: [\n", b"nothing: of a list\n", {}),
        (b"- 1\n", b"- 1\n- [x]\n", {}),
        (b"a: !!python/object/apply:os.system ['x']\n", b"", {("a",): ["x"]}),
    ],
)
def test_parameters_are_the_configuration_and_what_varied(
    config: bytes, overrides: bytes, expected: dict[tuple[str, ...], object]
) -> None:
    assert make_parameters(config, overrides) == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("/p/m/0/wandb", "0"),
        ("/p/m/a/b/wandb", "a/b"),
        ("/p/m/1/wandb", ""),
        ("/p/wandb", ""),
        ("/p/m2/0/wandb", ""),
    ],
)
def test_a_run_is_of_the_job_in_whose_folder_it_lies(prefix: str, expected: str) -> None:
    assert find_job_of(Run("run-1", prefix), "/p/m", ["0", "a/b"]) == expected


@pytest.mark.parametrize(
    ("job_id", "folder", "expected"),
    [
        ("'12_7'", "12_7", RunState.FINISHED),
        ("27096", "27096", RunState.FINISHED),
        ("'../../x'", "12_7", RunState.UNKNOWN),
        ("13_7", "12_7", RunState.UNKNOWN),
        ("", "12_0", RunState.FINISHED),  # of an array: by the number of the task
        ("", "12_1", RunState.UNKNOWN),
    ],
)
def test_a_job_is_matched_with_its_log(tmp_path: Path, job_id: str, folder: str, expected: RunState) -> None:
    inner = f"  job:\n    id: {job_id}\n" if job_id else "  mode: MULTIRUN\n"
    for path, text in (
        ("0/.hydra/hydra.yaml", f"hydra:\n{inner}"),
        ("0/.hydra/config.yaml", "lr: 0.1\n"),
        (f".submitit/{folder}/{folder}_0_log.out", f"{BEGIN}\n{DONE}\n"),
        (f".submitit/{folder}/{folder}_0_result.pkl", "cos\nsystem\n(S'touch pickled'\ntR."),
        (".submitit/%j/x", ""),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (job,) = read_jobs(LocalEndpoint(), str(tmp_path), ["0"])
    assert (job.path, job.state, dict(job.values)) == ("0", expected, {("lr",): 0.1})


TASK = "hydra:\n  overrides:\n    task:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{TASK}    - lr=0.1,0.2\n    - depth=2,4,8\n    - seed=1\n", 6),
        (f"{TASK}    - layers=[1,2],[3,4]\n", 2),
        (f"{TASK}    - \"name='a,b',c\"\n", 2),
        (f"{TASK}    - 'x=a\\,b,c'\n", 2),
        (f"{TASK}    - 'd={{a:1,b:2}}'\n", 1),
        (f"{TASK}    - lr=range(1,5)\n", None),
        (f"{TASK}    - db=glob(*)\n    - lr=0.1,0.2\n", None),
        (f"{TASK}    - lr=choice(1,2)\n  sweeper:\n    n_trials: 20\n", 20),
        (f"{TASK}    - lr=0.1,0.2\n  sweeper:\n    n_trials: 20\n", 20),
        (f"{TASK}    - lr=0.1,0.2\n  sweeper:\n    n_trials: true\n", 2),
        (f"{TASK}    - lr=0.1,0.2\n  sweeper:\n    params:\n      depth: 1,2\n", None),
        (f"{TASK}    - lr=0.1\n  job:\n    num: 0\n", None),  # of a job: its own values
        ("hydra:\n  overrides:\n    task: []\n", 1),
        ("hydra: {}\n", None),
        ("a: 1\n", None),
        ("[", None),
    ],
)
def test_the_number_of_jobs_is_the_product_of_lists_or_the_trials(text: str, expected: int | None) -> None:
    assert count_expected_jobs(text.encode()) == expected


BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


@pytest.mark.parametrize(
    ("sweeper", "number", "expected"),
    [
        (BASIC, "???", 6),  # as Hydra 1.3 writes `multirun.yaml`
        ("hydra_plugins.hydra_nevergrad_sweeper.nevergrad_sweeper.NevergradSweeper", "???", None),
        ("hydra_plugins.hydra_list_sweeper.list_sweeper.ListSweeper", "???", None),
    ],
    ids=["multirun.yaml", "a sweeper with a budget", "a sweeper of lists side by side"],
)
def test_lists_are_multiplied_as_hydras_own_sweeper_does(sweeper: str, number: str, expected: int | None) -> None:
    task = "overrides: {task: ['lr=0.1,0.2', 'seed=1,2,3']}"
    text = f"hydra: {{sweeper: {{_target_: {sweeper}, params: null}}, job: {{num: '{number}'}}, {task}}}"
    assert count_expected_jobs(text.encode()) == expected
