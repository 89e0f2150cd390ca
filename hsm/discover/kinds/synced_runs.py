"""Runs that a sync brought into the usual folder of runs of a project that has them elsewhere, too.

A push puts runs side by side into `paths.wandb`. Where the project there made such a run itself, in `train/wandb`, it
has two folders of one name from then on, which are one run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from hsm.discover.index import RunIndex
from hsm.discover.kinds.receipts import find_all_receipts, make_receipt_trees, read_listed
from hsm.discover.membership import Candidate
from hsm.discover.sweeps import Layout
from hsm.endpoint import Endpoint
from hsm.sweep_folder import make_hydra_id


def find_synced_copies(
    endpoint: Endpoint,
    layout: Layout,
    candidates: Iterable[Candidate],
    *,
    usual: str,
    known_sweeps: Collection[str],
    index: RunIndex,
) -> frozenset[str]:
    """Find the runs of two folders, one of which a sync brought: it lies in the usual folder, and a receipt lists it.

    One survey, where a run lies in two folders at all.

    Args:
        endpoint: Where they lie.
        layout: Places of the project there.
        candidates: Of all places.
        usual: Real path of the usual folder of runs.
        known_sweeps: The ids of all sweeps of the project.
        index: The cache of what files there say; takes what is read.

    Returns:
        Their names.
    """
    places = {(candidate.name, candidate.real or candidate.path): candidate for candidate in candidates}
    count = Counter(name for name, _ in places)
    doubles = {each.name for each in places.values() if count[each.name] == 2 and each.prefix == usual}
    if not doubles:
        return frozenset()
    # A run may be in several sweeps, and have come as a part of any of them.
    survey = endpoint.survey(make_receipt_trees(layout, (*known_sweeps, *map(make_hydra_id, layout.hydra))))
    listed = read_listed(endpoint, find_all_receipts(survey.listings), index=index)
    return frozenset(name for name in doubles if any(name in found.runs for found in listed.values()))
