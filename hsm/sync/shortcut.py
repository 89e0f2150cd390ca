"""The place of a shortcut in a push: what may save it from looking at every file of the source.

`Shortcut` saves nothing, and with it every push is right. What saves something lies in `hsm/sync/shortcuts/` and offers
itself here when that package is imported; without the package, and without the line of `push.py` that imports it, a
push is only slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hsm.config.settings import TargetSettings
from hsm.endpoint import Endpoint
from hsm.model import Problem
from hsm.sync.reports import TargetReport
from hsm.sync.request import SyncRequest
from hsm.sync.source import ProjectSource


@dataclass(frozen=True, slots=True)
class PushCall:
    """A push before anything has been looked at.

    Attributes:
        request: What is wanted.
        source: The sweeps that are meant.
        source_id: The project's.
        settings: By target and sweep.
    """

    request: SyncRequest
    source: ProjectSource
    source_id: str
    settings: Mapping[tuple[str, str], TargetSettings]


class Shortcut:
    """No shortcut: every file is looked at. The main thread reads the source; each target is served by one thread."""

    def is_unchanged(self) -> bool:
        """Tell if neither the source nor any target has changed since a push had nothing to do, so nothing is read.

        May wait for what the targets say (`hear`, `leave`).
        """
        return False

    def watch(self, source: Endpoint) -> Endpoint:
        """Return the endpoint to read the source with, after `is_unchanged` said no."""
        return source

    def hear(self, target: str, digest: str) -> bool:  # noqa: ARG002 - for those that save something
        """Take the digest of what a target answered, empty where it could not be asked.

        Returns:
            Whether the answer's listings will hardly be wanted.
        """
        return False

    def leave(self, target: str) -> None:
        """Take note that a target no longer needs to know whether anything has changed."""

    def make_report(self, target: str, seconds: Mapping[str, float], *, notices: Sequence[Problem]) -> TargetReport:
        """Make the report of a target after `is_unchanged` said yes.

        Args:
            target: Its name.
            seconds: How long each step took.
            notices: Of how the target is reached.
        """
        raise NotImplementedError

    def note(self, report: TargetReport, get_digest: Callable[[], str]) -> None:
        """Leave behind what the next push can be saved by.

        Args:
            report: How this one ended at a target.
            get_digest: Waits for the digest of what the target answered before; empty where there is none.
        """


KnownRuns = Mapping[str, Sequence[str]]
"""By target: the runs of the first sweep that the journal knows."""

MakeShortcut = Callable[[PushCall, KnownRuns], Shortcut | None]
"""Makes a shortcut for a push; None where it could save nothing."""

_offers: list[MakeShortcut] = []


def offer_shortcut(make: MakeShortcut) -> None:
    """Offer a shortcut to every push of this process."""
    _offers.append(make)


def choose_shortcut(call: PushCall, known: KnownRuns) -> Shortcut:
    """Choose the first that is offered for a push."""
    made = (make(call, known) for make in _offers)
    return next((shortcut for shortcut in made if shortcut is not None), Shortcut())
