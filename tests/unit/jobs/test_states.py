"""The words for states: every state of a task and of Slurm has its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hsm.jobs.slurm.states import SLURM_STATES, parse_slurm_state
from hsm.jobs.states import (
    ACTIVE,
    ENDED_BADLY,
    FINAL,
    SETTLED,
    STATE_WORDS,
    TaskCount,
    TaskState,
    count_tasks,
)

DESIGN = Path(__file__).parents[3] / "docs" / "design" / "jobs.md"

WORDS = {
    "prepared": ("PENDING", "pending", "pending"),
    "pending": ("PENDING", "queued", "pending"),
    "running": ("RUNNING", "running", "running"),
    "completed": ("COMPLETED", "succeeded", "completed"),
    "failed": ("FAILED", "failed", "failed"),
    "timed_out": ("TIMEOUT", "timeout", "failed"),
    "out_of_memory": ("OUT_OF_MEMORY", "failed", "failed"),
    "node_lost": ("NODE_FAIL", "failed", "failed"),
    "cancelled": ("CANCELLED", "cancelled", "cancelled"),
    "preempted": ("PREEMPTED", "failed", "failed"),
    "unknown": ("UNKNOWN", "unknown", "unknown"),
    "lost": ("FAILED", "failed", "failed"),
}

SLURM = {
    "BOOT_FAIL": "node_lost",
    "CANCELLED": "cancelled",
    "COMPLETED": "completed",
    "COMPLETING": "running",
    "CONFIGURING": "pending",
    "DEADLINE": "timed_out",
    "EXPEDITING": "pending",
    "FAILED": "failed",
    "LAUNCH_FAILED": "node_lost",
    "NODE_FAIL": "node_lost",
    "OUT_OF_MEMORY": "out_of_memory",
    "PENDING": "pending",
    "POWER_UP_NODE": "pending",
    "PREEMPTED": "preempted",
    "RECONFIG_FAIL": "node_lost",
    "REQUEUED": "pending",
    "REQUEUE_FED": "pending",
    "REQUEUE_HOLD": "pending",
    "RESIZING": "running",
    "RESV_DEL_HOLD": "pending",
    "REVOKED": "unknown",
    "RUNNING": "running",
    "SIGNALING": "running",
    "SPECIAL_EXIT": "pending",
    "STAGE_OUT": "running",
    "STOPPED": "running",
    "SUSPENDED": "running",
    "TIMEOUT": "timed_out",
    "UPDATE_DB": "running",
}


def test_every_state_has_its_words() -> None:
    assert {state.value: (w.shared, w.served, w.counts_as.value) for state, w in STATE_WORDS.items()} == WORDS
    assert set(STATE_WORDS) == set(TaskState)


def test_the_page_shows_the_same_words() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| (\w+) \|", DESIGN.read_text("utf-8"), re.MULTILINE)
    assert {name: tuple(words) for name, *words in rows} == WORDS


@pytest.mark.parametrize(("word", "state"), SLURM.items())
def test_slurm_state(word: str, state: str) -> None:
    assert parse_slurm_state(word).value == state


def test_every_slurm_state_is_tried() -> None:
    assert set(SLURM_STATES) == set(SLURM)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        pytest.param("CANCELLED by 1000", "cancelled", id="with the user"),
        pytest.param("OUT_OF_MEMORY+", "out_of_memory", id="cut"),
        pytest.param("HIBERNATING", "unknown", id="a word of a later version"),
        pytest.param("", "unknown", id="nothing"),
        pytest.param("completed", "unknown", id="another spelling"),
    ],
)
def test_other_texts(text: str, state: str) -> None:
    assert parse_slurm_state(text).value == state


def test_sets_of_states() -> None:
    assert ACTIVE.isdisjoint(SETTLED)
    assert set(TaskState) - SETTLED - ACTIVE == {TaskState.PREPARED, TaskState.UNKNOWN}
    assert FINAL - {TaskState.COMPLETED} | {TaskState.LOST} == ENDED_BADLY


def test_counts_hold_every_task_once() -> None:
    counts = count_tasks(TaskState)
    assert sum(counts.values()) == len(TaskState)
    assert counts[TaskCount.FAILED] == 6
    assert counts[TaskCount.PENDING] == 2
    assert count_tasks([]) == dict.fromkeys(TaskCount, 0)
