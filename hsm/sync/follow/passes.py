"""Schedule of passes: the targets that are due, and when everything is looked at anew. Pure.

Times are seconds of a clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hsm.sync.follow.targets import Track
from hsm.sync.reports import TargetReport

FULL_LOOK_SECONDS = 3600.0
"""At least this often everything is looked at anew: what is remembered of folders and targets is a good guess."""


@dataclass(frozen=True, slots=True)
class DuePass:
    """A pass that is due.

    Attributes:
        targets: Those that it serves.
        is_full: It looks at everything anew.
    """

    targets: tuple[str, ...]
    is_full: bool


class PassSchedule:
    """Schedule of the passes of one call.

    Args:
        targets: Their names.
        interval_seconds: Between passes that go well.
        settle_seconds: Time for which a target may go on failing once the sweeps wait for nothing more.

    Attributes:
        tracks: Of the targets, by name.
    """

    def __init__(self, targets: Iterable[str], *, interval_seconds: float, settle_seconds: float) -> None:
        self.tracks = {name: Track() for name in targets}
        self._interval_seconds = interval_seconds
        self._settle_seconds = settle_seconds
        self._full_at = float("-inf")
        self._over_since: float | None = None

    @property
    def is_at_end(self) -> bool:
        """True where no target is served any more."""
        return all(track.is_at_end for track in self.tracks.values())

    def get_pause(self, now: float) -> float:
        """Return the seconds until the next pass is due; 0 where it is, or where there is none."""
        due = [track.due_at for track in self.tracks.values() if not track.is_at_end]
        return max(0.0, min(due) - now) if due else 0.0

    def begin_pass(self, now: float) -> DuePass:
        """Choose the targets of the pass that begins now."""
        # Those that are due a little later are served too, so that targets stay together.
        slack = now + self._interval_seconds / 10
        names = tuple(name for name, track in self.tracks.items() if not track.is_at_end and track.due_at <= slack)
        is_full = self._over_since is not None or now - self._full_at >= FULL_LOOK_SECONDS
        if is_full:
            self._full_at = now
        return DuePass(names, is_full)

    def end_pass(
        self, due: DuePass, reports: Mapping[str, Sequence[TargetReport]], *, is_over: bool, now: float
    ) -> None:
        """Take what a pass did.

        Args:
            due: From `begin_pass`.
            reports: Of all sweeps, by the targets of the pass.
            is_over: The sweeps wait for nothing more.
            now: The clock's time.
        """
        if not is_over:
            self._over_since = None
        elif self._over_since is None:
            self._over_since = now
        for name, track in self.tracks.items():
            if name in due.targets:
                track.take(
                    reports[name],
                    now=now,
                    interval_seconds=self._interval_seconds,
                    is_over=is_over,
                    is_full=due.is_full,
                )
            track.wait(now=now, over_since=self._over_since, settle_seconds=self._settle_seconds)
