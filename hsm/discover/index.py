"""Cache of what was read of runs' logs, so that thousands of known logs are not read again.

It may be missing, damaged, unwritable or deleted at any time, and only time is lost. A log is known by its size and
its time; it only ever grows, so the same size is the same content.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hsm.file_errors import explain_os_error
from hsm.files import DamagedFileError, load_json, save_json
from hsm.model import Problem, RunVersions
from hsm.wandb_log.facts import LogFacts
from hsm.wandb_log.media import LogMedia

SCHEMA = 1

# size, mtime_ns, facts in the order of LogFacts or None, media (named, incremental, last step, damaged) or None
_Record = list[Any]

ReceiptFacts = Sequence[Sequence[str]]
"""Content of a receipt: lists of words, whatever they mean to the reader."""

_FACTS = tuple(field.name for field in fields(LogFacts))


class RunIndex:
    """Facts of logs, and what receipts say, by their absolute path."""

    def __init__(
        self, records: Mapping[str, _Record] | None = None, receipts: Mapping[str, _Record] | None = None
    ) -> None:
        self._records: dict[str, _Record] = dict(records or {})
        self._receipts: dict[str, _Record] = dict(receipts or {})
        self.is_changed = False

    def get_facts(self, log: str, *, size: int, mtime_ns: int) -> LogFacts | None:
        """Get the facts of a log, if it is still the log that was read."""
        found = self._get(log, size, mtime_ns, 2)
        try:
            # Facts of an older HSM, which knew fewer of them, do not fit: such a log is read anew.
            values = dict(zip(_FACTS, found, strict=True))
            return LogFacts(**{**values, "args": tuple(values["args"])})
        except (TypeError, ValueError):
            return None

    def get_media(self, log: str, *, size: int, mtime_ns: int) -> LogMedia | None:
        """Get the media that a log names, if it is still the log that was read."""
        found = self._get(log, size, mtime_ns, 3)
        try:
            named, incremental, last_step, is_damaged = found
            return LogMedia(RunVersions(frozenset(named), frozenset(incremental)), last_step, is_damaged)
        except (TypeError, ValueError):
            return None

    def put_facts(self, log: str, *, size: int, mtime_ns: int, facts: LogFacts) -> None:
        """Remember the facts of a log."""
        self._put(log, size, mtime_ns, 2, [getattr(facts, name) for name in _FACTS])

    def put_media(self, log: str, *, size: int, mtime_ns: int, media: LogMedia) -> None:
        """Remember the media that a log names."""
        versions = media.versions
        found = [sorted(versions.named), sorted(versions.incremental), media.last_step, media.is_damaged]
        self._put(log, size, mtime_ns, 3, found)

    def iter_facts(self) -> Iterator[tuple[str, LogFacts]]:
        """Yield what is known of each log, by its path, whether it is still so or not."""
        for log, record in self._records.items():
            if isinstance(record, list) and len(record) == 4:
                facts = self.get_facts(log, size=record[0], mtime_ns=record[1])
                if facts is not None:
                    yield log, facts

    def get_receipt(self, path: str, *, size: int, mtime_ns: int) -> ReceiptFacts | None:
        """Get what a receipt says, if it is still the one that was read."""
        match self._receipts.get(path):
            case [known_size, known_time, list() as found] if (known_size, known_time) == (size, mtime_ns):
                is_sound = all(isinstance(part, list) and all(isinstance(word, str) for word in part) for part in found)
                return found if is_sound else None
        return None

    def put_receipt(self, path: str, *, size: int, mtime_ns: int, found: ReceiptFacts) -> None:
        """Remember what a receipt says."""
        self._receipts[path] = [size, mtime_ns, [list(part) for part in found]]
        self.is_changed = True

    def drop_vanished(self, folders: Collection[str], logs: Collection[str]) -> None:
        """Forget the logs in run folders directly below `folders` that are not among `logs`."""
        vanished = [log for log in self._records if log not in logs and log.rsplit("/", 2)[0] in folders]
        for log in vanished:
            del self._records[log]
        self.is_changed = self.is_changed or bool(vanished)

    def make_document(self) -> dict[str, dict[str, _Record]]:
        """Make the JSON document of the cache."""
        return {"logs": self._records, "receipts": self._receipts}

    def _get(self, log: str, size: int, mtime_ns: int, place: int) -> Any:  # noqa: ANN401 - from JSON
        record = self._records.get(log)
        # The file may hold anything: a cache may be damaged.
        if not isinstance(record, list) or len(record) != 4 or record[:2] != [size, mtime_ns]:
            return None
        return record[place]

    def _put(self, log: str, size: int, mtime_ns: int, place: int, value: list[Any]) -> None:
        record = self._records.get(log)
        if not isinstance(record, list) or len(record) != 4 or record[:2] != [size, mtime_ns]:
            record = self._records[log] = [size, mtime_ns, None, None]
        record[place] = value
        self.is_changed = True


def load_index(path: Path) -> tuple[RunIndex, tuple[Problem, ...]]:
    """Read the cache; a damaged or unreadable one counts as empty, with a notice."""
    try:
        document = load_json(path, schema=SCHEMA)
    except DamagedFileError as error:
        return RunIndex(), (_make_notice(path, "damaged_cache", f"The cache is not used: {error}"),)
    except OSError as error:
        reason, hint = explain_os_error(error, path)
        message = f"The cache cannot be read, so runs are read anew: {reason}."
        return RunIndex(), (Problem(f".hsm/cache/{path.name}", "unreadable_cache", message, hint, is_failure=False),)
    parts = [document.get(key) if document else None for key in ("logs", "receipts")]
    return RunIndex(*(part if isinstance(part, dict) else None for part in parts)), ()


def save_index(index: RunIndex, path: Path) -> tuple[Problem, ...]:
    """Write the cache if something in it has changed; where that fails there is a notice."""
    if not index.is_changed:
        return ()
    try:
        save_json(path, dict(index.make_document()), schema=SCHEMA)
    except OSError as error:
        message = f"The cache cannot be written, so runs are read again next time: {error.strerror}"
        return (_make_notice(path, "unwritable_cache", message),)
    index.is_changed = False
    return ()


def _make_notice(path: Path, kind: str, message: str) -> Problem:
    hint = f"It may be deleted: {path}"
    return Problem(f".hsm/cache/{path.name}", kind, message, hint, is_failure=False)
