"""Files of this machine that a configuration names, looked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from hsm.config.settings import TargetSettings


def iter_missing_files(targets: Mapping[str, TargetSettings]) -> Iterator[str]:
    """Yield a sentence for each private key of targets that cannot be read.

    No error: ssh goes on with the keys of its own configuration.
    """
    for name, settings in targets.items():
        if problem := find_missing_key(settings):
            yield f"{name}: {problem}."


def find_missing_key(settings: TargetSettings) -> str:
    """Say what is wrong with the private key of a target, as half a sentence; empty where it is there."""
    path = settings.ssh.identity_file
    if path is None:
        return ""
    try:
        Path(path).expanduser().stat()
    except FileNotFoundError:
        return f"ssh.identity_file {path} does not exist"
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder
        return f"ssh.identity_file {path} cannot be read: {getattr(error, 'strerror', None) or error}"
    return ""
