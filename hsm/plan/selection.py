"""Selection of the files of a run or a sweep folder, before the destination is looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from hsm.model import PlanItem, Reason, Run, RunVersions, SourceFile, SweepInventory
from hsm.plan.patterns import Patterns
from hsm.plan.secrets import find_secrets
from hsm.plan.symlinks.outside import leads_out, make_link_detail
from hsm.plan.versions import find_superseded, find_superseded_artifacts
from hsm.sweep_folder import sweep_folder


class Selection:
    """Rules by which files are left out.

    Where several apply to a file, the first is told: no result, excluded, a symlink that leads out, a secret, the
    upload mark of a run that has not ended or whose log has grown since, an old version.
    """

    def __init__(
        self,
        *,
        latest_only: bool | Literal["uploaded"],
        exclude: Sequence[str],
        secret_patterns: Sequence[str],
        link_folders: Sequence[str] | None = None,
    ) -> None:
        self._latest_only = latest_only
        self._excluded = Patterns(exclude)
        self._secret = Patterns(secret_patterns)
        self._link_folders = link_folders

    def find_left(self, files: Sequence[SourceFile], inventory: SweepInventory, run: Run | None) -> dict[str, PlanItem]:
        """Find the files of one folder that are left out, by path.

        Args:
            files: Of one run, or of the sweep folder; at least one.
            inventory: That they are of.
            run: None for the sweep folder.
        """
        strip = len(files[0].run or sweep_folder(inventory.sweep, inventory.place)) + 1
        names = [file.path[strip:] for file in files]
        excluded = self._excluded.find_matches(names)
        secrets = find_secrets(files, strip, self._secret)
        superseded = self._find_superseded(names, run, inventory.versions)
        left: dict[str, PlanItem] = {}
        for file, name in zip(files, names, strict=True):
            if not file.is_result:
                left[file.path] = PlanItem(file, Reason.NO_RESULT, "left behind by the system or by a crash")
            elif name in excluded:
                left[file.path] = PlanItem(file, Reason.EXCLUDED, "excluded by the configuration")
            elif self._link_folders is not None and leads_out(file, self._link_folders):
                left[file.path] = PlanItem(file, Reason.EXCLUDED, make_link_detail(file))
            elif file.path in secrets:
                left[file.path] = PlanItem(file, Reason.SECRET, secrets[file.path])
            elif run is not None and name == f"{run.log}.synced" and (why := _judge_mark(run, file, files)):
                left[file.path] = PlanItem(file, Reason.UNFINISHED, why)
            elif name in superseded:
                left[file.path] = PlanItem(file, Reason.SUPERSEDED, superseded[name])
        return left

    def _find_superseded(
        self, names: Sequence[str], run: Run | None, versions: Mapping[str, RunVersions]
    ) -> dict[str, str]:
        wanted = self._latest_only
        if wanted is False or (wanted == "uploaded" and (run is None or not run.uploaded)):
            return {}
        found = find_superseded_artifacts(names)  # by names alone, so also in the sweep's folder
        if run is not None and run.name in versions:
            found = {**found, **find_superseded(names, versions[run.name])}
        return found


def _judge_mark(run: Run, mark: SourceFile, files: Sequence[SourceFile]) -> str:
    """Say why the mark that a run was uploaded does not count; empty where it does."""
    if not run.has_exit_record:
        return "the run has no exit record"
    log = f"{run.name}/{run.log}"
    # A mark has its log's time or a later one (`hsm.sync.after`); an older one speaks of less than the log holds now.
    is_older = any(file.path == log and file.mtime_ns > mark.mtime_ns for file in files)
    return "the log has grown since" if is_older else ""
