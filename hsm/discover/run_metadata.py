"""Arguments of runs' scripts, out of the metadata file that wandb writes beside the log.

Older versions, and online runs, record the arguments there alone (`files/wandb-metadata.json`, key `args`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from hsm.discover.membership import Candidate
from hsm.endpoint import Endpoint, FileEnds

_FILE = "files/wandb-metadata.json"


class RunMetadata:
    """The metadata files of many runs, each read once.

    Args:
        endpoint: Where the runs lie.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._asked: set[str] = set()
        self._contents: dict[str, bytes] = {}

    def list_companions(self, candidates: Iterable[Candidate]) -> list[str]:
        """List the files that are to be read in one session with the runs' logs; `take` must be given what comes.

        There are none on this machine, where a file costs little and few are needed; at a far one they would cost a
        session of their own later. A run in a place of one sweep alone needs no arguments to tell its sweep.
        """
        if not self._endpoint.is_remote:
            return []
        paths = [_get_path(candidate) for candidate in candidates if not candidate.is_inside]
        paths = [path for path in paths if path not in self._asked]
        self._asked.update(paths)
        return paths

    def take(self, ends: FileEnds) -> None:
        """Keep a file that has been read."""
        self._contents[ends.path] = ends.head

    def read_missing(self, candidates: Iterable[Candidate]) -> None:
        """Read the files of runs that have not been read yet; those that are not there say nothing."""
        paths = [path for path in map(_get_path, candidates) if path not in self._asked]
        if paths:
            self._asked.update(paths)
            for ends in self._endpoint.read_ends(paths, n_blocks=1):
                self.take(ends)

    def get_arguments(self, candidate: Candidate) -> tuple[str, ...]:
        """Get the arguments of a run's script; empty where its file names none, or was not read."""
        try:
            args = json.loads(self._contents.get(_get_path(candidate), b""))["args"]
            return tuple(argument for argument in args if isinstance(argument, str))
        except (ValueError, TypeError, KeyError, RecursionError):
            return ()


def _get_path(candidate: Candidate) -> str:
    return f"{candidate.path}/{_FILE}"
