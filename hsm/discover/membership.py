"""Rules by which a run belongs to a sweep, and by which it has a state. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from hsm.model import Run, RunState
from hsm.sweep_folder import iter_sweep_ids
from hsm.wandb_log.facts import LogFacts

REST_NS = 10 * 10**9
"""wandb's `finish()` may return while the log still grows; after this long without a change it rests.

The rule decides what is claimed, not what is sent: a run that is not at rest is sent as it is, and the next sync
completes it.
"""

RUNNING_NS = 600 * 10**9
"""A run without an exit record counts as running if something of it moved within this time.

A live run holds no lock, and some versions of wandb write their log only at every 32 KiB.
"""

_RUN_FOLDER = re.compile(r"(?:offline-|dry)?run-\d{8}_\d{6}-(.+)", re.DOTALL)

# Hydra's overrides: `wandb.group=x`, and `+` or `++` before it where the key is new or may be.
_GROUP_ARGUMENT = re.compile(r"""\+{0,2}wandb\.group=(?P<quote>["']?)(?P<name>.*)(?P=quote)""", re.DOTALL)


class Membership(Enum):
    """Answer to the question whether a run belongs to a sweep."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run folder that may belong to the sweep.

    Attributes:
        name: The folder's name.
        prefix: The absolute folder that holds it.
        log: Name of its `.wandb` log; empty when it has none.
        log_size: Bytes.
        log_mtime_ns: 0 when there is no log.
        has_upload_mark: `wandb sync` has left its `.synced` beside the log, which has not grown since.
        is_inside: It lies in a place of this sweep's runs alone.
        real: Where the folder lies if its name is a symlink; else empty.
        is_unreadable: The folder or its log could not be read, so what it says of its sweep is not known.
        is_dangling: The folder's name is a symlink that leads nowhere, or to what may not be looked at.
        newest_ns: The newest time of the files directly in it; 0 where there is none.
    """

    name: str
    prefix: str
    log: str = ""
    log_size: int = 0
    log_mtime_ns: int = 0
    has_upload_mark: bool = False
    is_inside: bool = False
    real: str = ""
    is_unreadable: bool = False
    is_dangling: bool = False
    newest_ns: int = 0

    @property
    def path(self) -> str:
        """The run folder's absolute path."""
        return f"{self.prefix}/{self.name}"

    @property
    def run_id(self) -> str:
        """The run's id: its log is `run-<id>.wandb`; without one, its folder ends with it."""
        if self.log:
            return self.log.removeprefix("run-").removesuffix(".wandb")
        match = _RUN_FOLDER.fullmatch(self.name)
        return match[1] if match is not None else self.name

    @property
    def log_path(self) -> str:
        """The log's absolute path."""
        return f"{self.path}/{self.log}"


def decide_membership(
    candidate: Candidate, names: Iterable[str], *, is_told: bool, sweep: str, known_sweeps: Collection[str]
) -> Membership:
    """Tell whether a run belongs to a sweep: by the names that it bears, else by its place.

    Ids are compared for equality: `sweep_1` is not `sweep_10`. A run that lies with the sweep and names another folder
    sweep of the project was started from within it and belongs to the other.

    Args:
        candidate: The run.
        names: That its log, or an agent's file, gives as its sweep or group.
        is_told: Its log says something.
        sweep: The sweep's id.
        known_sweeps: The ids of all folder sweeps of the project.
    """
    # Of `wandb.init(group=...)` no other file of a run knows.
    ids = make_ids(names, known_sweeps)
    if sweep in ids:
        return Membership.YES
    if candidate.is_inside:
        return Membership.YES if ids.isdisjoint(known_sweeps) else Membership.NO
    return Membership.NO if is_told or ids else Membership.UNKNOWN


def make_ids(names: Iterable[str], folders: Collection[str] = ()) -> frozenset[str]:
    """Make the ids of all sweeps that names may mean.

    Args:
        names: As logs and agents' files give them.
        folders: The ids of folder sweeps, whose folders have the names as they are.
    """
    return frozenset(found for name in names for found in (*iter_sweep_ids(name), *([name] if name in folders else ())))


def iter_sweep_names(facts: LogFacts) -> Iterator[str]:
    """Yield every name that a log gives as its run's group or sweep."""
    yield from filter(None, (facts.group, facts.sweep_id, facts.config_sweep_id))
    for argument in facts.args:
        match = _GROUP_ARGUMENT.fullmatch(argument)
        if match is not None and match["name"]:
            yield match["name"]


def make_run(candidate: Candidate, facts: LogFacts, *, newest_ns: int, now_ns: int) -> Run:
    """Make a run, with its state.

    Args:
        candidate: The run.
        facts: Of its log.
        newest_ns: The newest time of any of its files, since some versions write their log seldom.
        now_ns: The clock of the machine that it lies on; 0 where that is unknown, and then nothing rests.
    """
    # `wandb-summary.json` tells nothing: online runs of 0.15 have it from the start, offline runs from 0.19 on never.
    newest_ns = max(newest_ns, candidate.log_mtime_ns)
    resting_since = candidate.log_mtime_ns or newest_ns
    if facts.exit_code is not None:
        state = RunState.FAILED if facts.exit_code else RunState.FINISHED
    else:
        state = RunState.UNKNOWN if now_ns and now_ns - newest_ns > RUNNING_NS else RunState.RUNNING
    is_online = candidate.name.startswith("run-")
    return Run(
        name=candidate.name,
        prefix=candidate.prefix,
        log=candidate.log,
        state=state,
        exit_code=facts.exit_code,
        at_rest=bool(now_ns) and now_ns - resting_since > REST_NS,
        uploaded=candidate.has_upload_mark or (is_online and facts.exit_code is not None),
        id=candidate.run_id,
        project=facts.project,
    )
