"""Reader of a whole `.wandb` log for the media that its run still needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hsm.model import RunVersions
from hsm.plan.versions import parse_media_path
from hsm.wandb_log.format import iter_fields, parse_records
from hsm.wandb_log.records import HISTORY, SUMMARY, ValueKey, iter_items, parse_json

_HISTORY_STEP, _STEP_NUMBER = 2, 1

_MEDIA = b"media/"
_INCREMENTAL = b"incremental-table-file"

_NOTHING = RunVersions()


@dataclass(frozen=True, slots=True)
class LogMedia:
    """Media of a run, as its whole log names them.

    Attributes:
        versions: Those that the last state of the summary names.
        last_step: The highest step the log knows of; -1 for none. wandb writes the log late, so later steps may
            have files already.
        is_damaged: Something in the middle of the log could not be read, so that there may be more to know.
    """

    versions: RunVersions = _NOTHING
    last_step: int = -1
    is_damaged: bool = False


def read_versions(log: bytes) -> LogMedia:
    """Read the media that a run's last summary names, from its whole log.

    Pure. What was logged later wins. History rows count as well: they update the summary, and not every version
    writes that down. Where it is unclear whether something is still named, it is: that only sends more.
    """
    records = parse_records(log)
    state: dict[ValueKey, frozenset[str]] = {}
    incremental: set[ValueKey] = set()
    for payload in records.payloads:
        if _MEDIA in payload or _INCREMENTAL in payload:  # a search of bytes, since nearly no record has either
            for key, value in _iter_media_items(payload):
                _add_media(key, value, state=state, incremental=incremental)
    # A path that a later item of the same key has replaced is gone from `state` by now.
    named = frozenset(path for paths in state.values() for path in paths)
    keys = {key[-1].lstrip("/") for key in incremental if key}
    for key in incremental:
        keys.update(_iter_media_keys(state.get((*key, "path"), ())))
    return LogMedia(RunVersions(named, frozenset(keys)), _find_last_step(records.payloads), records.is_damaged)


def _iter_media_items(payload: bytes) -> Iterator[tuple[ValueKey, bytes]]:
    for number, message in iter_fields(payload):
        if number in (HISTORY, SUMMARY) and isinstance(message, bytes):
            for key, value in iter_items(message):
                if _MEDIA in value or _INCREMENTAL in value:
                    yield key, value


def _add_media(
    key: ValueKey, value: bytes, *, state: dict[ValueKey, frozenset[str]], incremental: set[ValueKey]
) -> None:
    """Put one item into the summary's state."""
    # Versions before 0.19 write a media value as one object, later ones each of its fields by itself; both end in the
    # same keys here.
    for leaf, parsed in _iter_leaves(key, parse_json(value)):
        if parsed == _INCREMENTAL.decode() and leaf[-1] == "_type":
            incremental.add(leaf[:-1])
        paths = frozenset(_iter_media_paths(parsed))
        if paths:
            state[leaf] = paths


def _iter_leaves(key: ValueKey, parsed: object) -> Iterator[tuple[ValueKey, object]]:
    if isinstance(parsed, dict):
        for name, value in parsed.items():
            yield from _iter_leaves((*key, name), value)
    else:
        yield key, parsed


def _iter_media_paths(parsed: object) -> Iterator[str]:
    if isinstance(parsed, str):
        if parsed.startswith("media/"):
            yield parsed
    elif isinstance(parsed, (list, dict)):
        for value in parsed.values() if isinstance(parsed, dict) else parsed:
            yield from _iter_media_paths(value)


def _iter_media_keys(paths: frozenset[str] | tuple[()]) -> Iterator[str]:
    for path in paths:
        media = parse_media_path(f"files/{path}")
        if media is not None:
            yield media.key


def _find_last_step(payloads: tuple[bytes, ...]) -> int:
    """Find the step of the last history row; rows are written in the order of their steps."""
    for payload in reversed(payloads):
        for number, message in iter_fields(payload):
            if number == HISTORY and isinstance(message, bytes):
                step = _parse_step(message)
                if step is not None:
                    return step
    return -1


def _parse_step(history: bytes) -> int | None:
    for key, value in iter_items(history):
        if key == ("_step",):
            parsed = parse_json(value)
            return parsed if isinstance(parsed, int) else None
    for field, message in iter_fields(history):
        if field == _HISTORY_STEP and isinstance(message, bytes):
            steps = [step for number, step in iter_fields(message) if number == _STEP_NUMBER]
            return next((step for step in steps if isinstance(step, int)), 0)
    return None
