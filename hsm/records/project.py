"""Who this source is: a random id of the project, kept in `.hsm/project.json`."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from hsm.errors import ConfigError
from hsm.files import DamagedFileError, load_json, save_json

SCHEMA = 1
_SOURCE_ID = re.compile(r"[0-9a-f]{16}")


def load_source_id(project: Path) -> str:
    """Read the project's id; the first call makes it.

    Raises:
        ConfigError: The file is damaged or cannot be written.
    """
    path = project / ".hsm" / "project.json"
    try:
        document = load_json(path, schema=SCHEMA)
        if document is None:
            source_id = secrets.token_hex(8)
            save_json(path, {"source_id": source_id}, schema=SCHEMA)
            return source_id
    except (DamagedFileError, OSError) as error:
        raise _make_error(path, str(error)) from error
    source_id = str(document.get("source_id"))
    if not _SOURCE_ID.fullmatch(source_id):
        raise _make_error(path, "it holds no source id")
    return source_id


def _make_error(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path} cannot be used: {reason}.",
        hint="Remove it; this project then counts as a new source at its targets.",
        kind="bad_project_file",
    )
