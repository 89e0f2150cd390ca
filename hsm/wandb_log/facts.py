"""Reader of the two ends of a `.wandb` log, for the run's sweep and whether it has ended.

wandb itself is never imported: its own reader is gone since 0.30, and HSM would be bound to one version of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hsm.endpoint import FileEnds
from hsm.wandb_log.format import FILE_HEADER, is_foreign, is_lfs_pointer, iter_fields, parse_records
from hsm.wandb_log.records import (
    CONFIG,
    ENVIRONMENT,
    EXIT,
    FINAL,
    FOOTER,
    HISTORY,
    RUN,
    SUMMARY,
    decode_text,
    iter_items,
    parse_exit_code,
    parse_json,
)

_RUN_ID, _RUN_PROJECT, _RUN_CONFIG, _RUN_GROUP, _RUN_SWEEP_ID = 1, 3, 4, 6, 12
_ENVIRONMENT_ARGS = 5

_CONFIG_SWEEP_ID = ("sweep_id",)


@dataclass(frozen=True, slots=True)
class LogFacts:
    """Facts of a run, as the two ends of its log tell them.

    Attributes:
        run_id: Empty when the run record was not found.
        group: What `wandb.init(group=...)` was given.
        sweep_id: Of the run record, where wandb's own sweeps put it.
        config_sweep_id: The configuration's key `sweep_id`.
        args: The script's arguments, which newer versions record.
        exit_code: None when there is no exit record in what was read.
        is_empty: There is nothing but a header yet.
        is_whole: The run record was found, and the exit record if there can be one. If not, a second look with
            more blocks may find it.
        is_head: Only the head was read, which names the sweep but does not tell how far the run has come.
        is_foreign: The file in place of the log is none of wandb's, so it says nothing, and never will.
        is_pointer: It is a Git LFS pointer.
        project: The project that wandb gives the run to.
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
    is_foreign: bool = False
    is_pointer: bool = False
    project: str = ""


_FACTS = frozenset({RUN, CONFIG, ENVIRONMENT, EXIT, FINAL, FOOTER})

# Fields of a record beside its message: `num`, `control`, `uuid` and `_info`.
_OF_EVERY_RECORD = (1, 16, 19, 200)

# Beginning of a record of history or summary, of which nearly all of a log consists: its `num`, and the tag.
_ROW = re.compile(
    rb"(?:\x08[\x80-\xff]{0,9}[\x00-\x7f])?[%b]" % bytes(number << 3 | 2 for number in (HISTORY, SUMMARY))
)


def read_log(ends: FileEnds) -> LogFacts:
    """Read the facts in the two ends of a log. Pure."""
    if is_foreign(ends.head):
        return LogFacts(is_foreign=True, is_pointer=is_lfs_pointer(ends.head))
    if ends.size <= len(FILE_HEADER):
        return LogFacts(is_empty=True)
    found = _Found()
    is_row = _ROW.match
    for payload in _list_end_payloads(ends):
        if is_row(payload):  # by its first bytes: to read the fields of every row would be most of the work
            continue
        for number, value in iter_fields(payload):
            if number in _FACTS and isinstance(value, bytes):
                found.add(number, value)
            elif number not in _OF_EVERY_RECORD:
                break  # a record is of one sort
    # 0.15 to 0.17 write a summary of any size, a final and a footer record after the exit record: a footer without one
    # means that it lies before the tail.
    is_whole = bool(found.run_id) and (found.exit_code is not None or not found.has_footer)
    return LogFacts(
        run_id=found.run_id,
        group=found.group,
        sweep_id=found.sweep_id,
        config_sweep_id=found.config_sweep_id,
        args=found.args,
        exit_code=found.exit_code,
        # Where the two ends meet, the whole log has been read, and more blocks would tell no more.
        is_whole=is_whole or ends.tail_offset <= len(ends.head),
        project=found.project,
    )


class _Found:
    """Collects facts; a later record wins."""

    def __init__(self) -> None:
        self.run_id = self.project = self.group = self.sweep_id = self.config_sweep_id = ""
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
            self.args = tuple(args) or self.args  # a later record of this sort may have none
        # An exception leaves 1 here, Ctrl-C 255; SIGKILL, SIGTERM and os._exit leave no such record.
        elif number == EXIT:
            self.exit_code = parse_exit_code(message)
        elif number in (FINAL, FOOTER):
            self.has_footer = True

    def _add_run(self, message: bytes) -> None:
        for field, value in iter_fields(message):
            if field == _RUN_ID:
                self.run_id = decode_text(value)
            elif field == _RUN_PROJECT:
                self.project = decode_text(value)
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
