"""A target as a source: which sweeps a command means there, and as whom its project stands in receipts here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hsm.config.schema import TargetSettings
from hsm.discover.sweeps import Layout, SweepFolder, SweepsFound, look_for_sweeps
from hsm.endpoint import Endpoint
from hsm.errors import TargetError, UsageError
from hsm.model import Root
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Route
from hsm.records.origins import load_source_ids, save_source_id
from hsm.sync.source import find_known_sweep

_SOURCE_ID = re.compile(r"[0-9a-f]{16}")
_MOST_BYTES = 4096  # of a foreign file that should hold one short line


def make_far_layout(settings: TargetSettings) -> Layout:
    """Make the layout of a target's sweeps and runs; without `project_root` its project is not known."""
    paths = settings.paths
    return Layout(paths.project_root or paths.sweeps, paths.sweeps, paths.wandb)


class FarSource:
    """The sweeps that lie at one target.

    Args:
        endpoint: The target's end.
        project: The project here, whose journals tell what was there before.
        resolve: Gives a target's settings for a sweep's id.
    """

    def __init__(self, endpoint: Endpoint, project: Path, resolve: Callable[[str], TargetSettings]) -> None:
        self._endpoint = endpoint
        self._project = project
        self._resolve = resolve
        self._looks: dict[Layout, SweepsFound] = {}

    def find(self, word: str) -> SweepFolder:
        """Find the sweep that a word means there: an id, an unambiguous prefix, `latest`.

        A sweep that was brought from there counts also when nothing of it is left there.

        Raises:
            UsageError: It means none, or several.
        """
        name = self._endpoint.name
        try:
            found = self._find(word, word)
            return self._find(found.id, found.id)
        except UsageError as error:
            hint = error.hint.replace("hsm sync to", "hsm sync from").replace(
                "There are no sweeps here", "There are none"
            )
            raise error.reword(f"{error.message} at {name}", hint=hint) from error

    def look(self, sweep: str) -> SweepsFound:
        """Look at the folders that a target has for a sweep; each is looked at once."""
        layout = make_far_layout(self._resolve(sweep))
        if layout not in self._looks:
            self._looks[layout] = look_for_sweeps(self._endpoint, layout)
        return self._looks[layout]

    def check_there(self, sweep: str, roots: Sequence[Root]) -> None:
        """Refuse a target whose folders are not there.

        Args:
            sweep: Whose folders.
            roots: Which of them are wanted.

        Raises:
            TargetError: One is missing.
        """
        found = self.look(sweep)
        for root in roots:
            if root in found.missing:
                folder = getattr(found.layout, root.value)
                raise TargetError(
                    f"At {self._endpoint.name} there is no folder {folder}.",
                    hint=f"Mount it there, or correct `paths.{root.value}` of the target.",
                    kind="source_missing",
                )

    def _find(self, word: str, sweep: str) -> SweepFolder:
        return find_known_sweep(self.look(sweep).sweeps, self._project, word, target=self._endpoint.name)


def load_far_id(endpoint: Endpoint, project: Path, route: Route, *, folder: str, saves: bool) -> str:
    """As whom a target's project stands in receipts here: its own id where it has one, else one made of its address.

    The first answer is kept. A project that was copied with its `.hsm/` gives the same id at two targets; the second
    then counts as if it had none, so that each has a receipt of its own.

    Args:
        endpoint: The target's end.
        project: The project here.
        route: Between which places.
        folder: The project's folder there.
        saves: Keep the answer.
    """
    known = load_source_ids(project)
    if endpoint.name in known and known[endpoint.name][0] == route:
        return known[endpoint.name][1]
    taken = {source_id for name, (other, source_id) in known.items() if name != endpoint.name and other != route}
    source_id = _read_id(endpoint, f"{folder}/{ProjectFolder(Path()).id}")
    # A project copied with its `.hsm/` says the same id at two targets, which then shared a receipt here.
    if not source_id or source_id in taken:
        words = (endpoint.name, route.host, route.user or "", str(route.port or ""), route.sweeps, route.wandb)
        source_id = hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    if saves:
        with contextlib.suppress(OSError):
            save_source_id(project, endpoint.name, route, source_id)
    return source_id


def _read_id(endpoint: Endpoint, path: str) -> str:
    for ends in endpoint.read_ends([path], n_blocks=0, head_bytes=_MOST_BYTES):
        try:
            found = str(json.loads(ends.head)["source_id"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return ""
        return found if _SOURCE_ID.fullmatch(found) else ""
    return ""
