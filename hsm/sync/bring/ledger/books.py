"""Facts that the ledgers of all sweeps at one target share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hsm.model import Problem
from hsm.records.journal import Route
from hsm.records.receipt import Sender
from hsm.records.source_id import SourceId


@dataclass(frozen=True, slots=True)
class Books:
    """Facts of one target.

    Attributes:
        project: The project's folder on this machine, which holds `.hsm/`.
        target: The target's name.
        route: Between which places files travel.
        source: Named in receipts.
        breaks_lock: Take locks whoever holds them.
        notices: What is to be said of the project.
    """

    project: Path
    target: str
    route: Route
    source: Sender
    breaks_lock: bool = False
    notices: tuple[Problem, ...] = ()


def make_copy_notices(found: SourceId, project: Path) -> tuple[Problem, ...]:
    """Make a notice where a project was found to be a copy."""
    origin = found.copied_from
    if origin is None:
        return ()
    message = f"This project is a copy of {origin.host}:{origin.path}, .hsm/ included: it has an id of its own now."
    hint = "Was it moved, nothing is lost: its receipts at targets are written anew, beside the old ones."
    return (Problem(str(project), "copied_project", message, hint, is_failure=False),)
