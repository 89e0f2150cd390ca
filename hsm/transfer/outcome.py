"""Outcome of a transfer, and its patience, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hsm.errors import HsmError
from hsm.model import FileKey, Problem, SourceFile


class Outcome(str, Enum):
    """The end of a file that was to be sent. UNCHANGED is as good as sent: it was offered, and is there."""

    SENT = "sent"
    UNCHANGED = "unchanged"
    UNSETTLED = "unsettled"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams that carried files, and the figures that they were chosen by.

    Attributes:
        engine: Its name.
        n_streams: Side by side.
        round_trip_seconds: Of the link, as it was measured; None where unknown.
        compression: The method that content was compressed with; empty for none.
    """

    engine: str
    n_streams: int
    round_trip_seconds: float | None = None
    compression: str = ""


@dataclass(frozen=True, slots=True)
class TransferResult:
    """Result of a transfer.

    Attributes:
        outcomes: For every file of the call; a file that the user's interrupt left open is missing.
        files: For every SENT or UNCHANGED file its size and time as verified, which may be newer than planned.
        unsettled: Every UNSETTLED file as it was at the source in the end; None for one that vanished.
        problems: One for each file that is not SENT, where there is something to say of it.
        error: The reason why the transfer stopped early; None when every batch was tried to its end.
        is_interrupted: The user stopped it.
        streams: That carried it; None where nothing was sent.
        strangers: Files that were left to somebody else, who wrote them at the destination after the check.
    """

    outcomes: Mapping[FileKey, Outcome] = field(default_factory=dict)
    files: Mapping[FileKey, SourceFile] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    error: HsmError | None = None
    is_interrupted: bool = False
    streams: Streams | None = None
    unsettled: Mapping[FileKey, SourceFile | None] = field(default_factory=dict)
    strangers: frozenset[FileKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Patience:
    """The patience of a transfer with files and links that may still recover.

    Attributes:
        settle_seconds: Pauses before each further pass over files that changed while they were sent.
        n_fruitless_rounds: Rounds in a row that end with a broken connection and send nothing, before it gives up.
    """

    settle_seconds: tuple[float, ...] = (3.0, 6.0)
    n_fruitless_rounds: int = 3
