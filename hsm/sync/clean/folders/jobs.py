"""Jobs of a sweep that a clean asks for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.model import SourceFile, SweepInventory
from hsm.records.cleaned import CleanedUnit
from hsm.sync.cleaned_jobs import iter_earlier_files


@dataclass(frozen=True, slots=True)
class CleanedJobs:
    """Hydra's jobs in the folder of a sweep.

    Attributes:
        reasons: Why each of them has not ended, empty for one that has; by folder, relative to the sweep's.
        gone: Those that were removed before, oldest first.
        waits: Further reasons for which it is too early to remove any of them, or the sweep's folder.
        wants_folder: The sweep's own files are asked for as well.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    gone: Sequence[CleanedUnit] = ()
    waits: Sequence[str] = ()
    wants_folder: bool = True

    def iter_choices(self, files: Sequence[SourceFile], inventory: SweepInventory) -> Iterator[tuple[SourceFile, ...]]:
        """Yield the files of which the journal's record of the folder may speak; none where it holds no jobs.

        Args:
            files: All that lie in the folder now.
            inventory: Everything here of the sweep.
        """
        if self.reasons or self.gone:
            yield tuple(files)
            yield from iter_earlier_files(files, inventory.sweep, inventory.place, self.gone)


def split_files(files: Sequence[SourceFile], folder: str, jobs: Collection[str]) -> dict[str, list[SourceFile]]:
    """Split the files of a sweep's folder by the innermost job that they are of, the sweep's own under the empty name.

    Args:
        files: All of them.
        folder: The sweep's, as in their paths.
        jobs: The folders of jobs, relative to the sweep's.
    """
    found: dict[str, list[SourceFile]] = {}
    for file in files:
        parts = file.path[len(folder) + 1 :].split("/")
        above = ("/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
        found.setdefault(next((job for job in above if job in jobs), ""), []).append(file)
    return found
