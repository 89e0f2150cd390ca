"""Dialogues with real programs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from hsm.process.dialogue import Dialogue
from hsm.process.runner import CommandStoppedError, CommandTimeoutError, Completed, ProgramMissingError, Runner
from tests.marks import parametrize
from tests.unit.process.conftest import LONG, is_running, list_open_files, read_pid, wait_until

ENDS = (b"<end>", b"<err>\n")
TALK = 'while read -r line; do eval "$line"; printf "<end>"; echo "<err>" >&2; done'
"""A shell that is told a line and answers; what it prints ends as `ENDS` says."""


def talk(runner: Runner | None = None, script: str = TALK) -> Dialogue:
    return Dialogue(runner or Runner(), ["bash", "-c", script])


def ask(dialogue: Dialogue, line: str, *, timeout_seconds: float = LONG) -> Completed:
    return dialogue.ask(line.encode() + b"\n", ends=ENDS, timeout_seconds=timeout_seconds)


def test_a_dialogue_answers_again_and_again() -> None:
    with closing(talk()) as dialogue:
        pids = set()
        for number in range(50):
            answer = ask(dialogue, f"echo {number}; echo e{number} >&2; echo $$")
            out, pid, end = answer.stdout.decode().split("\n")
            pids.add(pid)
            assert (out, end, answer.stderr, answer.returncode) == (str(number), "<end>", b"e%d\n<err>\n" % number, 0)
    assert len(pids) == 1


@parametrize("size", [70_000, 5_000_000], quick=[70_000])
def test_a_dialogue_takes_large_answers_and_large_questions(size: int) -> None:
    with closing(talk()) as dialogue:
        for _ in range(2):
            zeros = f"head -c {size} /dev/zero"
            answer = ask(dialogue, f"{zeros}; {zeros} | tr '\\0' e >&2")
            assert answer == Completed(0, b"\0" * size + ENDS[0], b"e" * size + ENDS[1])
        content = "x" * min(size, 1_000_000)
        assert ask(dialogue, f"printf %s {content}").stdout == content.encode() + ENDS[0]
        assert ask(dialogue, f": {content}; echo after").stdout == b"after\n<end>"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param('read -r line; printf "a<end>"; sleep 0.4; echo "b<err>" >&2; sleep 60', id="output first"),
        pytest.param('read -r line; echo "b<err>" >&2; sleep 0.4; printf "a<end>"; sleep 60', id="complaints first"),
        pytest.param(
            'read -r line; printf "a<e"; sleep 0.3; printf "nd>"; printf "b<er" >&2; sleep 0.3; echo "r>" >&2; cat',
            id="ends in pieces",
        ),
    ],
)
def test_an_answer_has_ended_when_both_outputs_have(script: str) -> None:
    with closing(talk(script=script)) as dialogue:
        assert ask(dialogue, "") == Completed(0, b"a<end>", b"b<err>\n")


def test_an_answer_may_hold_half_an_end() -> None:
    with closing(talk()) as dialogue:
        answer = ask(dialogue, "for i in 1 2 3; do printf '<en'; printf '<err' >&2; sleep 0.05; done")
        assert answer == Completed(0, b"<en<en<en<end>", b"<err<err<err<err>\n")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("printf half; exit 3", 3, id="exit"),
        pytest.param("printf half; kill -9 $$", -signal.SIGKILL, id="killed"),
        pytest.param("printf half; exit 0", -signal.SIGTERM, id="ended as if all were well"),
        pytest.param("printf half; exec >&- 2>&-; exec sleep 60", -signal.SIGTERM, id="closed its outputs and stays"),
    ],
)
def test_a_program_that_dies_amid_an_answer_is_told(line: str, code: int) -> None:
    with closing(talk()) as dialogue:
        assert ask(dialogue, "echo fine").returncode == 0
        answer = ask(dialogue, line)
        assert (answer.returncode, answer.stdout) == (code, b"half")
        assert ask(dialogue, "echo again").returncode != 0  # a dead one stays dead, and nothing is raised


def test_a_program_that_dies_before_it_has_read_the_question_is_told() -> None:
    with closing(talk(script="exec <&-; exit 4")) as dialogue:
        assert ask(dialogue, "x" * 1_000_000).returncode == 4


def test_an_answer_that_takes_too_long_ends_the_waiting_and_close_ends_the_program(tmp_path: Path) -> None:
    dialogue = talk()
    with pytest.raises(CommandTimeoutError):
        ask(dialogue, f"echo $$ >{tmp_path}/pid; sleep 60", timeout_seconds=0.4)
    pid = read_pid(tmp_path / "pid")
    dialogue.close()
    wait_until(lambda: not is_running(pid))


def test_a_question_that_nobody_reads_runs_out_of_time() -> None:
    with closing(talk(script="sleep 60")) as dialogue, pytest.raises(CommandTimeoutError):
        ask(dialogue, "x" * 1_000_000, timeout_seconds=0.4)


@pytest.mark.parametrize("ends", [Runner.stop, Runner.interrupt])
def test_an_interrupt_ends_a_dialogue(ends: Callable[[Runner], None], tmp_path: Path) -> None:
    runner = Runner()
    dialogue = talk(runner)
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(ask, dialogue, f"sleep 60 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/pid; wait")
        pids = [read_pid(tmp_path / name) for name in ("child", "pid")]
        ends(runner)
        assert isinstance(future.exception(), CommandStoppedError)
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    dialogue.close()


def test_a_dialogue_between_two_questions_ends_with_an_interrupt() -> None:
    runner = Runner()
    with closing(talk(runner)) as dialogue:
        pid = int(ask(dialogue, "echo $$").stdout.split()[0])
        runner.interrupt()
        assert not is_running(pid)
        assert ask(dialogue, "echo x").returncode != 0
    with closing(talk(runner)) as other:  # to tidy up
        assert ask(other, "echo x").stdout == b"x\n<end>"


def test_after_a_stop_no_program_is_opened() -> None:
    runner = Runner()
    runner.stop()
    with pytest.raises(CommandStoppedError):
        Dialogue(runner, ["sleep", "60"])


def test_a_missing_program_is_told_when_it_is_opened() -> None:
    with pytest.raises(ProgramMissingError, match="hsm-no-such-program"):
        Dialogue(Runner(), ["hsm-no-such-program"])


def test_a_dialogue_closed_twice_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    before = list_open_files()
    dialogue = talk(script=f"sleep 60 & echo $! >{tmp_path}/child; {TALK}")
    pid = int(ask(dialogue, "echo $$").stdout.split()[0])
    child = read_pid(tmp_path / "child")
    assert list_open_files() > before
    dialogue.close()
    dialogue.close()
    assert not is_running(pid)
    wait_until(lambda: not is_running(child))
    assert list_open_files() == before


def test_how_long_an_answer_took_to_begin_is_measured() -> None:
    with closing(talk()) as dialogue:
        assert dialogue.wait_seconds == float("inf")
        ask(dialogue, "sleep 0.3; echo x")
        late = dialogue.wait_seconds
        assert late >= 0.3
        for _ in range(20):  # on a busy machine one may be as late
            ask(dialogue, "echo x; sleep 0.3")
            if dialogue.wait_seconds < late:
                return
        pytest.fail("the answer's end was measured")


def test_what_was_printed_before_the_answer_is_not_its_beginning() -> None:
    with closing(talk(script=f"echo Welcome; {TALK}")) as dialogue:
        time.sleep(0.2)
        answer = dialogue.ask(b"sleep 0.3; echo MARK\n", ends=ENDS, timeout_seconds=LONG, begin=b"MARK")
        assert answer.stdout == b"Welcome\nMARK\n<end>"
        assert 0.3 <= dialogue.wait_seconds < LONG


def test_dialogues_of_several_threads_do_not_meet() -> None:
    runner = Runner()

    def count(number: int) -> list[bytes]:
        with closing(talk(runner)) as dialogue:
            return [ask(dialogue, f"echo {number}.{step}").stdout for step in range(10)]

    with ThreadPoolExecutor(6) as executor:
        found = list(executor.map(count, range(6)))
    assert found == [[b"%d.%d\n<end>" % (number, step) for step in range(10)] for number in range(6)]
