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
from concurrent.futures import Future, InvalidStateError
from pathlib import Path

from hsm._version import __version__
from hsm.discover.sweeps import Layout, SweepFolder
from hsm.endpoint import Endpoint, FileEnds
from hsm.errors import ExitCode
from hsm.model import Problem, Reason, RunState
from hsm.plan.summary import Counts
from hsm.remote.local import LocalEndpoint
from hsm.sync.reports import State, TargetReport, count_files, count_runs
from hsm.sync.shortcuts.footprint import Footprint, is_unchanged
from hsm.sync.shortcuts.unchanged_record import Rest, get_rest_path, load_rest, save_rest
from hsm.sync.target_threads import iter_awake

LEAST_RUNS = 500
"""From which on a sweep's files are not looked at one by one: with fewer there is nothing to be gained."""

_PASSING = (Reason.CONFLICT, Reason.NOT_CHOSEN)
"""Reasons for which a file is left that a report must name, or that the call decides."""

_LASTING = ("link_outside", "membership_unknown", "secret", "special_file", "symlinked_folder", "symlinked_run")
"""Kinds of notices that follow from what is listed; what could not be read today may be readable tomorrow."""

_NO_REPORT = TargetReport("", State.FAILED, ExitCode.PARTIAL)


class AtRest:
    """Whether one sweep is at rest at the targets of a call. Each target is served by one thread.

    Args:
        journals: Where the journal lies, by target.
        questions: What is asked for, by target: whatever else decides what a sync has to do.
        layout: Where results lie here.
        sweep: Which.
    """

    def __init__(
        self, journals: Mapping[str, Path], questions: Mapping[str, object], layout: Layout, sweep: SweepFolder
    ) -> None:
        self._journals = journals
        self._questions = questions
        self._read = [os.path.realpath(place) for place in (layout.wandb, sweep.path) if place]
        self._places = [os.path.realpath(layout.sweeps), *self._read]
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
        self._decide(name, is_at_rest=digest != "" and digest == self.get_known(name))

    def leave(self, name: str) -> None:
        """Say that it does not matter for a target any more what is here."""
        self._decide(name, is_at_rest=True)

    def _decide(self, name: str, *, is_at_rest: bool) -> None:
        verdict = self._verdicts[name]
        with contextlib.suppress(InvalidStateError):  # the first word counts
            verdict.set_result(is_at_rest)

    def is_at_rest(self) -> bool:
        """Whether nothing has changed here, nor at any target. Waits for what the targets say, up to the first no."""
        rests = list(self._rests.values())
        folders = [rest.folders for rest in rests if rest is not None]
        if not folders or len(folders) < len(rests) or any(other != folders[0] for other in folders[1:]):
            return False
        return is_unchanged(folders[0]) and all(found.result() for found in iter_awake(self._verdicts.values()))

    def make_report(self, name: str, seconds: Mapping[str, float], *, notices: Sequence[Problem]) -> TargetReport:
        """The report of a target at which nothing has changed.

        Args:
            name: The target's.
            seconds: How long each step took.
            notices: Of how the target is reached.
        """
        rest = self._rests[name]
        if rest is None:
            raise AssertionError("make_report() follows is_at_rest()")
        return TargetReport(
            name,
            State.NOTHING_TO_DO,
            ExitCode.DONE,
            problems=(*notices, *rest.problems),
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
        folders = self._footprint.folders
        if counts is None or not digest or not self._footprint.is_whole or not self._covers(folders):
            return
        rest = Rest(self._make_question(report.name), folders, digest, counts, report.problems)
        if rest != self._rests[report.name]:
            save_rest(get_rest_path(self._journals[report.name]), rest)

    def _covers(self, folders: Mapping[str, str]) -> bool:
        """Whether all places were read; one that is made later would not be noticed."""
        return all(place in folders for place in self._read)

    def _load(self, name: str) -> Rest | None:
        rest = load_rest(get_rest_path(self._journals[name]))
        if rest is None or rest.question != self._make_question(name) or not self._covers(rest.folders):
            return None
        has_files = rest.counts.files.keys() == count_files(_NO_REPORT).keys()
        return rest if has_files and rest.counts.runs.keys() == count_runs(_NO_REPORT).keys() else None

    def _make_question(self, name: str) -> str:
        """A digest of all that decides what a sync has to do but for what lies at both ends."""
        try:
            journal = self._journals[name].read_bytes()
        except OSError:
            journal = b""
        asked = json.dumps([__version__, self._places, self._questions[name]], sort_keys=True).encode()
        return hashlib.sha256(hashlib.sha256(asked).digest() + hashlib.sha256(journal).digest()).hexdigest()


class _NotedEndpoint(LocalEndpoint):
    """This machine; of a file that is read the folder is noted as well, where it was not listed.

    So the metadata of a run whose log says nothing yet are missed when they come. What is there and cannot be read
    is tried again by every sync.
    """

    def __init__(self, footprint: Footprint) -> None:
        super().__init__(scan=footprint.scan)
        self._footprint = footprint

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        for folder in dict.fromkeys(path.rpartition("/")[0] for path in paths):
            if folder not in self._footprint.folders and os.path.lexists(folder):
                with contextlib.suppress(OSError):
                    self._footprint.scan(folder)
        unread = dict.fromkeys(paths)
        for ends in super().read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes):
            unread.pop(ends.path)
            yield ends
        if any(os.path.lexists(path) for path in unread):
            self._footprint.is_whole = False


def describe_sweeps(sweeps: Iterable[SweepFolder]) -> Sequence[Sequence[str]]:
    """What is known of sweeps before they are read, for a question."""
    return sorted([sweep.id, sweep.prefix, sweep.path] for sweep in sweeps)


def _count(report: TargetReport) -> Counts | None:
    """Count what a plan says, if it says the same however late it is; None otherwise."""
    plan = report.plan
    if plan is None or report.state is not State.NOTHING_TO_DO or report.exit_code is not ExitCode.DONE:
        return None
    is_lasting = all(run.at_rest and run.state is not RunState.RUNNING for run in plan.runs)
    is_lasting = is_lasting and all(problem.kind in _LASTING for problem in plan.problems)
    is_plain = plan.is_checked and report.problems == plan.problems and not report.after
    if not is_lasting or not is_plain or any(item.reason in _PASSING for item in plan.items):
        return None
    return Counts(count_files(report), count_runs(report), dict(plan.deeper), plan.max_depth)
