"""The part of one sweep that is here, as the targets want it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hsm.config.settings import SyncOptions, TargetSettings
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Layout, Sweep
from hsm.endpoint import Endpoint
from hsm.model import Root, SweepInventory
from hsm.plan.planner import select
from hsm.plan.symlinks.folder_links import list_followed
from hsm.sync.expected_runs import find_missing_runs
from hsm.sync.status.shared_listing import KeptIndex


@dataclass(slots=True)
class SweepSource:
    """The part of one sweep that is here, read once for each depth that a target wants."""

    endpoint: Endpoint
    layout: Layout
    sweep: Sweep
    project: Path
    settings: Mapping[str, TargetSettings]
    index: KeptIndex
    known: frozenset[str]
    inventories: dict[int | None, SweepInventory] = field(default_factory=dict)

    def read(self, options: SyncOptions, roots: Collection[Root], *, knows_runs: bool) -> SweepInventory:
        """Read what one target wants; where none of its runs is known, runs that should be here are missed."""
        if options.max_depth not in self.inventories:
            self.inventories[options.max_depth] = self._read(options.max_depth)
        found = self.inventories[options.max_depth]
        if not knows_runs:
            missing = find_missing_runs(self.endpoint, self.layout, self.sweep, found, self.project)
            found = replace(found, problems=(*found.problems, *missing))
        return select(found, roots, folder_links=options.folder_links)

    def _read(self, depth: int | None) -> SweepInventory:
        return read_inventory(
            self.endpoint,
            self.layout,
            self.sweep,
            max_depth=depth,
            index=self.index,
            known_sweeps=self.known,
            follow=list_followed([settings.options.folder_links for settings in self.settings.values()]),
        )
