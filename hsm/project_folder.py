"""Paths of HSM's own files in a project: everything below `.hsm/`. Pure but for the list of targets."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

_MOST_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class ProjectFolder:
    """Maker of the paths below a project's `.hsm/`.

    Attributes:
        project: The project's folder; relative paths give relative paths.
    """

    project: Path

    @property
    def path(self) -> Path:
        """The folder that holds all of them."""
        return self.project / ".hsm"

    @property
    def config(self) -> Path:
        """The configuration of syncs."""
        return self.path / "sync_config.yaml"

    @property
    def settings(self) -> Path:
        """The configuration of sweeps that are run."""
        return self.path / "config.yaml"

    @property
    def snapshots(self) -> Path:
        """The folder of the snapshots of the code, in a folder for each."""
        return self.path / "code"

    @property
    def hosts(self) -> Path:
        """The inventory of machines, where the project has one of its own."""
        return self.path / "hosts.yaml"

    @property
    def ignore(self) -> Path:
        """Git's list of what is not to be committed of this folder."""
        return self.path / ".gitignore"

    @property
    def id(self) -> Path:
        """The project's random id."""
        return self.path / "project.json"

    def runs_cache(self, target: str = "") -> Path:
        """Return the cache of what the logs of a target's runs say; without a target, of the runs here."""
        return self.path / "cache" / (f"runs-{target}.json" if target else "runs.json")

    def folders_cache(self, target: str = "") -> Path:
        """Return the record of the wandb folders at a target; without a target, of those here."""
        return self.path / "cache" / (f"folders-{target}.json" if target else "folders.json")

    def looks_cache(self, target: str) -> Path:
        """Return the record of what the last pull from a target asked of it."""
        return self.path / "cache" / f"looks-{target}.json"

    def target(self, target: str) -> Path:
        """Return the folder that holds the journals of a target."""
        return self.path / "sync" / target

    def list_targets(self) -> list[str]:
        """List the targets that have such a folder, whether the configuration still names them or not."""
        # Not `Path.is_dir`, which raises where the folder is another user's.
        return sorted(path.name for path in self.target("").glob("*") if os.path.isdir(path))  # noqa: PTH112

    def list_journals(self, target: str = "") -> frozenset[str]:
        """List the names of the sweeps' journals at a target, or at all targets, without `.json`."""
        found: set[str] = set()
        for name in [target] if target else self.list_targets():
            with contextlib.suppress(OSError):
                found.update(os.listdir(self.target(name)))  # noqa: PTH208 - names that are no UTF-8
        return frozenset(name.removesuffix(".json") for name in found if name.endswith(".json") and name[0] != ".")

    def journal(self, target: str, sweep: str) -> Path:
        """Return the journal of a sweep at a target."""
        return self.target(target) / make_journal_name(sweep)

    def lock(self, target: str, sweep: str) -> Path:
        """Return the lock of this side for a sweep at a target."""
        return self.journal(target, sweep).with_suffix(".lock")

    def compared(self, target: str, sweep: str, *, is_pull: bool = False, part: str = "") -> Path:
        """Return the record of the files of a sweep whose content was compared with a target's.

        Args:
            target: The target.
            sweep: The sweep's id.
            is_pull: Of its pulls.
            part: Names the folder here, where it is not the usual one.
        """
        path = self.origins(target, sweep) if is_pull else self.journal(target, sweep)
        return path.with_suffix(f".{part}.compared" if part else ".compared")

    def file_systems(self, target: str, *, is_pull: bool = False) -> Path:
        """Return the record of a target's file systems, or of those here that its pulls land in."""
        folder = self.target(target) / "pulled" if is_pull else self.target(target)
        return folder / ".file-systems"  # no sweep's name begins with a dot

    def origins(self, target: str, sweep: str) -> Path:
        """Return the record of the files here that came from a target in pulls of a sweep."""
        return self.target(target) / "pulled" / make_journal_name(sweep)

    def list_pulled(self, target: str) -> list[str]:
        """List the sweeps, as their files are named, of which files came from a target in pulls."""
        names = [path.name for path in (self.target(target) / "pulled").glob("*.json")]
        return sorted(name.removesuffix(".json") for name in names if not name.startswith("."))

    def far_id(self, target: str) -> Path:
        """Return the record of the id under which a target's project stands in receipts here."""
        return self.target(target) / "pulled" / ".source.json"  # no sweep's name begins with a dot

    @property
    def all_cleaned(self) -> Path:
        """The folder with the records of all that was removed here, in a folder for each sweep."""
        return self.path / "cleaned"

    def cleaned(self, sweep: str) -> Path:
        """Return the folder with the records of what was removed here of a sweep."""
        return self.all_cleaned / make_journal_name(sweep).removesuffix(".json")


def make_journal_name(sweep: str) -> str:
    """Make the name of a sweep's journal; a very long name is cut and told apart by its checksum."""
    name = os.fsencode(sweep)
    # A file's name ends at 255 bytes; the lock and what is written beside it before the rename need the rest.
    if len(name) > _MOST_NAME_BYTES:
        digest = hashlib.sha256(name).hexdigest()[:16]
        sweep = f"{os.fsdecode(name[: _MOST_NAME_BYTES - 17])}-{digest}"
    return f"{sweep}.json"
