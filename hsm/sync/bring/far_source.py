"""A target as a source: which sweeps a command means there, and as whom its project stands in receipts here."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.words.lookup import Meaning
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.errors import TargetError, UsageError
from hsm.model import EntryKind, Root
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Route
from hsm.records.origins import load_source_ids, save_source_id
from hsm.records.place import ProjectPlace
from hsm.records.receipt import Sender
from hsm.records.source_id import SourceId, is_at_its_place, parse_source_id
from hsm.sync.meanings import find_known_meanings
from hsm.sync.places import ProjectPlaces, find_far_places
from hsm.targets.apart import ApartEndpoint

_MOST_BYTES = 64 * 1024  # of a foreign file that should hold a few short lines
_STATE = str(ProjectFolder(Path()).path)


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
        own: The folders of this project, which the target's must not be.
    """

    def __init__(
        self, endpoint: Endpoint, project: Path, resolve: Callable[[str], TargetSettings], own: Layout
    ) -> None:
        self._endpoint = endpoint
        self._own = own
        self._project = project
        self._resolve = resolve
        self._looks: dict[Layout, ProjectPlaces] = {}

    def find(self, word: str) -> tuple[Meaning, ...]:
        """Find the sweeps that a word means there (`hsm.discover.words.meanings`).

        A sweep that was brought from there counts also when nothing of it is left there.

        Raises:
            UsageError: It means none, or several.
        """
        name = self._endpoint.name
        try:
            return tuple(self._settle(found, word) for found in self._find(word, word))
        except UsageError as error:
            hint = error.hint.replace("hsm sync to", "hsm sync from").replace(
                "There are no sweeps here", "There are none"
            )
            raise error.reword(f"{error.message} at {name}", hint=hint) from error

    def look(self, sweep: str) -> ProjectPlaces:
        """Look at the folders that a target has for a sweep; each is looked at once."""
        layout = make_far_layout(self._resolve(sweep))
        if layout not in self._looks:
            roots = {Root.SWEEPS: layout.sweeps, Root.WANDB: layout.wandb}
            apart = ApartEndpoint(self._endpoint, roots, self._own)
            cache = ProjectFolder(self._project).runs_cache(self._endpoint.name)
            self._looks[layout] = find_far_places(self._endpoint, layout, cache, apart=apart)
        return self._looks[layout]

    def check_there(self, sweep: Sweep, roots: Sequence[Root]) -> None:
        """Refuse a target whose folders are not there.

        Args:
            sweep: Whose folders; a Hydra sweep has its own where it was found.
            roots: Which of them are wanted.

        Raises:
            TargetError: One is missing.
        """
        found = self.look(sweep.id)
        for root in roots:
            if root in found.missing and not sweep.place:
                folder = getattr(found.layout, root.value)
                raise TargetError(
                    f"At {self._endpoint.name} there is no folder {folder}.",
                    hint=f"Mount it there, or correct `paths.{root.value}` of the target.",
                    kind="source_missing",
                )

    def _find(self, word: str, sweep: str) -> tuple[Meaning, ...]:
        return find_known_meanings(self.look(sweep).make_lookup(), self._project, [word], target=self._endpoint.name)

    def _settle(self, found: Meaning, word: str) -> Meaning:
        """Look again where the settings for this sweep name other folders than those for the word."""
        sweep = found.sweep.id
        if self.look(sweep) is self.look(word):
            return found
        (again,) = self._find(sweep, sweep)
        return replace(found, sweep=again.sweep)


class FarProject:
    """The project at a target. It is asked only when something is to be known of it, and then once.

    Args:
        endpoint: The target's end.
        route: Between which places.
        folder: The project's folder there.
    """

    def __init__(self, endpoint: Endpoint, route: Route, *, folder: str) -> None:
        self._endpoint = endpoint
        self._route = route
        self._folder = folder

    @property
    def address_id(self) -> str:
        """An id that is made of the target's name and address, for a project that has none of its own."""
        route = self._route
        words = (self._endpoint.name, route.host, route.user or "", str(route.port or ""), route.sweeps, route.wandb)
        return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @cached_property
    def claim(self) -> SourceId | None:
        """The id that the project says it has; one session.

        Raises:
            UnreachableError: The target cannot be reached.
        """
        path = f"{self._folder}/{ProjectFolder(Path()).id}"
        for ends in self._endpoint.read_ends([path], n_blocks=0, head_bytes=_MOST_BYTES):
            try:
                document = json.loads(ends.head)
            except (ValueError, RecursionError):
                return None
            return parse_source_id(document) if isinstance(document, dict) else None
        return None

    @cached_property
    def is_original(self) -> bool:
        """False where it is a copy of the project that its `.hsm/` names, or where that cannot be told.

        One session more. SFTP tells no inodes, so by it nothing is certain.

        Raises:
            UnreachableError: The target cannot be reached.
        """
        claim = self.claim
        if claim is None:
            return False
        if claim.place is None:  # an older version wrote it
            return True
        if not self._endpoint.is_remote:
            try:
                return is_at_its_place(claim, Path(self._folder).expanduser())
            except OSError:
                return False
        names = ("", _STATE)
        trees = [Tree(folder, names, max_depth=0) for folder in (self._folder, claim.place.path)]
        mine, remembered = self._endpoint.survey(trees).listings
        return _is_original(claim.place, mine, remembered)

    def vouches(self, sender: Sender) -> bool:
        """Tell whether a receipt's sender is this project.

        Raises:
            UnreachableError: The target cannot be reached.
        """
        if sender.id == self.address_id:
            return True
        claim = self.claim
        if claim is None or claim.id != sender.id:
            return False
        if claim.place is None:  # the receipt tells no less
            return sender.path == self._folder
        return self.is_original


def load_far_id(endpoint: Endpoint, project: Path, route: Route, *, folder: str, saves: bool) -> str:
    """As whom a target's project stands in receipts here: its own id where it has one, else one made of its address.

    The first answer is kept. A project that was copied with its `.hsm/` counts as if it had none, so that it and its
    original have a receipt each.

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
    far = FarProject(endpoint, route, folder=folder)
    is_own = far.claim is not None and far.claim.id not in taken and far.is_original
    source_id = far.claim.id if far.claim is not None and is_own else far.address_id
    if saves:
        with contextlib.suppress(OSError):
            save_source_id(project, endpoint.name, route, source_id)
    return source_id


def _is_original(place: ProjectPlace, mine: Listing, remembered: Listing) -> bool:
    """Judge a project by the inodes of its folders; a snapshot shows those of its original, so it must be gone."""
    if _read_inodes(mine) != place.inodes:
        return False
    return mine.base == remembered.base or EntryKind.FOLDER not in (
        entry.kind for entry in remembered.entries if entry.path == _STATE
    )


def _read_inodes(listing: Listing) -> tuple[int, int]:
    inodes = {entry.path: entry.inode for entry in listing.entries if entry.kind is EntryKind.FOLDER}
    return inodes.get("", 0), inodes.get(_STATE, 0)
