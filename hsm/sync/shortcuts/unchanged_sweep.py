"""A large sweep that has not changed: nothing of it is looked at file by file.

Of thousands of runs, a plan is seconds of computing. So a push that had nothing to do leaves behind what both ends
said, in digests. The next one asks both ends the same questions; where they say the same and it was asked for the same,
it has nothing to do either. Anything else, and every file is looked at. A push with nothing to do gains 56 ms of 468
for 800 runs; for 10,000 runs it takes 0.16 instead of 0.41 of the time of one rsync.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import asdict
from pathlib import Path

from hsm._version import __version__
from hsm.discover.kinds.hydra import list_hydra_trees
from hsm.discover.results import SPECIAL_FILE
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.unseen_runs import STRAY_FILES
from hsm.discover.untold_runs import MEMBERSHIP_UNKNOWN
from hsm.endpoint import Endpoint, FileEnds
from hsm.errors import ExitCode
from hsm.model import Problem, Reason, RunState, SweepKind
from hsm.plan.choice import RunChoice
from hsm.plan.disk.times import count_tick_ns
from hsm.plan.secrets import SECRET_FOUND
from hsm.plan.summary import Counts
from hsm.plan.symlinks.folder_links import SYMLINKED_FOLDER, SYMLINKED_RUN
from hsm.plan.symlinks.outside import LINK_OUTSIDE
from hsm.project_folder import ProjectFolder
from hsm.remote.local import LocalEndpoint
from hsm.sync.counts import count_files, count_runs
from hsm.sync.reports import State, TargetReport
from hsm.sync.shortcut import PushCall, Shortcut
from hsm.sync.shortcuts.footprint import Footprint, is_unchanged
from hsm.sync.shortcuts.unchanged_record import UnchangedRecord, get_record_path, load_record, save_record
from hsm.sync.target_threads import iter_awake

# Reasons for which a file is left that a report must name, or that the call decides.
_PASSING = (Reason.CONFLICT, Reason.NOT_CHOSEN)

# Kinds of notices that follow from what is listed; what could not be read today may be readable tomorrow.
_LASTING = (LINK_OUTSIDE, MEMBERSHIP_UNKNOWN, SECRET_FOUND, SPECIAL_FILE, STRAY_FILES, SYMLINKED_FOLDER, SYMLINKED_RUN)

_NO_REPORT = TargetReport("", State.FAILED, ExitCode.PARTIAL)


class UnchangedSweep(Shortcut):
    """Watch over one sweep at the targets of a call. Each target is served by one thread.

    Args:
        journals: Where the journal lies, by target.
        questions: What is asked for, by target: whatever else decides what a sync has to do.
        layout: Where results lie here.
        sweep: Which.
    """

    def __init__(
        self, journals: Mapping[str, Path], questions: Mapping[str, object], layout: Layout, sweep: Sweep
    ) -> None:
        self._journals = journals
        self._questions = questions
        inside = (*layout.inner, *(tree.base for tree in list_hydra_trees(layout)))
        further = (*layout.shared, *(inside if sweep.kind is SweepKind.WANDB else ()))
        self._read = [os.path.realpath(place) for place in (layout.wandb, sweep.path, *further) if place]
        self._places = [os.path.realpath(layout.sweeps), *self._read]
        self._footprint = Footprint()
        self._records = {name: self._load(name) for name in journals}
        self._verdicts: dict[str, Future[bool]] = {name: Future() for name in journals}

    def watch(self, source: Endpoint) -> Endpoint:  # noqa: ARG002 - this machine, read with a notebook
        """See `Shortcut.watch`: what is read of it is noted."""
        return _NotedEndpoint(self._footprint)

    def hear(self, target: str, digest: str) -> bool:
        """See `Shortcut.hear`."""
        record = self._records[target]
        is_same = record is not None and digest == record.destination != ""
        self._decide(target, is_same=is_same)
        return is_same

    def leave(self, target: str) -> None:
        """See `Shortcut.leave`."""
        self._decide(target, is_same=True)

    def _decide(self, target: str, *, is_same: bool) -> None:
        with contextlib.suppress(InvalidStateError):  # the first word counts
            self._verdicts[target].set_result(is_same)

    def is_unchanged(self) -> bool:
        """See `Shortcut.is_unchanged`: waits for what the targets say, up to the first no."""
        records = list(self._records.values())
        folders = [record.folders for record in records if record is not None]
        if not folders or len(folders) < len(records) or any(other != folders[0] for other in folders[1:]):
            return False
        return is_unchanged(folders[0]) and all(found.result() for found in iter_awake(self._verdicts.values()))

    def make_report(self, target: str, seconds: Mapping[str, float], *, notices: Sequence[Problem]) -> TargetReport:
        """See `Shortcut.make_report`."""
        record = self._records[target]
        if record is None:
            raise AssertionError("make_report() follows is_unchanged()")
        return TargetReport(
            target,
            State.NOTHING_TO_DO,
            ExitCode.DONE,
            problems=(*notices, *record.problems),
            seconds=dict(seconds),
            counts=record.counts,
        )

    def note(self, report: TargetReport, get_digest: Callable[[], str]) -> None:
        """See `Shortcut.note`."""
        counts = _count(report)
        folders = self._footprint.folders
        if counts is None or not self._footprint.is_whole or not self._covers(folders):
            return
        digest = get_digest()
        if not digest:
            return
        times = (item.file.mtime_ns for item in report.plan.items) if report.plan is not None else ()
        if count_tick_ns(times, time.time_ns()):  # a file may still be written again without its time showing it
            return
        record = UnchangedRecord(self._make_question(report.name), folders, digest, counts, report.problems)
        if record != self._records[report.name]:
            save_record(get_record_path(self._journals[report.name]), record)

    def _covers(self, folders: Mapping[str, str]) -> bool:
        """Tell whether all places were read; one that is made later would not be noticed."""
        return all(place in folders for place in self._read)

    def _load(self, name: str) -> UnchangedRecord | None:
        record = load_record(get_record_path(self._journals[name]))
        if record is None or record.question != self._make_question(name) or not self._covers(record.folders):
            return None
        has_files = record.counts.files.keys() == count_files(_NO_REPORT).keys()
        return record if has_files and record.counts.runs.keys() == count_runs(_NO_REPORT).keys() else None

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


def make_unchanged_sweep(call: PushCall) -> UnchangedSweep | None:
    """Make the shortcut of a push of one sweep; None where each file must be looked at all the same."""
    request, source = call.request, call.source
    if request.is_dry_run or request.lists_files or request.breaks_lock or request.choice != RunChoice() or source.only:
        return None
    # Whether a run is loose depends on the receipts of all sweeps, and on how long it has rested.
    if source.sweeps[0].kind is SweepKind.LOOSE:
        return None
    sweep = source.sweeps[0]
    settings = {name: call.settings[name, sweep.id] for name in request.targets}
    if request.does_after_sync and any(found.after_sync for found in settings.values()):
        return None
    known = sorted([sweep.id, sweep.prefix, sweep.path] for sweep in source.known)
    options = [request.all_versions, request.overwrite, sorted(request.allowed), sorted(request.roots)]
    folders = [*source.layout.shared, *source.layout.inner]
    asked = [sweep.id, call.source_id, sorted(source.missing), known, options, folders]
    folder = ProjectFolder(source.project)
    return UnchangedSweep(
        {name: folder.journal(name, sweep.id) for name in settings},
        {name: [asdict(found), asked] for name, found in settings.items()},
        source.layout,
        sweep,
    )


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
