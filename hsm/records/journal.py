"""The journal: this side's record of what is verified at a target, `.hsm/sync/<target>/<sweep>.json`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm.errors import ConfigError
from hsm.file_errors import explain_os_error
from hsm.files import DamagedFileError, NewerFileError, load_json, save_json
from hsm.model import Problem
from hsm.project_folder import ProjectFolder
from hsm.records.record import RunRecord, make_record_document, parse_record
from hsm.records.scope import parse_scope_document

if TYPE_CHECKING:
    from hsm.config.settings import TargetSettings

SCHEMA = 1
NEW_ROUTE = "new_route"


@dataclass(frozen=True, slots=True)
class Route:
    """The two places that a journal is about; with any difference the target counts as new.

    Attributes:
        direction: `push` or `pull`.
        host: As configured; empty for a folder of this machine.
        user: As configured.
        port: As configured.
        sweeps: The target's folder of sweeps, as configured.
        wandb: The target's folder of runs, as configured.
    """

    direction: str
    host: str
    user: str | None
    port: int | None
    sweeps: str
    wandb: str


@dataclass(frozen=True, slots=True)
class Journal:
    """This side's record of one sweep at one target.

    Attributes:
        route: The two places.
        generation: Of the receipt that was written last; 0 before the first.
        receipt: The checksum of that receipt, as the target's `cksum` made it; empty before the first.
        updated_ns: Time of the last sync, nanoseconds since the epoch.
        last_error: What went wrong in the last sync; empty when nothing did.
        runs: By run folder; the sweep folder under the empty name.
        left: What is missing of the sweep beside what these lack, by reason (`hsm.records.scope`).
    """

    route: Route
    generation: int = 0
    receipt: str = ""
    updated_ns: int = 0
    last_error: str = ""
    runs: Mapping[str, RunRecord] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)


def make_route(settings: TargetSettings, *, direction: str) -> Route:
    """Make the route of a target's journals for a direction, `push` or `pull`. Pure."""
    return Route(
        direction=direction,
        host=settings.host if settings.node is None else f"node:{settings.node}",  # by any of its addresses
        user=settings.user,
        port=settings.port,
        sweeps=settings.paths.sweeps,
        wandb=settings.paths.wandb,
    )


def load_journal(path: Path, route: Route, *, sets_aside: bool) -> tuple[Journal, tuple[Problem, ...]]:
    """Read a journal.

    Args:
        path: Its file.
        route: The two places that it must be about.
        sets_aside: Keep one that is about others, or is damaged, under another name beside it.

    Returns:
        The journal, empty where none can be used; and a notice where one is there that cannot.

    Raises:
        ConfigError: A newer version of HSM wrote it, or it is to be set aside and belongs to another user.
    """
    try:
        document = load_json(path, schema=SCHEMA)
        if document is None:
            return Journal(route), ()
        journal = _parse(document)
    except NewerFileError as error:
        raise ConfigError(f"{error}.", hint="Upgrade HSM here.", kind="newer_schema") from error
    except PermissionError as error:
        return Journal(route), (_make_denied(path, error, changes=sets_aside),)
    except (DamagedFileError, ValueError, RecursionError, OSError) as error:  # recursion: JSON nested very deeply
        message = f"The journal is not used: {error}."
        return Journal(route), (_drop(path, "damaged_journal", message, sets_aside=sets_aside),)
    if journal.route != route:
        message = "The target's address or paths have changed, so it counts as new."
        if replace(journal.route, direction=route.direction) == route:
            ways = {"push": "brought there", "pull": "brought from there"}
            before, now = ways.get(journal.route.direction, ""), ways[route.direction]
            message = f"Until now it was {before}, now it is {now}: what counts is looked at anew."
        return Journal(route), (_drop(path, NEW_ROUTE, message, sets_aside=sets_aside),)
    return journal, ()


def list_journals(project: Path, target: str, sweep: str = "") -> list[Journal]:
    """Read the journals of all sweeps at a target, or of one, but for those that cannot be used. Changes nothing."""
    folder = ProjectFolder(project)
    found = []
    for path in [folder.journal(target, sweep)] if sweep else _list_files(folder.target(target)):
        with contextlib.suppress(NewerFileError, DamagedFileError, ValueError, RecursionError, OSError):
            document = load_json(path, schema=SCHEMA)
            if document is not None:
                found.append(_parse(document))
    return found


def _list_files(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a glob raises where the folder is another user's
    except OSError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(".json")]


def save_journal(path: Path, journal: Journal) -> None:
    """Replace a journal.

    Raises:
        OSError: It could not be written.
    """
    document: dict[str, object] = {
        **asdict(replace(journal, runs={}, left=dict(journal.left))),
        "runs": {name: make_record_document(record) for name, record in journal.runs.items()},
    }
    save_json(path, document, schema=SCHEMA)


def _parse(document: Mapping[str, Any]) -> Journal:
    try:
        return Journal(
            route=Route(**document["route"]),
            generation=int(document["generation"]),
            receipt=str(document["receipt"]),
            updated_ns=_check_time(int(document["updated_ns"])),
            last_error=str(document["last_error"]),
            left=parse_scope_document(document.get("left", {})),  # journals of 0.1.0 do not have it
            runs={str(name): parse_record(record) for name, record in document["runs"].items()},
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is no journal ({error})") from error


def _make_denied(path: Path, error: OSError, *, changes: bool) -> Problem:
    """Make the notice of a journal of another user; who is going to replace it is refused."""
    reason, hint = explain_os_error(error, path)
    message = f"The journal cannot be read, so what it knows is missing here: {reason}."
    if changes:
        raise ConfigError(f"The journal {path} cannot be used: {reason}.", hint=hint, kind="project_denied") from error
    return Problem(str(path), "unreadable_journal", message, hint, is_failure=False)


def _check_time(time_ns: int) -> int:
    if abs(time_ns) >= 2**63:  # seconds of such a number are no float any more
        raise ValueError("it is no journal (no clock shows its time)")
    return time_ns


def _drop(path: Path, kind: str, message: str, *, sets_aside: bool) -> Problem:
    aside = path.with_suffix(".json.old")
    if not sets_aside:
        return Problem(str(path), kind, message, is_failure=False)
    hint = f"The old one is {aside.name} beside it."
    try:
        os.replace(path, aside)  # noqa: PTH105 - replaces an older one too
    except OSError as error:
        hint = f"It cannot be set aside ({error.strerror}): move it away."
    return Problem(str(path), kind, message, hint, is_failure=False)
