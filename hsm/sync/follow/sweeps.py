"""Sweeps that are followed: their progress, read after each pass from its plans, from logs, and from Slurm."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hsm.discover.sweeps import Layout
from hsm.errors import UsageError
from hsm.model import Run, SyncPlan
from hsm.sweep_folder import sweep_folder
from hsm.sync.bring.landing import LookHere, find_landing
from hsm.sync.follow.hydra_jobs import find_job_times, make_job_views, read_expected_jobs
from hsm.sync.follow.judgement import Awaited, CountSource, FollowLimits, RunView, choose_expected, judge, make_views
from hsm.sync.follow.scheduler import JobQueues, RunCommand, read_combinations, read_job
from hsm.wandb_log.slurm_job import SlurmJob

# Logs that are read of runs that have ended: they name the array whose tasks may still come.
_LOGS_OF_ENDED_RUNS = 5

Plans = Mapping[str, Mapping[str, SyncPlan]]
"""By sweep and target, the ones that were made last at the end."""


class FollowedSweeps:
    """Progress of all sweeps of one call. Used by one thread.

    Args:
        layout: Folders of the project's sweeps and runs here.
        patience: Limits of waiting for what may never come.
        interval_seconds: Between passes; Slurm is asked no more often.
        ask: Runs a command where a target's runs come from.
        look: Looks at this project, where runs come from elsewhere: their logs are read where they land.

    Attributes:
        awaited: Progress of each sweep, as of the last `look`.
    """

    def __init__(
        self,
        layout: Layout,
        patience: FollowLimits,
        *,
        interval_seconds: float,
        ask: RunCommand,
        look: LookHere | None,
    ) -> None:
        self._layout = layout
        self._patience = patience
        self._queues = JobQueues(ask, interval_seconds=interval_seconds)
        self._look = look
        self._views: dict[str, dict[str, RunView]] = {}
        self._only: Mapping[str, frozenset[str]] = {}
        self._jobs: dict[str, dict[str, SlurmJob]] = {}
        self._changed_ns: dict[str, int] = {}
        self._hydra: dict[str, tuple[str, dict[str, int]]] = {}
        self._begun_ns = time.time_ns()
        self.awaited: dict[str, Awaited] = {}

    @property
    def is_over(self) -> bool:
        """True where no sweep waits for anything."""
        return bool(self.awaited) and all(awaited.is_over for awaited in self.awaited.values())

    def list_folders(self, *, has_ended: bool) -> list[str]:
        """List the folders at the source of the runs that have ended, or of the others."""
        views = (view for views in self._views.values() for view in views.values())
        return [f"{view.run.prefix}/{view.run.name}" for view in views if view.has_ended == has_ended]

    def look(self, plans: Plans, only: Mapping[str, frozenset[str]], *, asks: bool = True) -> None:
        """Look at the sweeps after a pass.

        Args:
            plans: For each sweep that counts, the last plan of each target; those that are missing have none yet.
            only: The names or ids of the runs that alone are meant, by sweep; a sweep that is meant whole is not in it.
            asks: Ask Slurm too, when it is time.
        """
        now_ns = time.time_ns()
        self._only = only
        views = {sweep: self._read_views(sweep, found, now_ns) for sweep, found in plans.items()}
        self._views = views
        if asks:
            self._queues.ask(view for views in self._views.values() for view in views.values())
        self.awaited = {sweep: self._judge(sweep, now_ns) for sweep in plans}

    def _judge(self, sweep: str, now_ns: int) -> Awaited:
        # The list of combinations lies in the sweep's folder, which a project may have beside its folder of sweeps too.
        folders = [Path(base, sweep_folder(sweep)) for base in (self._layout.sweeps, self._layout.project)]
        views, begun = self._views[sweep], self._hydra.get(sweep)
        names = self._only.get(sweep)
        expected = choose_expected(
            self._patience if names is None else replace(self._patience, expect=len(views)),
            read_combinations(folders),
            views,
            jobs=read_expected_jobs(self._layout.project, *begun) if begun else None,
        )
        return judge(
            views,
            expected=expected,
            patience=self._patience,
            queues=self._queues.answers,
            now_ns=now_ns,
            begun_ns=self._begun_ns,
            changed_ns=self._changed_ns[sweep],
            n_begun=len(begun[1]) if begun and expected.source is CountSource.HYDRA else None,
        )

    def _read_views(self, sweep: str, plans: Mapping[str, SyncPlan], now_ns: int) -> dict[str, RunView]:
        jobs = self._jobs.setdefault(sweep, {})
        views: dict[str, RunView] = {}
        for target, plan in plans.items():
            views.update(make_views(_choose(plan, self._only.get(sweep)), target))
            if plan.place:
                views.update(self._make_job_views(sweep, plan, target, now_ns))
        self._note_changes(sweep, views, now_ns)
        self._read_jobs(sweep, views, jobs)
        return {name: replace(view, job=jobs.get(name)) for name, view in views.items()}

    def _make_job_views(self, sweep: str, plan: SyncPlan, target: str, now_ns: int) -> dict[str, RunView]:
        self._hydra[sweep] = plan.place, find_job_times(plan)
        settle_seconds = self._patience.settle_seconds
        found = make_job_views(plan, target, self._layout.project, now_ns=now_ns, settle_seconds=settle_seconds)
        return {view.run.name: view for view in found}

    def _note_changes(self, sweep: str, views: Mapping[str, RunView], now_ns: int) -> None:
        """Note when the sweep last changed: by the times of its files, and by what was seen to be new."""
        known = self._views.get(sweep)
        if not known:
            # A sweep that was at rest when the call began need not settle anew; a file of tomorrow counts as of now.
            newest = max((view.newest_ns for view in views.values()), default=now_ns)
            if views or sweep not in self._changed_ns:
                self._changed_ns[sweep] = min(newest, now_ns)
        elif any(name not in known or known[name].newest_ns != view.newest_ns for name, view in views.items()):
            self._changed_ns[sweep] = now_ns

    def _read_jobs(self, sweep: str, views: Mapping[str, RunView], jobs: dict[str, SlurmJob]) -> None:
        """Read the Slurm jobs that the open runs name, and a few others: those tell of the array that they were in."""
        ended = sorted((name for name, view in views.items() if view.has_ended), reverse=True)
        names = [*(name for name, view in views.items() if not view.has_ended), *ended[:_LOGS_OF_ENDED_RUNS]]
        logs = self._find_logs(sweep, [views[name].run for name in names if name not in jobs and views[name].run.log])
        jobs |= {name: job for name, log in logs.items() if (job := read_job(log)) is not None}

    def _find_logs(self, sweep: str, runs: Sequence[Run]) -> dict[str, Path]:
        """Find the logs of runs on this machine, by run."""
        if self._look is None:
            return {run.name: Path(run.prefix, run.name, run.log) for run in runs}
        logs = {run.name: Path(self._layout.wandb, run.name, run.log) for run in runs}
        # Not `Path.is_file`, which raises where the folder is another user's.
        missing = {name for name, log in logs.items() if not os.path.isfile(log)}  # noqa: PTH113
        if missing:
            with contextlib.suppress(UsageError):  # the pull has said that the sweep lies in two places
                folders = find_landing(self._look(fresh=False), sweep, missing).runs.folders
                logs |= {run.name: Path(folders[run.name], run.name, run.log) for run in runs if run.name in folders}
        return logs


def _choose(plan: SyncPlan, names: frozenset[str] | None) -> SyncPlan:
    """Leave the runs that are not meant."""
    if names is None:
        return plan
    return replace(plan, runs=tuple(run for run in plan.runs if not names.isdisjoint((run.name, run.id))))
