"""The project's random id, by which receipts at targets tell sources apart: `.hsm/project.json`."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

from hsm.errors import ConfigError
from hsm.files import DamagedFileError, load_json, save_json
from hsm.project_folder import ProjectFolder

SCHEMA = 1
_SOURCE_ID = re.compile(r"[0-9a-f]{16}")


def load_source_id(project: Path) -> str:
    """Read the project's id; the first call makes it, and of several first calls at once all get the same.

    Raises:
        ConfigError: The file is damaged or cannot be written.
    """
    path = ProjectFolder(project).id
    try:
        document = load_json(path, schema=SCHEMA)
        if document is None:
            _make_file(path, secrets.token_hex(8))
            document = load_json(path, schema=SCHEMA) or {}
    except (DamagedFileError, OSError) as error:
        raise _make_error(path, str(error)) from error
    source_id = str(document.get("source_id"))
    if not _SOURCE_ID.fullmatch(source_id):
        raise _make_error(path, "it holds no source id")
    return source_id


def _make_file(path: Path, source_id: str) -> None:
    """Write the file, unless another process was quicker."""
    beside = path.with_name(f".hsm-{source_id}")
    save_json(beside, {"source_id": source_id}, schema=SCHEMA)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)  # fails if the name is taken, where a rename would replace the quicker one's id
    except OSError:  # a file system without hard links
        if not path.exists():
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _make_error(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path} cannot be used: {reason}.",
        hint="Remove it; this project then counts as a new source at its targets.",
        kind="bad_project_file",
    )
