"""Reader of a task's own file, `task_info.txt`. Pure but for the clock of the node, which is taken as written.

Written by job scripts of HSM, and by those that other tools leave with the same layout: a file in a folder of the
user's, that may hold anything.
"""

from __future__ import annotations

from datetime import datetime, timezone

from hsm.jobs.model import InfoStatus, TaskInfo

MOST_INFO_BYTES = 1024 * 1024
"""Of the beginning that is read; the parameters of a task are its first line, and short."""

_MOST_ATTEMPT = 10**6
_SUCCESS = frozenset({"COMPLETED", "SUCCESS"})
_MOST_WORD = 200


def parse_task_info(content: bytes) -> TaskInfo | None:
    """Parse what a task has written; None where it holds nothing of the kind."""
    fields: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip()] = value.strip()
    if "Started" not in fields and "Status" not in fields:
        return None
    attempt = _parse_number(fields.get("Attempt", ""), _MOST_ATTEMPT)
    ended = next((fields[name] for name in ("Completed", "Failed", "Requeued") if name in fields), "")
    exit_code = _parse_number(fields.get("Exit Code", ""), 255)
    return TaskInfo(
        attempt=attempt or 1,
        status=_parse_status(fields.get("Status", ""), exit_code, fields),
        node=_clean(fields.get("Node", "")),
        job_id=_clean(fields.get("Job", "")),
        exit_code=exit_code,
        signal=_clean(fields.get("Signal", "")),
        reason=_clean(fields.get("Reason", "")),
        started=_parse_time(fields.get("Started", "")),
        ended=_parse_time(ended),
    )


def _parse_status(word: str, exit_code: int | None, fields: dict[str, str]) -> InfoStatus:
    """Return the status; exit code 0 alone is success."""
    word = word.upper()
    if word in _SUCCESS:
        return InfoStatus.COMPLETED if not exit_code else InfoStatus.FAILED
    if word == InfoStatus.REQUEUED.value:
        return InfoStatus.REQUEUED
    if word == InfoStatus.FAILED.value or "Failed" in fields or exit_code:
        return InfoStatus.FAILED
    return InfoStatus.STARTED


def _parse_number(text: str, most: int) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        return None
    return min(int(text), most)


def _parse_time(text: str) -> float:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _clean(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:_MOST_WORD]
