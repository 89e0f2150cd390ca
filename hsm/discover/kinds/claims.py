"""RunClaims of sweeps to runs: by names in logs, agents' files, arguments and receipts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from hsm.discover.kinds.agent_files import AgentNames, find_agent_names
from hsm.discover.membership import RUNNING_NS, Candidate, Membership, decide_membership, iter_sweep_names, make_ids
from hsm.discover.sweeps import parse_timestamp
from hsm.model import SweepKind
from hsm.sweep_folder import LOOSE
from hsm.wandb_log.facts import LogFacts
from hsm.wandb_log.format import FILE_HEADER

_SUBMITIT = "/.submitit/"

# The time in a folder's name is of a clock whose zone is not known.
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RunClaims:
    """Evidence of the runs that belong to a sweep, and of those that belong to others.

    Attributes:
        sweep: Its id.
        kind: Its kind.
        known: The ids of all folder sweeps.
        agents: The names that agents' files give.
        listed: The runs that sound receipts list, by the sweep's id.
        places: The folders of sweeps that may be Hydra's, relative to the project, by the sweep's id.
    """

    sweep: str
    kind: SweepKind = SweepKind.FOLDER
    known: Collection[str] = frozenset()
    agents: AgentNames = field(default_factory=dict)
    listed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    def find_names(self, candidate: Candidate, facts: LogFacts) -> frozenset[str]:
        """Find the names that a run bears: of W&B sweeps and groups, by its log and by agents' files."""
        return find_agent_names(candidate, self.agents).union(iter_sweep_names(facts))

    def may_be_member(self, facts: LogFacts) -> bool:
        """Tell, by the head of its log, whether a run may be the sweep's."""
        ids = make_ids(iter_sweep_names(facts), self.known)
        return self.sweep in ids or ids.isdisjoint(self.known) or self.sweep in self.listed

    def decide(self, candidate: Candidate, facts: LogFacts) -> Membership:
        """Tell whether a run belongs to the sweep."""
        if candidate.name in self.listed.get(self.sweep, ()):
            return Membership.YES
        names = self.find_names(candidate, facts)
        if self.kind is SweepKind.LOOSE:
            return self._decide_loose(candidate, facts, names)
        if self.sweep in self.find_hydra_sweeps(facts) or (self.kind is SweepKind.HYDRA and candidate.is_inside):
            return Membership.YES
        return decide_membership(
            candidate, names, is_told=bool(facts.run_id), sweep=self.sweep, known_sweeps=self.known
        )

    def find_hydra_sweeps(self, facts: LogFacts) -> frozenset[str]:
        """Find the Hydra sweeps whose folder a run's arguments name, as submitit starts it."""
        folders = [argument.partition(_SUBMITIT)[0] for argument in facts.args if _SUBMITIT in argument]
        # The path is of the machine that it ran on, where the project may lie elsewhere.
        return frozenset(
            sweep
            for sweep, place in self.places.items()
            if any(f"/{folder}".endswith(f"/{place}") for folder in folders)
        )

    def is_loose(self, candidate: Candidate, *, now_ns: int) -> bool:
        """Tell whether a run that has written nothing will not write any more, and so is no sweep's.

        Args:
            candidate: The run.
            now_ns: The clock of its machine; 0 where unknown.
        """
        if candidate.is_unreadable or candidate.real or candidate.log_size > len(FILE_HEADER) or not now_ns:
            return False
        if candidate.newest_ns:
            return now_ns - candidate.newest_ns > RUNNING_NS
        began = parse_timestamp(candidate.name)
        return bool(began) and _has_rested_since(began, now_ns)

    def _decide_loose(self, candidate: Candidate, facts: LogFacts, names: frozenset[str]) -> Membership:
        is_listed = any(candidate.name in runs for sweep, runs in self.listed.items() if sweep != LOOSE)
        if names or is_listed or candidate.is_inside or self.find_hydra_sweeps(facts):
            return Membership.NO
        # One without a file of its own directly in it is judged by what lies deeper, once that has been read.
        is_bare = not candidate.newest_ns and not candidate.is_unreadable and not candidate.real
        return Membership.YES if facts.run_id or is_bare else Membership.UNKNOWN


def _has_rested_since(began: str, now_ns: int) -> bool:
    try:
        then = datetime.strptime(began, "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
        return datetime.fromtimestamp(now_ns // 10**9, timezone.utc) - then > _DAY
    except (ValueError, OverflowError, OSError):  # digits that are no date
        return False
