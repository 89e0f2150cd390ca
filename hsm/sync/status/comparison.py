"""Comparison of a sweep here with targets (`--check`): the survey and the plan of a dry run, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from hsm.config.loaded import LoadedConfig
from hsm.config.settings import TargetSettings
from hsm.errors import ExitCode, UsageError
from hsm.process.runner import Runner
from hsm.progress import Reporter
from hsm.sync.bring.pull import pull
from hsm.sync.bring.push import push
from hsm.sync.counts import count_bytes, count_files, count_runs
from hsm.sync.reports import State, SyncReport, TargetReport
from hsm.sync.request import SyncRequest
from hsm.sync.status.report import Asked, Question


def ask_targets(
    loaded: LoadedConfig,
    questions: Iterable[Question],
    targets: Mapping[str, TargetSettings],
    *,
    runner: Runner,
    reporter: Reporter,
    may_ask: bool,
) -> dict[Question, Asked]:
    """Ask targets about sweeps. Changes nothing.

    Args:
        loaded: The configuration.
        questions: Sweeps and targets.
        targets: Those of the questions, by name.
        runner: Starts the processes.
        reporter: Told of each step.
        may_ask: ssh may ask in this terminal.
    """
    wanted = list(questions)
    answers: dict[Question, Asked] = {}
    for direction in ("push", "pull"):
        pairs = [question for question in wanted if question.direction == direction]
        bring = partial(push if direction == "push" else pull, loaded, runner=runner, reporter=reporter)
        sweeps = tuple(dict.fromkeys(question.sweep for question in pairs))
        meant = {name: targets[name] for name in dict.fromkeys(question.target for question in pairs)}
        if pairs:
            answers |= _ask(bring, SyncRequest(sweeps, meant, is_dry_run=True, may_ask=may_ask), direction)
    return {question: answers[question] for question in wanted if question in answers}


def _ask(bring: Callable[[SyncRequest], SyncReport], request: SyncRequest, direction: str) -> dict[Question, Asked]:
    """Ask about all sweeps at once; where one of them is no sweep there, about each by itself."""
    try:
        report = bring(request)
    except UsageError as error:
        # A pull learns only at the target whether there is such a sweep; one that is missing must not hide the others.
        if len(request.sweeps) == 1:
            failed = Asked(State.FAILED.value, error=error)
            return {Question(request.sweeps[0], name, direction): failed for name in request.targets}
        answers: dict[Question, Asked] = {}
        for sweep in request.sweeps:
            answers |= _ask(bring, replace(request, sweeps=(sweep,)), direction)
        return answers
    return {
        Question(sweep.sweep, target.name, direction): make_answer(target)
        for sweep in report.sweeps
        for target in sweep.targets
    }


def make_answer(target: TargetReport) -> Asked:
    """Make the answer of a target out of a dry run's report. Pure."""
    files, runs = count_files(target), count_runs(target)
    is_equal = target.plan is not None and target.exit_code is ExitCode.DONE and not files["planned"]
    return Asked(
        state=target.state.value,
        n_files=files["planned"],
        n_bytes=count_bytes(target)["planned"],
        n_complete=runs["complete"],
        is_complete=is_equal and runs["complete"] == runs["total"] and bool(target.plan and target.plan.items),
        error=target.error,
        problems=target.problems,
    )
