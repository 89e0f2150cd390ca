"""The scripts that run tasks, in a real bash: slots, ends, limits, cancelling and resuming."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsm.jobs.base import JobOrder
from hsm.jobs.chunk import TaskAttempt
from hsm.jobs.local.executor import make_pool_script, make_script_path
from hsm.jobs.model import InfoStatus, TaskInfo
from hsm.jobs.task_files import parse_task_info
from hsm.prepared_sweep.document import ResumeRule, load_prepared
from tests.unit.jobs.sweep_maker import make_order, make_sweep

SECONDS = 30


class Pool:
    """A sweep and its pool, run in the foreground."""

    def __init__(self, project: Path, commands: list[list[str]], **fields: Any) -> None:
        self.project = project
        resume = fields.pop("resume", None)
        self.folder = make_sweep(project, commands, resume=resume)
        self.sweep = load_prepared(self.folder)
        self.order = self.make_order(range(1, len(commands) + 1), **fields)

    def make_order(self, tasks: Any, **fields: Any) -> JobOrder:
        return make_order(self.folder, self.sweep, tasks, project=self.project, **fields)

    def write(self, order: JobOrder | None = None) -> str:
        order = order or self.order
        path = make_script_path(order.places.folder, order.chunk.name)
        Path(path).write_text(make_pool_script(order))
        return path

    def run(self, n_slots: int = 2, order: JobOrder | None = None, gpus: tuple[str, ...] = (), **env: str) -> int:
        argv = ["bash", self.write(order), "run", str(n_slots), *gpus]
        environment = {**os.environ, "HSM_GRACE_SECONDS": "1", **env}
        return subprocess.run(argv, env=environment, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL).returncode

    def start(self, n_slots: int = 2) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "HSM_GRACE_SECONDS": "1"}
        argv = ["bash", self.write(), "run", str(n_slots)]
        return subprocess.Popen(argv, env=environment, start_new_session=True, stdin=subprocess.DEVNULL)

    def info(self, number: int) -> TaskInfo:
        found = parse_task_info(self.folder.task_info(number).read_bytes())
        assert found is not None
        return found

    def out(self, number: int, attempt: int = 1) -> str:
        return (self.folder.logs / f"task_{number}.{attempt}.out").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project (1)"
    folder.mkdir()
    return folder


def sh(text: str, *words: str) -> list[str]:
    return ["/bin/sh", "-c", text, "task", *words]


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_task_runs_once_and_says_how_it_ended(project: Path) -> None:
    pool = Pool(project, [sh(f"echo out {n}; echo err {n} >&2; exit {n % 3}") for n in range(1, 8)])
    assert pool.run(3) == 1
    for number in range(1, 8):
        info = pool.info(number)
        assert (info.status, info.exit_code, info.attempt) == (
            InfoStatus.FAILED if number % 3 else InfoStatus.COMPLETED,
            number % 3,
            1,
        )
        assert pool.out(number) == f"out {number}\n"
        assert (pool.folder.logs / f"task_{number}.1.err").read_text() == f"err {number}\n"
    assert pool.info(3).started <= pool.info(3).ended


def test_all_completed_is_exit_code_0(project: Path) -> None:
    assert Pool(project, [["true"]] * 3).run() == 0


def test_what_a_task_is_given(project: Path) -> None:
    words = ["a b", "it's", 'say "hi"', "$(touch pwned)", "%j", "", "tab\tnewline\nend", "*", "-n", "ü"]
    show = 'printf "%s|" "$HSM_SWEEP" "$HSM_TASK" "$HSM_ATTEMPT" "$WANDB_DIR" "$WANDB_RUN_GROUP" "$PWD" "$@"'
    pool = Pool(project, [sh(show, *words)])
    assert pool.run() == 0
    expected = [pool.sweep.sweep, "1", "1", str(project), pool.sweep.sweep, str(project), *words]
    assert pool.out(1) == "".join(f"{word}|" for word in expected)
    assert pool.folder.parameters(1).read_text() == '{"number": 1}\n'
    assert pool.folder.task_info(1).read_text().startswith('Parameters: {"number": 1}\nAttempt: 1\n')
    argv = ["bash", "-c", pool.folder.command(1).read_text()]
    again = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert again.stdout.endswith("".join(f"{word}|" for word in words))
    assert not (project / "pwned").exists()
    assert sorted(path.name for path in pool.folder.task(1).iterdir()) == [
        "command.txt",
        "parameters.json",
        "task_info.txt",
    ]


def test_no_more_run_at_a_time_than_there_are_slots(project: Path) -> None:
    count = "mkdir ../running.$HSM_TASK; ls -d ../running.* | wc -l; sleep 0.1; rmdir ../running.$HSM_TASK"
    pool = Pool(project, [sh(count)] * 8)
    assert pool.run(3) == 0
    assert max(int(pool.out(number)) for number in range(1, 9)) in (2, 3)


def test_a_complete_task_is_not_run_again(project: Path) -> None:
    pool = Pool(project, [sh("echo run")])
    assert pool.run() == 0
    assert pool.run() == 0
    assert pool.out(1) == "run\n"


def test_an_earlier_attempt_keeps_its_files(project: Path) -> None:
    pool = Pool(project, [sh("echo $HSM_ATTEMPT; test $HSM_ATTEMPT = 2")])
    assert pool.run() == 1
    assert pool.run(order=pool.make_order([TaskAttempt(1, 2)])) == 0
    assert (pool.out(1, 1), pool.out(1, 2)) == ("1\n", "2\n")
    earlier = parse_task_info((pool.folder.task(1) / "task_info.1.txt").read_bytes())
    assert earlier is not None
    assert (earlier.attempt, earlier.status) == (1, InfoStatus.FAILED)
    assert (pool.info(1).attempt, pool.info(1).status) == (2, InfoStatus.COMPLETED)


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_walltime_ends_a_task_and_all_that_it_started(project: Path, is_stubborn: bool) -> None:
    ignore = "trap '' TERM; " if is_stubborn else ""
    pool = Pool(
        project,
        [sh(f"{ignore}sleep 600 & echo $! > child; {ignore}wait; sleep 600"), sh("echo fine")],
        resources={"walltime": "00:00:01"},
    )
    assert pool.run() == 1
    info = pool.info(1)
    assert (info.status, info.reason) == (InfoStatus.FAILED, "time limit")
    assert info.signal == ("KILL" if is_stubborn else "TERM")
    assert pool.info(2).status is InfoStatus.COMPLETED
    pid = int((project / "child").read_text())
    wait_for(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_a_task_leaves_running_is_ended(project: Path) -> None:
    pool = Pool(project, [sh("sleep 600 >/dev/null 2>&1 & echo $! > child")])
    assert pool.run() == 0
    pid = int((project / "child").read_text())
    wait_for(lambda: not is_alive(pid))


def test_a_task_resumes_until_it_is_done(project: Path) -> None:
    text = (
        "trap 'echo saved $HSM_ATTEMPT >> $HSM_TASK_DIR/state; exit 0' TERM; "
        "if [ $HSM_ATTEMPT = 3 ]; then touch $HSM_TASK_DIR/.done; exit 0; fi; "
        "i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done"
    )
    resources = {"walltime": "00:00:03"}
    pool = Pool(project, [sh(text)], resources=resources, resume=ResumeRule(2, 5))
    assert pool.run() == 0
    assert (pool.folder.task(1) / "state").read_text() == "saved 1\nsaved 2\n"
    assert (pool.info(1).status, pool.info(1).attempt) == (InfoStatus.COMPLETED, 3)
    first = parse_task_info((pool.folder.task(1) / "task_info.1.txt").read_bytes())
    assert first is not None
    assert first.status is InfoStatus.REQUEUED


def test_a_task_resumes_so_many_times_and_no_more(project: Path) -> None:
    text = "trap 'exit 0' TERM; i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done"
    pool = Pool(project, [sh(text)], resources={"walltime": "00:00:02"}, resume=ResumeRule(1, 1))
    assert pool.run() == 1
    info = pool.info(1)
    assert (info.attempt, info.status, info.reason) == (2, InfoStatus.FAILED, "time limit")


def test_a_task_that_fails_by_itself_is_not_resumed(project: Path) -> None:
    pool = Pool(project, [sh("exit 7")], resources={"walltime": "01:00:00"}, resume=ResumeRule(5, 5))
    assert pool.run() == 1
    assert (pool.info(1).exit_code, pool.info(1).attempt) == (7, 1)


def test_cancelled_tasks_end_or_never_begin(project: Path) -> None:
    pool = Pool(project, [sh("echo begun; sleep 600"), sh("true"), sh("echo never")])
    process = pool.start(1)
    wait_for(lambda: pool.folder.task_info(1).exists())
    (pool.folder.own / "cancelled").write_text("1 1\n3 1\n")
    assert process.wait(SECONDS) == 1
    assert (pool.info(1).status, pool.info(1).signal) == (InfoStatus.FAILED, "TERM")
    assert pool.info(2).status is InfoStatus.COMPLETED
    assert not pool.folder.task(3).exists()


def test_term_ends_the_whole_pool(project: Path) -> None:
    pool = Pool(project, [sh("sleep 600")] * 4)
    process = pool.start(2)
    wait_for(lambda: pool.folder.task_info(1).exists() and pool.folder.task_info(2).exists())
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 1
    assert (pool.info(1).signal, pool.info(2).signal) == ("TERM", "TERM")
    assert not pool.folder.task(3).exists()


def test_a_task_whose_process_is_killed_is_failed_and_the_rest_goes_on(project: Path) -> None:
    # The parent of a task is the process that looks after it.
    pool = Pool(project, [sh("kill -9 $PPID; sleep 1"), sh("true"), sh("true")])
    assert pool.run(1) == 1
    assert (pool.info(1).status, pool.info(1).exit_code) == (InfoStatus.FAILED, 137)
    assert pool.info(3).status is InfoStatus.COMPLETED


def test_a_record_that_is_cut_fails_its_task_alone(project: Path) -> None:
    pool = Pool(project, [["true"], ["true"]])
    records = pool.folder.records(1)
    records.write_bytes(records.read_bytes()[:-1])
    assert pool.run() == 1
    assert pool.info(1).status is InfoStatus.COMPLETED
    assert pool.info(2).status is InfoStatus.FAILED


def test_a_program_that_is_missing_fails_its_task(project: Path) -> None:
    pool = Pool(project, [["/nonexistent/python"]])
    assert pool.run() == 1
    assert pool.info(1).exit_code == 127


def test_gpus_are_dealt_to_slots(project: Path) -> None:
    pool = Pool(project, [sh("echo $CUDA_DEVICE_ORDER $CUDA_VISIBLE_DEVICES; sleep 0.2")] * 2, resources={"gpus": 2})
    assert pool.run(2, gpus=("0,2", "3,5")) == 0
    assert {pool.out(1), pool.out(2)} == {"PCI_BUS_ID 0,2\n", "PCI_BUS_ID 3,5\n"}


FAKE_NVIDIA_SMI = """#!/bin/sh
echo "0, 0, 12"
echo "1, 97, 300"
echo "2, 0, 900"
echo "3, 3, 499"
echo "4, [N/A], [N/A]"
"""


@pytest.mark.parametrize(
    ("choice", "per_task", "visible", "expected"),
    [
        pytest.param("", 1, None, "0|3|4", id="busy ones are left out"),
        pytest.param("", 2, None, "0,3", id="two each"),
        pytest.param("all", 1, None, "0|1|2|3|4", id="all"),
        pytest.param("2", 1, None, "0|3", id="so many"),
        pytest.param("2,1", 1, None, "2|1", id="named"),
        pytest.param("1,", 1, None, "1", id="one named"),
        pytest.param("", 1, "3,4", "3|4", id="of those that may be seen"),
        pytest.param("cpu", 1, None, "none", id="none"),
        pytest.param("", 4, None, "refused", id="too few"),
    ],
)
def test_choice_of_gpus(
    project: Path, tmp_path: Path, choice: str, per_task: int, visible: str | None, expected: str
) -> None:
    pool = Pool(project, [["true"]] * 9, resources={"gpus": per_task}, gpu_choice=choice)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "nvidia-smi").write_text(FAKE_NVIDIA_SMI)
    (programs / "nvidia-smi").chmod(0o755)
    script = Path(pool.write())
    text = script.read_text()
    # Its choice alone: what follows would start it.
    main = text.index("\ncase ${1:-} in")
    script.write_text(text[:main] + '\nhsm_choose_slots || { echo refused; exit; }\nIFS="|"; echo "${hsm_gpus[*]}"\n')
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    if visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = visible
    argv = ["bash", str(script)]
    completed = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert completed.stdout.strip() == expected


def test_the_parts_are_bash_3_2(project: Path) -> None:
    """Words that newer versions brought; where there is a shell of that version, the other tests are run by it."""
    text = Path(Pool(project, [["true"]]).write()).read_text()
    newer = ["wait -n", "mapfile", "readarray", "declare -A", "BASHPID", "${EPOCH", "printf '%(", "|&", "coproc"]
    for word in [*newer, ",,}", "^^}", "[ -v "]:
        assert word not in text, word


def test_prepared_folder_is_not_touched(project: Path) -> None:
    pool = Pool(project, [["true"]])
    before = {path.name: path.read_bytes() for path in pool.folder.own.iterdir()}
    pool.run()
    after = {path.name: path.read_bytes() for path in pool.folder.own.iterdir() if path.name in before}
    assert after == before
