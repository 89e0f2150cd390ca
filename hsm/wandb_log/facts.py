"""Our own reader of the `.wandb` log: whose run it is, whether it has ended, which media are still needed.

wandb itself is never imported: its own reader is gone since 0.30. What a run recorded is read in `run_log`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hsm.endpoint import FileEnds
from hsm.model import RunVersions
from hsm.plan.versions import parse_media_path
from hsm.wandb_log.format import FILE_HEADER, iter_fields, parse_records
from hsm.wandb_log.records import (
    CONFIG,
    ENVIRONMENT,
    EXIT,
    FINAL,
    FOOTER,
    HISTORY,
    RUN,
    SUMMARY,
    ValueKey,
    decode_text,
    iter_items,
    parse_exit_code,
    parse_json,
)

_RUN_ID, _RUN_CONFIG, _RUN_GROUP, _RUN_SWEEP_ID = 1, 4, 6, 12
_ENVIRONMENT_ARGS = 5
_HISTORY_STEP, _STEP_NUMBER = 2, 1

_CONFIG_SWEEP_ID = ("sweep_id",)
_MEDIA = b"media/"
_INCREMENTAL = b"incremental-table-file"

_NOTHING = RunVersions()


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What the two ends of a log say of its run.

    Attributes:
        run_id: Empty when the run record was not found.
        group: What `wandb.init(group=...)` was given.
        sweep_id: Of the run record, where wandb's own sweeps put it.
        config_sweep_id: The configuration's key `sweep_id`.
        args: The script's arguments, which newer versions record.
        exit_code: None when there is no exit record in what was read.
        is_empty: Nothing but a header yet, so nothing can be said.
        is_whole: The run record was found, and the exit record if there can be one. If not, a second look with
            more blocks may find it.
        is_head: Only the head was read, which tells whose run it is; how far it has come was not looked at.
    """

    run_id: str = ""
    group: str = ""
    sweep_id: str = ""
    config_sweep_id: str = ""
    args: tuple[str, ...] = ()
    exit_code: int | None = None
    is_empty: bool = False
    is_whole: bool = True
    is_head: bool = False


@dataclass(frozen=True, slots=True)
class LogMedia:
    """What a whole log says of its run's media.

    Attributes:
        versions: What the last state of the summary names.
        last_step: The highest step the log knows of; -1 for none. wandb writes the log late, so later steps may
            have files already.
        is_damaged: Something in the middle of the log could not be read, so that there may be more to know.
    """

    versions: RunVersions = _NOTHING
    last_step: int = -1
    is_damaged: bool = False


_FACTS = frozenset({RUN, CONFIG, ENVIRONMENT, EXIT, FINAL, FOOTER})

_OF_EVERY_RECORD = (1, 16, 19, 200)
"""`num`, `control`, `uuid` and `_info`, which stand before or behind what a record is of."""

_ROW = re.compile(
    rb"(?:\x08[\x80-\xff]{0,9}[\x00-\x7f])?[%b]" % bytes(number << 3 | 2 for number in (HISTORY, SUMMARY))
)
"""How a record of the history or the summary begins, of which nearly all of a log consists: its `num`, and the tag."""


def read_log(ends: FileEnds) -> LogFacts:
    """Read what the two ends of a log say.

    Pure. 0.15 to 0.17 write a summary of any size, a final and a footer record after the exit record, so a
    footer without an exit record means that the exit record lies before the tail.
    """
    if ends.size <= len(FILE_HEADER):
        return LogFacts(is_empty=True)
    found = _Found()
    is_row = _ROW.match
    for payload in _list_end_payloads(ends):
        if is_row(payload):
            continue
        for number, value in iter_fields(payload):
            if number in _FACTS and isinstance(value, bytes):
                found.add(number, value)
            elif number not in _OF_EVERY_RECORD:
                break  # a record is of one sort
    is_whole = bool(found.run_id) and (found.exit_code is not None or not found.has_footer)
    return LogFacts(
        run_id=found.run_id,
        group=found.group,
        sweep_id=found.sweep_id,
        config_sweep_id=found.config_sweep_id,
        args=found.args,
        exit_code=found.exit_code,
        is_whole=is_whole or ends.tail_offset <= len(ends.head),
    )


def read_versions(log: bytes) -> LogMedia:
    """Read which media a run's last summary names, from its whole log.

    Pure. What was logged later wins. History rows count as well: they update the summary, and not every version
    writes that down. Where it is unclear whether something is still named, it is: that only sends more.
    """
    records = parse_records(log)
    state: dict[ValueKey, frozenset[str]] = {}
    incremental: set[ValueKey] = set()
    for payload in records.payloads:
        if _MEDIA in payload or _INCREMENTAL in payload:
            for key, value in _iter_media_items(payload):
                _add_media(key, value, state=state, incremental=incremental)
    named = frozenset(path for paths in state.values() for path in paths)
    keys = {key[-1].lstrip("/") for key in incremental if key}
    for key in incremental:
        keys.update(_iter_media_keys(state.get((*key, "path"), ())))
    return LogMedia(RunVersions(named, frozenset(keys)), _find_last_step(records.payloads), records.is_damaged)


class _Found:
    """Collects facts; a later record wins."""

    def __init__(self) -> None:
        self.run_id = self.group = self.sweep_id = self.config_sweep_id = ""
        self.args: tuple[str, ...] = ()
        self.exit_code: int | None = None
        self.has_footer = False

    def add(self, number: int, message: bytes) -> None:
        if number == RUN:
            self._add_run(message)
        elif number == CONFIG:
            self._add_config(message)
        elif number == ENVIRONMENT:
            args = (decode_text(value) for field, value in iter_fields(message) if field == _ENVIRONMENT_ARGS)
            self.args = tuple(args) or self.args  # a later record of the kind may be without
        elif number == EXIT:
            self.exit_code = parse_exit_code(message)
        elif number in (FINAL, FOOTER):
            self.has_footer = True

    def _add_run(self, message: bytes) -> None:
        for field, value in iter_fields(message):
            if field == _RUN_ID:
                self.run_id = decode_text(value)
            elif field == _RUN_GROUP:
                self.group = decode_text(value)
            elif field == _RUN_SWEEP_ID:
                self.sweep_id = decode_text(value)
            elif field == _RUN_CONFIG and isinstance(value, bytes):
                self._add_config(value)

    def _add_config(self, message: bytes) -> None:
        for key, value in iter_items(message):
            if key == _CONFIG_SWEEP_ID:
                parsed = parse_json(value)
                self.config_sweep_id = "" if parsed is None else str(parsed)


def _list_end_payloads(ends: FileEnds) -> tuple[bytes, ...]:
    if ends.tail_offset <= len(ends.head):
        return parse_records(ends.head[: ends.tail_offset] + ends.tail).payloads
    return parse_records(ends.head).payloads + parse_records(ends.tail, offset=ends.tail_offset).payloads


def _iter_media_items(payload: bytes) -> Iterator[tuple[ValueKey, bytes]]:
    for number, message in iter_fields(payload):
        if number in (HISTORY, SUMMARY) and isinstance(message, bytes):
            for key, value in iter_items(message):
                if _MEDIA in value or _INCREMENTAL in value:
                    yield key, value


def _add_media(
    key: ValueKey, value: bytes, *, state: dict[ValueKey, frozenset[str]], incremental: set[ValueKey]
) -> None:
    """Take one item into the summary's state.

    Versions before 0.19 write a media value as one object, later ones each of its fields by itself; both end in
    the same keys here.
    """
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
