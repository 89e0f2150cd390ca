"""Uploader: runs `wandb sync` at a target for the runs of a sweep that may be uploaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hsm.endpoint import Tree
from hsm.model import Problem, Run
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.job import run_job
from hsm.sync.after.arrival import Arrival
from hsm.sync.after.staging import Staged, Staging
from hsm.sync.after.upload import (
    NO_WANDB,
    explain_upload,
    find_awaiting,
    find_missing,
    is_file,
    leave_uploaded,
    list_paths,
    list_staging,
    make_upload_program,
)
from hsm.sync.reports import AfterStep, StepState
from hsm.wandb_log.artifacts import StagedArtifact, read_artifacts

# So many uploads that fail in a row are a login or a network that is missing; the rest is not tried.
_MOST_FAILURES = 2


class Uploader:
    """Uploads runs from one target.

    Args:
        arrival: The sweep and the target.
        shell: Runs commands there.
        staging: Copies the files that artifacts wait in first; None where that is not wanted.
        problems: Takes what does not go as it should, as soon as it is known.
    """

    def __init__(self, arrival: Arrival, shell: RemoteShell, staging: Staging | None, problems: list[Problem]) -> None:
        self._arrival = arrival
        self._shell = shell
        self._staging = staging
        self._problems = problems

    def upload(self, runs: Sequence[Run], folder: str, *, wandb: str, is_dry_run: bool) -> AfterStep:
        """Upload runs, one after the other; a run whose artifacts are still to come waits for the next sync.

        Args:
            runs: Whole at the target and not uploaded yet, see `find_open`.
            folder: The real path of the wandb folder there.
            wandb: The program.
            is_dry_run: Change nothing.

        Raises:
            HsmError: The target is out of reach.
        """
        artifacts = self._read_artifacts(runs)
        staged = self._staging.copy(artifacts, is_dry_run=is_dry_run) if self._staging is not None else Staged()
        self._problems += staged.problems
        # Once it is uploaded, its mark would keep the artifacts back for ever.
        awaiting = set(find_awaiting(artifacts, staged.awaited))
        self._problems += [_make_awaiting(run) for run in runs if run in awaiting]
        ready = tuple(run for run in runs if run not in awaiting)
        self._name_missing({run: artifacts[run] for run in ready if run in artifacts}, staged.paths)
        if is_dry_run:
            done = AfterStep("wandb_sync", StepState.PLANNED, runs=tuple(run.name for run in ready))
        else:
            done = self._upload_runs(ready, folder, wandb)
            done = replace(done, state=StepState.FAILED) if awaiting else done
        return replace(done, staged_files=staged.n_files, staged_bytes=staged.n_bytes)

    def _read_artifacts(self, runs: Sequence[Run]) -> dict[Run, tuple[StagedArtifact, ...]]:
        """Read the artifacts of the runs' logs; a log that cannot be read here names none."""
        found = {}
        for run in runs:
            try:
                found[run] = read_artifacts(self._arrival.source.read_file(f"{run.prefix}/{run.name}/{run.log}"))
            except FileNotFoundError:
                message = "The run's log cannot be read here, so it is not known which artifacts it logged."
                self._problems.append(Problem(run.name, "artifacts_unknown", message, is_failure=False))
        return found

    def _name_missing(self, found: Mapping[Run, Sequence[StagedArtifact]], copied: Iterable[str]) -> None:
        """Name the artifacts that wandb does not find there."""
        there = set(copied)
        paths = list_staging(artifact for artifacts in found.values() for artifact in artifacts)
        unknown = tuple(path for path in paths if path not in there)
        if unknown:
            listing = self._arrival.connection.endpoint.survey([Tree("/", unknown, 0)]).listings[0]
            there.update(entry.path for entry in listing.entries if is_file(entry))
        for run, artifacts in found.items():
            self._problems += find_missing(run, artifacts, there)

    def _upload_runs(self, runs: Sequence[Run], folder: str, wandb: str) -> AfterStep:
        cwd = self._arrival.settings.paths.project_root or folder
        done: list[str] = []
        outputs: list[str] = []
        n_failures, status = 0, None
        for number, run in enumerate(runs):
            end = run_job(self._shell, make_upload_program(folder, run, cwd=cwd, wandb=wandb))
            outputs.append(end.output)
            status = end.status
            if status == 0:
                done.append(run.name)
                n_failures = 0
                continue
            n_failures += 1
            self._problems.append(self._make_failure(run, wandb, status, end.output))
            if n_failures == _MOST_FAILURES or status == NO_WANDB:
                self._problems += _iter_untried(len(runs) - number - 1)
                break
        state = StepState.DONE if len(done) == len(runs) else StepState.FAILED
        return AfterStep("wandb_sync", state, runs=tuple(done), exit_code=status, output="".join(outputs))

    def _make_failure(self, run: Run, wandb: str, status: int | None, output: str) -> Problem:
        if status == NO_WANDB:
            message = f"There is no program {wandb} at {self._arrival.connection.name}, so nothing was uploaded."
            hint = "Install wandb there, or name the program with `wandb_path` beside `wandb_sync`."
            return Problem(run.name, "wandb_missing", message, hint)
        message = f"`wandb sync` did not upload the run ({explain_upload(status, output)})."
        hint = "The next sync tries again. Log in there once with `wandb login` if that is what is missing."
        return Problem(run.name, "upload_failed", message, hint)


def find_open(arrival: Arrival, runs: Sequence[Run]) -> tuple[tuple[Run, ...], str]:
    """Find the runs that are not uploaded yet from a target, and the real path of its wandb folder.

    Raises:
        HsmError: The target is out of reach.
    """
    if not runs:
        return (), ""
    # Only the marks there are asked, since people upload by hand too; it costs one small listing.
    tree = Tree(arrival.settings.paths.wandb, list_paths(runs), 0)
    listing = arrival.connection.endpoint.survey([tree]).listings[0]
    return leave_uploaded(runs, {entry.path: entry for entry in listing.entries}), listing.base


def _make_awaiting(run: Run) -> Problem:
    message = "Not uploaded yet: files of its artifacts, which wait here, could not be brought along."
    hint = "The next sync tries again. `sync_artifact_staging: false` uploads the run without them."
    return Problem(run.name, "upload_awaits_artifacts", message, hint)


def _iter_untried(n_runs: int) -> Iterable[Problem]:
    if n_runs:
        message = f"After these failures no more was tried; runs that are left: {n_runs:,}."
        yield Problem("", "upload_not_tried", message)
