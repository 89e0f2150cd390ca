"""Old versions in a run or a sweep folder: what a later version of itself has certainly replaced. Pure.

wandb writes a new file for every logged image, table or HTML page, and a new folder for every downloaded
version of an artifact. Both kinds of name are exact, and only exact names count here: `resnet_v2.pt` beside
`resnet_v10.pt` is two models, not two versions. What the log does not know of yet is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from hsm.model import RunVersions

_MEDIA = "files/media/"
_FILES = "files/"
# Source: `_wb_filename` of wandb/sdk/data_types/base_types/media.py: key, step, the first 20 hex digits of the
# content's SHA-256, extension.
# The extension holds no underscore, so that there is one way to read a name. No step has 19 digits.
_MEDIA_NAME = re.compile(
    r"files/media/(?P<kind>[^/]+)/(?P<key>.*)_(?P<step>[0-9]{1,18}|summary)_[0-9a-f]{20}(?P<extension>(?:\.[^/_]*)?)",
    re.DOTALL,
)
# Source: `_default_root` of wandb/sdk/artifacts/artifact.py. Versions are compared as numbers: v10 is later than v9.
_ARTIFACT_FOLDER = re.compile(r"(?P<name>.+):v(?P<version>0|[1-9][0-9]{0,17})", re.DOTALL)


class MediaFile(NamedTuple):
    """Media file of a run, as its path describes it.

    Attributes:
        kind: The folder below `media`, for example `images` or `table`.
        key: What it was logged as; may hold `/`, spaces, underscores and digits.
        step: None for `summary`, which is not a version of anything.
        extension: With its leading dot, for example `.table.json`; may be empty.
    """

    kind: str
    key: str
    step: int | None
    extension: str

    @property
    def group(self) -> tuple[str, str, str]:
        """Part that files share if they are versions of one another."""
        return (self.kind, self.key, self.extension)


def parse_media_path(path: str) -> MediaFile | None:
    """Read the path of a media file, relative to the run folder; None when it is not one."""
    match = _MEDIA_NAME.fullmatch(path) if path.startswith(_MEDIA) else None
    if match is None:
        return None
    step = None if match["step"] == "summary" else int(match["step"])
    return MediaFile(match["kind"], match["key"], step, match["extension"])


def has_versions(paths: Iterable[str]) -> bool:
    """Tell whether a run has media of one key at more than one step, so that its log is worth reading whole.

    Args:
        paths: Relative to the run folder.
    """
    first_steps: dict[tuple[str, str, str], int] = {}
    for path in paths:
        media = parse_media_path(path)
        if media is None or media.step is None:
            continue
        # Most runs have none, and are spared the reading of their whole log: 13 MB for 10,000 steps of 20 numbers.
        if first_steps.setdefault(media.group, media.step) != media.step:
            return True
    return False


def find_superseded(paths: Iterable[str], versions: RunVersions) -> dict[str, str]:
    """Find the media files of a run that a later step has replaced.

    Kept are all files at a group's highest step, all of step `summary`, all increments of incremental tables, and
    what the last summary names.

    Args:
        paths: Relative to the run folder, in any order.
        versions: What the run's log says. With an empty one the names alone decide.

    Returns:
        Path -> reason, for example `superseded by step 70`. Paths that are not in it are kept.
    """
    steps: dict[str, tuple[MediaFile, int]] = {}
    latest: dict[tuple[str, str, str], int] = {}
    for path in paths:
        media = parse_media_path(path)
        if media is not None and media.step is not None:
            steps[path] = (media, media.step)
            latest[media.group] = max(latest.get(media.group, 0), media.step)
    return {
        path: f"superseded by step {latest[media.group]}"
        for path, (media, step) in steps.items()
        # All files of the highest step stay: two logs of one run may share it, and a list of images does.
        if step < latest[media.group]
        # An incremental table is read from all of its files together.
        and media.key not in versions.incremental
        and path.removeprefix(_FILES) not in versions.named
    }


def find_superseded_artifacts(paths: Iterable[str]) -> dict[str, str]:
    """Find the files in a downloaded artifact's folder `<name>:v<N>` that has a later sibling.

    Args:
        paths: Relative to the sweep folder or to a folder above it, in any order. Never those of a run
            folder: wandb puts no artifacts there, so a name of this form in it is the user's own.

    Returns:
        Path -> reason, for example `superseded by v12`, of the outermost folder that is an old version.
    """
    folders: dict[str, list[tuple[tuple[str, str], int]]] = {}
    latest: dict[tuple[str, str], int] = {}
    for path in paths:
        found = _parse_artifact_folders(path) if ":v" in path else []
        for group, version in found:
            latest[group] = max(latest.get(group, 0), version)
        if found:
            folders[path] = found
    superseded: dict[str, str] = {}
    for path, found in folders.items():
        later = next((latest[group] for group, version in found if version < latest[group]), None)
        if later is not None:
            superseded[path] = f"superseded by v{later}"
    return superseded


def _parse_artifact_folders(path: str) -> list[tuple[tuple[str, str], int]]:
    """Read the artifact folders above a file, outermost first: their parent and name, and their version."""
    found: list[tuple[tuple[str, str], int]] = []
    *folders, _ = path.split("/")
    for index, folder in enumerate(folders):
        # Not `<name>-v<N>`, which wandb writes on Windows: elsewhere `resnet-v2` beside `resnet-v10` is two models.
        match = _ARTIFACT_FOLDER.fullmatch(folder)
        if match is not None:
            found.append((("/".join(folders[:index]), match["name"]), int(match["version"])))
    return found
