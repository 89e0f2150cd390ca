"""Cancelling of tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hsm.errors import HsmError
from hsm.jobs.model import Element
from hsm.jobs.state.values import ExecutorKind, SubmissionState, SweepState
from hsm.jobs.states import ACTIVE, TaskState
from hsm.jobs.tracker import observe_tasks
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.sweeps.submitted.open_sweep import OpenSweep

_MAY_END = ACTIVE | {TaskState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Outcome of a cancellation.

    Attributes:
        numbers: Of the tasks that were asked to end.
        n_others: Tasks that had ended or were never submitted.
        faults: Why something could not be asked.
    """

    numbers: tuple[int, ...] = ()
    n_others: int = 0
    faults: tuple[str, ...] = ()


def cancel_tasks(opened: OpenSweep, numbers: Iterable[int]) -> Cancelled:
    """Have tasks end, or never begin; each scheduler is asked once for all.

    It is written down first, so that a task of a job with several, or one that would be resumed, ends all the same.
    """
    wanted = set(numbers)
    _state, faults = observe_tasks(opened.tracked)
    with opened.store.change() as state:
        chosen = [n for n in sorted(wanted) if state.get_status(n).state in _MAY_END]
        for number in chosen:
            state.set_status(number, replace(state.get_status(number), is_cancelled=True))
        _write_cancelled(
            opened.folder, [(n, owner.first_attempt) for n, owner in state.find_owners().items() if n in set(chosen)]
        )
    problems = list(faults) + _ask_executors(opened, state, set(chosen))
    if chosen:
        observe_tasks(opened.tracked)
    return Cancelled(tuple(chosen), len(wanted) - len(chosen), tuple(problems))


def _write_cancelled(folder: PreparedFolder, tasks: list[tuple[int, int]]) -> None:
    """Add lines `<number> <attempt>` to the file in which jobs look; each is one write, which nothing interrupts."""
    if not tasks:
        return
    content = "".join(f"{number} {attempt}\n" for number, attempt in tasks).encode("ascii")
    descriptor = os.open(folder.own / "cancelled", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _ask_executors(opened: OpenSweep, state: SweepState, chosen: set[int]) -> list[str]:
    """Have executors end the elements whose every task is cancelled."""
    problems = []
    for kind in ExecutorKind:
        jobs = [
            submission.job
            for submission in state.submissions
            if submission.executor is kind and submission.state is SubmissionState.ACCEPTED
        ]
        elements = _list_elements(state, chosen)
        concerned = [job for job in jobs if any(element in elements for _, element in job.chunk.iter_elements())]
        if not concerned:
            continue
        try:
            opened.tracked.executors[kind].cancel(concerned, sorted(elements))
        except HsmError as error:
            problems.append(error.message)
    return problems


def _list_elements(state: SweepState, chosen: set[int]) -> set[Element]:
    owners = state.find_owners()
    found = {owners[number].element for number in chosen if number in owners}
    busy = {
        owner.element
        for number, owner in owners.items()
        if number not in chosen and state.get_status(number).state in _MAY_END
    }
    return found - busy
