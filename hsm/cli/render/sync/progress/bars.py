"""Reporter that draws bars: one row for each target, redrawn ten times a second at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from hsm.cli.render.printer import Part, Printer, lend_console, make_console, take_console_back
from hsm.cli.render.sync.progress.milestones import Milestones, TargetProgress
from hsm.cli.render.sync.progress.pace import Estimate, Rate
from hsm.cli.render.terminal import never_raise
from hsm.progress import Event, ProblemFound, StepStarted, TransferStarted, Waiting, WordUnderstood

if TYPE_CHECKING:
    from hsm.cli.render.sync.progress.display import BarDisplay

_REDRAW_SECONDS = 0.1


@dataclass(slots=True)
class TargetRow:
    """State of one target's row.

    Attributes:
        progress: From the events.
        milestones: Makes lines of them.
        rate: Of the present transfer.
        estimate: Of the present transfer.
    """

    progress: TargetProgress = field(default_factory=TargetProgress)
    milestones: Milestones = field(default_factory=Milestones)
    rate: Rate = field(default_factory=Rate)
    estimate: Estimate = field(default_factory=Estimate)

    def take(self, event: Event) -> None:
        """Take one event of this target; each transfer has a rate of its own."""
        self.progress.take(event)
        if isinstance(event, TransferStarted):
            self.rate, self.estimate = Rate(), Estimate()

    def look(self, now: float) -> None:
        """Note how much has moved by now."""
        if self.progress.is_moving:
            self.rate.add(now, self.progress.n_bytes)
            self.estimate.take(now, self.rate, self.progress.total_bytes - self.progress.n_bytes)


class BarReporter:
    """Draws a bar for each target while its context lasts.

    Events only change numbers; a thread of its own draws them. Until every target has passed its login nothing
    is drawn, and milestones are written as lines: ssh may be asking for a password in the same terminal.

    Args:
        targets: Names, in the order of the rows.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._console = make_console(is_error=True)
        self._state_lock = threading.Lock()
        self._screen_lock = threading.Lock()  # taken before the state's, never while that is held
        self._targets = {name: TargetRow() for name in targets}
        self._above: list[Part] = []
        self._display: BarDisplay | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._draw_until_over, name="hsm-progress", daemon=True)

    def __enter__(self) -> BarReporter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        with never_raise(), self._screen_lock:
            self._hide()
            self._print_above()

    def report(self, event: Event) -> None:
        """See `hsm.progress.Reporter.report`."""
        with never_raise():
            is_login = isinstance(event, StepStarted) and event.name == "login"
            with self._state_lock:
                is_told = self._take(event)
            if is_told or is_login:
                with self._screen_lock:
                    if is_login:
                        self._hide()
                    self._print_above()

    def _take(self, event: Event) -> bool:
        """Take an event; tell whether there is a line to print at once."""
        if isinstance(event, WordUnderstood):
            self._above.append((event.said, ""))
            return True
        row = self._targets.setdefault(event.target, TargetRow())
        row.take(event)
        line = row.milestones.make_line(event, row.progress, time.monotonic())
        is_told = not self._may_draw()
        if line is None or not (is_told or isinstance(event, ProblemFound | Waiting)):
            return False
        is_bad = isinstance(event, ProblemFound) and event.problem.is_failure
        self._above.append((line, "red" if is_bad else ""))
        return is_told

    def _may_draw(self) -> bool:
        return all(row.progress.is_past_login for row in self._targets.values())

    def _draw_until_over(self) -> None:
        with never_raise():
            while not self._is_over.wait(_REDRAW_SECONDS):
                with self._screen_lock:
                    self._draw()

    def _draw(self) -> None:
        # Here, in the thread that draws: rich.progress takes 15 ms to import while the logins are waited for.
        from hsm.cli.render.sync.progress.display import BarDisplay, make_row

        with self._state_lock:
            may_draw = self._may_draw()
            rows = [
                make_row(name, row.progress, speed=row.rate.bytes_per_second, seconds_left=row.estimate.seconds)
                for name, row in self._iter_rows()
            ]
        if not may_draw:
            return
        if self._display is None:
            self._display = BarDisplay(self._console, rows)
            self._display.start()
            lend_console(self._console)
        self._print_above()
        self._display.show(rows)

    def _iter_rows(self) -> Iterator[tuple[str, TargetRow]]:
        now = time.monotonic()
        for name, row in self._targets.items():
            row.look(now)
            yield name, row

    def _hide(self) -> None:
        if self._display is not None:
            take_console_back(self._console)
            self._display.stop()
            self._display = None

    def _print_above(self) -> None:
        with self._state_lock:
            lines, self._above = self._above, []
        if lines:
            printer = Printer(is_error=True)
            for line in lines:
                printer.print(line, hang=2)
