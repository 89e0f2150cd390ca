"""Document that `hsm sync status --json` prints (docs/SYNC.md)."""

from __future__ import annotations

from hsm.sync.reports import make_error_document, make_problem_document
from hsm.sync.status.report import CleanedStatus, ReceivedStatus, StatusReport, TargetStatus, count_standings

SCHEMA = 1


def make_status_document(report: StatusReport) -> dict[str, object]:
    """Make the document as JSON values."""
    return {
        "schema": SCHEMA,
        "command": "sync status",
        "exit_code": int(report.exit_code),
        "error": None,
        "sweeps": [
            {
                "sweep": sweep.sweep,
                "complete": sweep.is_complete,
                "targets": [_make_target_document(target) for target in sweep.targets],
                "received": [_make_received_document(received) for received in sweep.received],
                "cleaned": sweep.cleaned and _make_cleaned_document(sweep.cleaned),
                "problems": [make_problem_document(problem) for problem in sweep.problems],
            }
            for sweep in report.sweeps
        ],
    }


def _make_target_document(target: TargetStatus) -> dict[str, object]:
    tally, asked = target.tally, target.asked
    return {
        "name": target.name,
        "direction": target.direction,
        "complete": target.is_complete,
        "whole": target.is_whole,
        "runs": count_standings(tally.runs),
        "sweep_folder": tally.sweep_folder.value if tally.sweep_folder else None,
        "files": tally.n_files,
        "bytes": {"proven": tally.n_bytes, "pending": tally.pending_bytes},
        "left": {**tally.left, **tally.scope},
        "updated_ns": target.updated_ns,
        "last_error": target.last_error,
        "problems": [make_problem_document(problem) for problem in target.problems],
        "asked": asked
        and {
            "state": asked.state,
            "files": asked.n_files,
            "bytes": asked.n_bytes,
            "runs_complete": asked.n_complete,
            "error": make_error_document(asked.error),
            "problems": [make_problem_document(problem) for problem in asked.problems],
        },
    }


def _make_cleaned_document(cleaned: CleanedStatus) -> dict[str, object]:
    return {
        "runs": list(cleaned.runs),
        "sweep_folder": cleaned.sweep_folder,
        "files": cleaned.n_files,
        "bytes": cleaned.n_bytes,
        "copies": dict(cleaned.copies),
        "left": list(cleaned.left),
        "jobs": list(cleaned.jobs),
    }


def _make_received_document(received: ReceivedStatus) -> dict[str, object]:
    source = received.source
    return {
        "receipt": received.receipt,
        "source": source and {"id": source.id, "host": source.host, "path": source.path},
        "written_at": received.written_at,
        "complete": received.is_complete,
        "whole": received.is_whole,
        "runs": count_standings(received.runs),
        "sweep_folder": received.sweep_folder.value if received.sweep_folder else None,
        "missing": list(received.missing),
        "exact": len(received.exact),
        "files": received.n_files,
        "bytes": received.n_bytes,
        "left": {**received.left, **received.scope},
        "problems": [make_problem_document(problem) for problem in received.problems],
    }
