"""Marks: empty files of random names, by which it shows whether two folders are one.

Addresses, paths and devices cannot tell: there are bind mounts, union mounts, second servers of one disk. A name that
nobody asked for before is in no cache, so where a mark of one folder is seen through another, both are the same, or one
shows the other. It says nothing where it is not seen in one direction alone: a union mount shows its lower layer, and
writes into the upper one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Collection

from hsm.discover.results import OWN_PREFIX

MARK_PREFIX = f"{OWN_PREFIX}mark-"
_RANDOM_DIGITS = 32
_OLD_SECONDS = 3600
_MARK = re.compile(re.escape(MARK_PREFIX) + r"[0-9a-f]{8}-[0-9a-f]{32}")


def make_mark_name(purpose: str) -> str:
    """Make a fresh name.

    Args:
        purpose: Marks of one purpose, such as the clean of one sweep, are made by one call at a time.
    """
    family = hashlib.sha256(purpose.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{MARK_PREFIX}{family}-{secrets.token_hex(_RANDOM_DIGITS // 2)}"


def get_mark_family(name: str) -> str:
    """Return the beginning of a mark's name, which only marks of the same purpose share."""
    return name[:-_RANDOM_DIGITS]


def is_mark(name: str) -> bool:
    """Tell whether a file's name is one of a mark."""
    return _MARK.fullmatch(name) is not None


def make_marks_here(folders: Collection[str], name: str, *, is_alone: bool = True) -> dict[str, str]:
    """Make marks in folders of this machine; see `hsm.targets.contents.contract.Contents.make_marks`.

    Args:
        folders: Absolute.
        name: The mark's.
        is_alone: No other call makes marks of this purpose now, so that each other one is left by a killed call.
    """
    failures: dict[str, str] = {}
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for folder in folders:
        try:
            _remove_old(folder, get_mark_family(name) if is_alone else "")
            os.close(os.open(f"{folder}/{name}", flags, 0o600))
        except OSError as error:
            failures[folder] = error.strerror or str(error)
    return failures


def remove_marks_here(folders: Collection[str], name: str) -> None:
    """Remove marks of this machine; see `hsm.targets.contents.contract.Contents.remove_marks`."""
    for folder in folders:
        with contextlib.suppress(OSError):
            os.unlink(f"{folder}/{name}")  # noqa: PTH108 - many


def _remove_old(folder: str, family: str) -> None:
    with os.scandir(folder) as found:
        marks = [entry for entry in found if entry.name.startswith(MARK_PREFIX) and is_mark(entry.name)]
    for entry in marks:
        with contextlib.suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            is_old = bool(family) and entry.name.startswith(family)
            is_old = is_old or time.time() - status.st_mtime > _OLD_SECONDS
            if is_old and stat.S_ISREG(status.st_mode) and status.st_size == 0:
                os.unlink(entry.path)  # noqa: PTH108 - as above
