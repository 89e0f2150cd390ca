"""Rows of the history and records of the summary in a log, and what is left of them at the end."""

from __future__ import annotations

from hsm.wandb_log.curve import find_number, parse_row_step
from hsm.wandb_log.nested import drop_value, put_value
from hsm.wandb_log.records import REMOVED, ItemReader, LastItems, parse_json

_RUNTIME = ("_runtime",)
_STEP = ("_step",)


class LoggedRows:
    """The rows and the summaries of one log, in the order in which they were written.

    From 0.19 on wandb writes a summary before each row, with the same values or with what `define_metric` made of
    them; before that the summary comes once, at the end, and until then the history alone tells it. Keys of
    `run.summary` that are set by hand come as records of their own, at any time. What is written later wins.
    """

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._summaries: list[bytes] = []
        self._has_summary_rows = False

    def add_row(self, message: bytes) -> None:
        """Take the next row of the history."""
        self._rows.append(message)
        # A summary before a row: the log is of 0.19 or later. One after the last row alone is how older versions end.
        self._has_summary_rows = self._has_summary_rows or bool(self._summaries)

    def add_summary(self, message: bytes) -> None:
        """Take the next record of the summary."""
        self._summaries.append(message)

    def read_runtimes(self) -> list[float]:
        """Read how long the run had been going at its first and at its last row, as far as they say."""
        reader = ItemReader()
        ends = (*self._rows[:1], *self._rows[-1:])
        runtimes = (find_number(reader.read(row), _RUNTIME) for row in ends)
        return [runtime for runtime in runtimes if runtime is not None]

    def read_last_step(self) -> float | None:
        """Read the step of the last row."""
        if not self._rows:
            return None
        step = find_number(ItemReader().read(self._rows[-1]), _STEP)
        return parse_row_step(self._rows[-1]) if step is None else step

    def read_summary(self, own_summaries: set[str]) -> dict[str, object]:
        """Read the last state of the summary.

        Rows count only where no summary goes with them, and never for a key that `define_metric` gave a summary of its
        own.

        Args:
            own_summaries: These keys, their names joined by dots.
        """
        # A log of 1,000 rows holds tens of thousands of items. From the end backwards only the last value of each key
        # is ever parsed; a key may have been logged once, at the beginning, so stopping early would lose it.
        last = LastItems()
        for message in reversed(self._summaries):
            last.add(message, has_removals=True)
        rows = LastItems()
        for message in () if self._has_summary_rows else reversed(self._rows):
            rows.add(message, has_removals=False)
        by_rows = {key: value for key, value in rows.values.items() if ".".join(key) not in own_summaries}
        state: dict[str, object] = {}
        for key, value in (*reversed(by_rows.items()), *reversed(last.values.items())):
            if value == REMOVED:
                drop_value(state, key)
            else:
                put_value(state, key, parse_json(value))
        return state
