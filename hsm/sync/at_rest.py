"""A sweep at rest: what has changed at neither end since a sync had nothing to do is not looked at file by file.

Of thousands of runs, a plan is seconds of computing. So a sync that had nothing to do leaves behind what both ends
said, in digests. The next one asks both ends the same questions; where they say the same and it was asked for the same,
it has nothing to do either. Anything else, and every file is looked at.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from hsm._version import __version__
from hsm.discover.footprint import Footprint, is_unchanged
from hsm.discover.sweeps import Layout, SweepFolder
from hsm.endpoint import Endpoint, FileEnds
from hsm.errors import ExitCode
from hsm.model import Reason, RunState
from hsm.plan.summary import Counts
from hsm.records.rest import Rest, get_rest_path, load_rest, save_rest
from hsm.remote.local import LocalEndpoint
from hsm.sync.report import State, TargetReport, count_files, count_runs
from hsm.sync.serve import wait_awake

LEAST_RUNS = 500
"""From which on a sweep's files are not looked at one by one: with fewer there is nothing to be gained."""

_PASSING = (Reason.CONFLICT, Reason.NOT_CHOSEN, Reason.SECRET)
"""Reasons for which a file is left that a report must name, or that the call decides."""


class AtRest:
    """Whether one sweep is at rest at the targets of a call. Each target is served by one thread.

    Args:
        journals: Where the journal lies, by target; none for a call that looks at every file.
        questions: What is asked for, by target: whatever else decides what a sync has to do.
        layout: Where results lie here.
        sweep: Which.
    """

    def __init__(
        self, journals: Mapping[str, Path], questions: Mapping[str, object], layout: Layout, sweep: SweepFolder
    ) -> None:
        self._journals = journals
        self._questions = questions
        self._layout = layout
        self._places = (layout.sweeps, layout.wandb, sweep.path)
        self._footprint = Footprint()
        self._rests = {name: self._load(name) for name in journals}
        self._verdicts: dict[str, Future[bool]] = {name: Future() for name in journals}

    @property
    def source(self) -> Endpoint:
        """This machine as the source; what is read of it is noted."""
        return _NotedEndpoint(self._footprint)

    def get_known(self, name: str) -> str:
        """The digest of what a target said the last time; empty where nothing is known."""
        rest = self._rests.get(name)
        return rest.destination if rest is not None else ""

    def tell(self, name: str, digest: str) -> None:
        """Say what a target says: the digest of its survey, empty where it could not be asked."""
        verdict = self._verdicts.get(name)
        if verdict is not None and not verdict.done():
            verdict.set_result(digest != "" and digest == self.get_known(name))

    def leave(self, name: str) -> None:
        """Say that it does not matter for a target any more what is here."""
        verdict = self._verdicts.get(name)
        if verdict is not None and not verdict.done():
            verdict.set_result(True)

    def is_at_rest(self) -> bool:
        """Whether nothing has changed here, nor at any target. Waits for what all targets say."""
        rests = list(self._rests.values())
        folders = [rest.folders for rest in rests if rest is not None]
        if not folders or len(folders) < len(rests) or any(other != folders[0] for other in folders[1:]):
            return False
        if not is_unchanged(folders[0]):
            return False
        wait_awake(self._verdicts.values())
        return all(verdict.result() for verdict in self._verdicts.values())

    def make_report(self, name: str, seconds: Mapping[str, float]) -> TargetReport:
        """The report of a target at which nothing has changed."""
        rest = self._rests[name]
        if rest is None:
            raise AssertionError("make_report() follows is_at_rest()")
        return TargetReport(
            name,
            State.NOTHING_TO_DO,
            ExitCode.DONE,
            problems=rest.problems,
            seconds=dict(seconds),
            counts=rest.counts,
        )

    def note(self, report: TargetReport, digest: str) -> None:
        """Leave behind what is known of a sweep that has everything at a target.

        Args:
            report: How it ended.
            digest: What the target said before.
        """
        counts = _count(report)
        journal = self._journals.get(report.name)
        folders = self._footprint.folders
        if counts is None or journal is None or not digest or self._footprint.is_torn:
            return
        if os.path.realpath(self._layout.wandb) not in folders:
            return  # one that is made later would not be noticed
        rest = Rest(self._make_question(report.name), folders, digest, counts, report.problems)
        if rest != self._rests[report.name]:
            save_rest(get_rest_path(journal), rest)

    def _load(self, name: str) -> Rest | None:
        rest = load_rest(get_rest_path(self._journals[name]))
        return rest if rest is not None and rest.question == self._make_question(name) else None

    def _make_question(self, name: str) -> str:
        """A digest of all that decides what a sync has to do but for what lies at both ends."""
        try:
            journal = self._journals[name].read_bytes()
        except OSError:
            journal = b""
        places = [os.path.realpath(place) for place in self._places]
        asked = json.dumps([__version__, places, self._questions[name]], sort_keys=True).encode()
        return hashlib.sha256(hashlib.sha256(asked).digest() + hashlib.sha256(journal).digest()).hexdigest()


class _NotedEndpoint(LocalEndpoint):
    """This machine; of a file that is read the folder is noted as well, where it was not listed.

    So the metadata of a run whose log says nothing yet are missed when they come.
    """

    def __init__(self, footprint: Footprint) -> None:
        super().__init__(scan=footprint.scan)
        self._footprint = footprint

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        for folder in dict.fromkeys(path.rpartition("/")[0] for path in paths):
            if folder not in self._footprint.folders:
                with contextlib.suppress(OSError):
                    self._footprint.scan(folder)
        return super().read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes)


def describe_sweeps(sweeps: Iterable[SweepFolder]) -> Sequence[Sequence[str]]:
    """What is known of sweeps before they are read, for a question."""
    return sorted([sweep.id, sweep.prefix, sweep.path] for sweep in sweeps)


def _count(report: TargetReport) -> Counts | None:
    """Count what a plan says, if it says the same however late it is; None otherwise."""
    plan = report.plan
    if plan is None or report.state is not State.NOTHING_TO_DO or report.exit_code is not ExitCode.DONE:
        return None
    is_lasting = all(run.at_rest and run.state is not RunState.RUNNING for run in plan.runs)
    is_plain = plan.is_checked and report.problems == plan.problems and not report.after
    if not is_lasting or not is_plain or any(item.reason in _PASSING for item in plan.items):
        return None
    return Counts(count_files(report), count_runs(report), dict(plan.deeper), plan.max_depth)
