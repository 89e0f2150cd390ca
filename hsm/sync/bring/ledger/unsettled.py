"""The record of files that may have changed after they were read: `.hsm/sync/<target>/<sweep>.unsettled`.

On a disk that keeps whole seconds such a file may lie at the destination with the source's size and time, and another
content. So it is sent once more, however alike it looks, until a transfer has verified it. The record is written before
a transfer, since a kill leaves no other time for it. It may be missing or damaged: then size and time decide.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hsm.files import USELESS_ERRORS, load_json, save_json
from hsm.model import FileKey, PlanItem, Reason, Root, SyncPlan
from hsm.plan.disk.times import may_be_written_since
from hsm.transfer.outcome import TransferResult

SCHEMA = 1
_DETAIL = "it was still changing when it was sent"


@dataclass(frozen=True, slots=True)
class UnsettledRecord:
    """Files that may have changed after they were read.

    Attributes:
        since_ns: When the transfer began of which it is not known what it had read; 0 where all of it is known.
        files: Files that were seen to change.
    """

    since_ns: int = 0
    files: frozenset[FileKey] = frozenset()

    def holds(self, item: PlanItem) -> bool:
        """Tell whether the content at the destination may be older than size and time say."""
        is_of_unknown = self.since_ns > 0 and may_be_written_since(item.file.mtime_ns, self.since_ns)
        return is_of_unknown or item.file.key in self.files


class UnsettledFiles:
    """The files of one sweep that a target may have in an older state than their times say. Used by one thread.

    Args:
        path: Of the record.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = UnsettledRecord()

    def mark(self, plan: SyncPlan, foreign: Collection[FileKey] = ()) -> SyncPlan:
        """Let a plan send such files even if they look the same.

        Args:
            plan: As size and time decide.
            foreign: Files at the destination that are somebody else's, which stay.
        """
        self._before = before = load_unsettled(self._path)
        if before == UnsettledRecord():
            return plan
        items = tuple(
            PlanItem(item.file, Reason.TIME, _DETAIL)
            if item.reason is Reason.SAME and before.holds(item) and item.file.key not in foreign
            else item
            for item in plan.items
        )
        return replace(plan, items=items)

    def begin(self, now_ns: int) -> None:
        """Note that a transfer begins.

        Args:
            now_ns: The source's time, or one before it.
        """
        since_ns = min(now_ns, self._before.since_ns or now_ns)
        self._save(replace(self._before, since_ns=since_ns))

    def end(self, plan: SyncPlan, result: TransferResult) -> None:
        """Note what a transfer has left unsettled, and forget what it has verified."""
        before = self._before
        unknown = {item.file.key for item in plan.items if before.holds(item)}
        unknown |= {key for key in before.files if key[0] in plan.left_roots}
        unsettled = {key for key, file in result.unsettled.items() if file is not None}
        files = frozenset((unknown | unsettled) - result.files.keys())
        # After an error or an interrupt nobody has looked at every file that may have arrived.
        is_whole = result.error is None and not result.is_interrupted
        record = load_unsettled(self._path)
        self._save(UnsettledRecord(0 if is_whole else record.since_ns, files))

    def _save(self, record: UnsettledRecord) -> None:
        with contextlib.suppress(OSError):
            if record == UnsettledRecord():
                self._path.unlink(missing_ok=True)
            else:
                files = sorted([root.value, name] for root, name in record.files)
                save_json(self._path, {"since_ns": record.since_ns, "files": files}, schema=SCHEMA)


def load_unsettled(path: Path) -> UnsettledRecord:
    """Read the record; an empty one where there is none that can be used."""
    try:
        document: dict[str, Any] | None = load_json(path, schema=SCHEMA)
        if document is None:
            return UnsettledRecord()
        files = frozenset((Root(root), str(name)) for root, name in document["files"])
        return UnsettledRecord(int(document["since_ns"]), files)
    except USELESS_ERRORS:
        return UnsettledRecord()
