"""Uploads of runs from a target with `wandb sync`: the runs, their missing artifacts, and the command. Pure.

`wandb sync` says "Finished", ends with 0 and leaves its mark (`.synced`) even where files are missing, and it may mark
a live run as complete. So it is run only for a run that has ended and of which nothing was left out, by the same record
that the receipt holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hsm.model import Entry, EntryKind, FileKey, Problem, Reason, Run, SourceFile, SyncPlan
from hsm.plan.disk.file_system import cut_time
from hsm.records.record import make_records
from hsm.remote.shell import quote, quote_path
from hsm.wandb_log.artifacts import StagedArtifact

OFFLINE = "offline-run-"
MARK = ".synced"
_TABLE = "run_table"

NO_FOLDER, NO_LOG, NO_MARK, GREW, NO_WANDB = 121, 122, 123, 124, 127
"""Exit statuses of the program of `make_upload_program`; any other is wandb's own."""

_WHYS = {
    NO_FOLDER: "the folder to run it in is missing",
    NO_LOG: "the run's log is gone",
    NO_MARK: "it left no mark that the run is uploaded",
    GREW: "the run's log grew meanwhile",
}

# The upload may take hours, and no lock is held: a log that grew meanwhile gets no mark. The mark gets the log's own
# time, so that a log that grows later is newer than its mark, whichever clock is ahead.
_PROGRAM = r"""
command -v "$wandb" >/dev/null 2>&1 || { echo "there is no program $wandb"; exit 127; }
[ -f "$log" ] && [ ! -L "$log" ] || { echo "$log is no file"; exit 122; }
before=$(cksum <"$log")
if [ -e "$mark" ]; then "$wandb" sync --include-synced "$run"; else "$wandb" sync "$run"; fi
status=$?
if [ "$before" != "$(cksum <"$log")" ]; then rm -f -- "$mark"; echo "$log grew meanwhile"; exit 124; fi
[ $status -eq 0 ] || exit $status
[ -e "$mark" ] || exit 123
touch -r "$log" "$mark"
"""


@dataclass(frozen=True, slots=True)
class UploadChoice:
    """Runs that may be uploaded once their files are there, and the reasons why others may not."""

    runs: tuple[Run, ...]
    problems: tuple[Problem, ...]


def choose_runs(plan: SyncPlan, arrived: Mapping[FileKey, SourceFile]) -> UploadChoice:
    """Choose the offline runs that have ended, are not uploaded yet, and are whole at the target.

    Args:
        plan: Of the sweep.
        arrived: The files that the transfer verified.
    """
    records = make_records(plan, arrived)
    runs: list[Run] = []
    problems: list[Problem] = []
    for run in plan.runs:
        record = records[run.name]
        if not run.name.startswith(OFFLINE) or not run.log or run.uploaded or not record.is_complete:
            continue
        # A mark older than its log is left out of a sync, and `wandb sync` there makes its own.
        left = {reason: n for reason, n in record.missed.items() if reason != Reason.UNFINISHED.value}
        if left:
            why = ", ".join(f"{n:,} {reason}" for reason, n in left.items())
            message = f"Not uploaded, since files of the run were left out ({why})."
            hint = "See `exclude`, `folder_links` and `latest_only`; `--all-versions` sends what is superseded."
            problems.append(Problem(run.name, "upload_not_whole", message, hint, is_failure=False))
        else:
            runs.append(run)
    return UploadChoice(tuple(runs), tuple(problems))


def list_paths(runs: Iterable[Run]) -> tuple[str, ...]:
    """List the paths below the wandb folder that tell whether runs are uploaded: logs and their marks."""
    return tuple(f"{run.name}/{run.log}{end}" for run in runs for end in ("", MARK))


def leave_uploaded(runs: Iterable[Run], entries: Mapping[str, Entry]) -> tuple[Run, ...]:
    """Leave out the runs that have been uploaded from there, with the log as it is.

    Args:
        runs: From `choose_runs`.
        entries: Those of `list_paths` that are there.
    """

    def is_uploaded(run: Run) -> bool:
        # Both lie on one disk, but `touch -r` of BSD and BusyBox gives the mark no more than the log's microseconds.
        log, mark = (entries.get(path) for path in list_paths([run]))
        return mark is not None and (log is None or mark.mtime_ns >= cut_time(log.mtime_ns, 1000))

    return tuple(run for run in runs if not is_uploaded(run))


def make_upload_program(folder: str, run: Run, *, cwd: str, wandb: str) -> str:
    """Make the /bin/sh program that uploads one run; it ends with 0 only where wandb has left its mark.

    Args:
        folder: The target's wandb folder, its real path.
        run: The run; its names are hostile.
        cwd: The folder to run it in, absolute or `~/...`.
        wandb: The program, a name or a path.
    """
    path = f"{folder.rstrip('/')}/{run.name}"
    log = f"{path}/{run.log}"
    values = {"run": quote(path), "log": quote(log), "mark": quote(log + MARK), "wandb": quote_path(wandb)}
    lines = [f"{name}={value}" for name, value in values.items()]
    return "\n".join([*lines, f"cd -- {quote_path(cwd)} || exit {NO_FOLDER}", _PROGRAM])


def make_command_program(command: str, *, cwd: str, environment: Mapping[str, str]) -> str:
    """Make the /bin/sh program of a `run`.

    Args:
        command: As configured.
        cwd: The folder to run it in, absolute or `~/...`.
        environment: Further variables; a value that begins with `~/` lies in the home folder there.
    """
    exports = [f"{name}={quote_path(value)}; export {name}" for name, value in environment.items()]
    return "\n".join(
        [*exports, f"cd -- {quote_path(cwd)} || exit {NO_FOLDER}", f"exec /bin/sh -c {quote(command)}", ""]
    )


def explain_upload(status: int | None, output: str) -> str:
    """Explain why an upload failed, in a part of a sentence."""
    if status is None:
        return "it took too long, or was ended without a word"
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")
    return _WHYS.get(status) or f"exit code {status}" + (f": {last[:300]}" if last else "")


def list_staging(artifacts: Iterable[StagedArtifact]) -> tuple[str, ...]:
    """List the absolute paths at which files of artifacts are looked for, each once, without the leading slash."""
    paths = (path for artifact in artifacts for path in artifact.paths)
    return tuple(dict.fromkeys(path.lstrip("/") for path in paths if _can_be_looked_for(path)))


def find_awaiting(found: Mapping[Run, Iterable[StagedArtifact]], awaited: Collection[str]) -> tuple[Run, ...]:
    """Find the runs of which files of artifacts are still to come: uploaded without, a run is never uploaded again.

    Args:
        found: The artifacts of each run's log.
        awaited: Those of `list_staging` that could not be copied now.
    """
    return tuple(run for run, artifacts in found.items() if not set(list_staging(artifacts)).isdisjoint(awaited))


def find_missing(run: Run, artifacts: Iterable[StagedArtifact], there: Collection[str]) -> Iterator[Problem]:
    """Name the artifacts of a run of which waiting files are not there.

    Of a logged table wandb makes an artifact by itself; the table is among the run's media too, so that nothing of
    it is lost: one notice for all of them.

    Args:
        run: The run.
        artifacts: Of its log.
        there: Those of `list_staging` that are files there.
    """
    lacks_table = False
    for artifact in artifacts:
        missing = [path for path in artifact.paths if not _can_be_looked_for(path) or path.lstrip("/") not in there]
        if missing and artifact.type == _TABLE:
            lacks_table = True
        elif missing:
            message = (
                f"Files of this artifact did not come along, so wandb does not get it from there: "
                f"{len(missing):,} of {len(artifact.paths):,}, as {missing[0]}"
            )
            hint = (
                "They wait on the machine where the run was made. What waits here comes along with "
                "`sync_artifact_staging: true`; else `wandb sync` of the run, where it was made, uploads them."
            )
            yield Problem(f"{run.name}: {artifact.type} {artifact.name}", "artifact_missing", message, hint)
    if lacks_table:
        message = "The artifacts that wandb makes of tables did not come along; the tables go up with the run's media."
        yield Problem(run.name, "table_artifact_missing", message, is_failure=False)


def _can_be_looked_for(path: str) -> bool:
    return path.startswith("/") and "\0" not in path and path.strip("/") != ""


def is_file(entry: Entry) -> bool:
    """Tell whether an entry is a plain file."""
    return entry.kind is EntryKind.FILE
