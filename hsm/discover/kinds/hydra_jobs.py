"""Hydra's jobs: the parameters that each began with, and how it ended where submitit started it.

Hydra itself records no end: a job that raised leaves the same files as one that ended. Submitit's log of a job says
`Job completed successfully`, or that it `triggered an exception` (submitit 1.5, `submitit/core/submission.py`). The
former says that it has ended, not how: Hydra catches what a script raises and hands it back as a result. The pickles
beside the log would tell, but are never loaded: what reads them runs what they hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.discover.kinds.hydra import HYDRA_FOLDER, MOST_YAML_BYTES, read_mapping
from hsm.endpoint import Endpoint, Tree
from hsm.model import EntryKind, Run, RunState
from hsm.wandb_log.nested import make_leaves
from hsm.wandb_log.plain_yaml import parse_plain_yaml
from hsm.wandb_log.records import ValueKey

_SUBMITIT = ".submitit"
_LOG = re.compile(r"(?P<folder>[^/]+)/(?P=folder)_[0-9]+_log\.out")
_ARRAY_TASK = re.compile(r".+_([0-9]+)", re.ASCII)
_BEGIN = "Starting with JobEnvironment"
_ENDS: Mapping[str, RunState] = {
    "Job completed successfully": RunState.FINISHED,
    "Exiting after successful completion": RunState.FINISHED,
    "triggered an exception": RunState.FAILED,
}


@dataclass(frozen=True, slots=True)
class HydraJob:
    """A job's folder.

    Attributes:
        path: Relative to the sweep's folder.
        state: By submitit's log; UNKNOWN where it says nothing, or there is none.
        values: Its parameters: all of its configuration, and what varied.
        has_log: There is a log of it that submitit began.
    """

    path: str
    state: RunState = RunState.UNKNOWN
    values: Mapping[ValueKey, object] = field(default_factory=dict)
    has_log: bool = False


def read_jobs(endpoint: Endpoint, folder: str, jobs: Sequence[str]) -> tuple[HydraJob, ...]:
    """Read the jobs of a sweep; two sessions, or one where submitit left nothing.

    Args:
        endpoint: The machine that they lie on.
        folder: The sweep's, absolute.
        jobs: Their folders, relative to that (`hsm.model.SweepInventory.jobs`).
    """
    if not jobs:
        return ()
    names = ("config", "overrides", "hydra")
    paths = [f"{folder}/{job}/{HYDRA_FOLDER}/{name}.yaml" for job in jobs for name in names]
    found = {
        ends.path: ends.head
        for ends in endpoint.read_ends(paths, n_blocks=0, head_bytes=MOST_YAML_BYTES)
        if ends.size <= MOST_YAML_BYTES
    }
    read = [[found.get(f"{folder}/{job}/{HYDRA_FOLDER}/{name}.yaml", b"") for name in names] for job in jobs]
    states = _read_states(endpoint, folder, {job: files[2] for job, files in zip(jobs, read, strict=True)})
    return tuple(
        HydraJob(job, states.get(job, RunState.UNKNOWN), make_parameters(config, overrides), has_log=job in states)
        for job, (config, overrides, _) in zip(jobs, read, strict=True)
    )


def find_job_of(run: Run, folder: str, jobs: Iterable[str]) -> str:
    """Find the job in whose folder a run lies; empty for none. Pure."""
    if not run.prefix.startswith(f"{folder}/"):
        return ""
    parts = run.prefix[len(folder) + 1 :].split("/")
    above = {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return max(above.intersection(jobs), key=len, default="")


def make_parameters(config: bytes, overrides: bytes) -> dict[ValueKey, object]:
    """Make the parameters of a job out of `.hydra/config.yaml` and `.hydra/overrides.yaml`. Pure.

    An override counts where the configuration has no value of this name, as of a group (`db=mysql`), whose values have
    names of their own.
    """
    values = make_leaves({str(name): value for name, value in read_mapping(config).items()})
    for text in _read_list(overrides):
        name, sign, value = text.lstrip("+").partition("=")
        key = tuple(name.split("."))
        if sign and all(key) and key not in values:
            values[key] = _parse_value(value)
    return values


def parse_state(log: bytes) -> RunState:
    """Tell by the end of submitit's log whether a job has ended. Pure.

    A job that is queued again goes on in the same log, so that only what follows its last beginning counts.
    """
    lines = log.decode(errors="replace").rstrip().splitlines()
    for number, line in enumerate(reversed(lines)):
        if _BEGIN in line:
            break
        # Libraries may print as the process ends; any other line may be the script's own.
        for words, state in _ENDS.items():
            if words in line and ("submitit" in line or (number == 0 and line.strip() == words)):
                return state
    return RunState.UNKNOWN


def _read_states(endpoint: Endpoint, folder: str, jobs: Mapping[str, bytes]) -> dict[str, RunState]:
    """Read the states of jobs out of submitit's logs.

    Args:
        endpoint: The machine that they lie on.
        folder: The sweep's.
        jobs: What `.hydra/hydra.yaml` of each says.
    """
    base = f"{folder}/{_SUBMITIT}"
    (listing,) = endpoint.survey([Tree(base, max_depth=2)]).listings
    logs: dict[str, str] = {}
    for entry in sorted(listing.entries, reverse=True):  # of several tasks of a job the first
        match = _LOG.fullmatch(entry.path)
        if match is not None and entry.kind is EntryKind.FILE:
            logs[match["folder"]] = f"{base}/{entry.path}"
    if not logs:
        return {}
    paths = {job: path for job, content in jobs.items() if (path := _find_log(job, content, logs))}
    # Two blocks: the last one may have just begun.
    ends = {end.path: end.tail for end in endpoint.read_ends(list(paths.values()), n_blocks=2, head_bytes=0)}
    return {job: parse_state(ends.get(path, b"")) for job, path in paths.items()}


def _find_log(job: str, content: bytes, logs: Mapping[str, str]) -> str:
    """Find the log of a job, whose id Hydra's launcher writes down; else by the number of the task in the array."""
    hydra = read_mapping(content).get("hydra")
    settings = hydra.get("job") if isinstance(hydra, Mapping) else None
    if isinstance(settings, Mapping) and settings.get("id") is not None:
        return logs.get(str(settings["id"]), "")
    tasks = [folder for folder in logs if (match := _ARRAY_TASK.fullmatch(folder)) is not None and match[1] == job]
    return logs[tasks[0]] if len(tasks) == 1 else ""


def _read_list(content: bytes) -> list[str]:
    try:
        found = parse_plain_yaml(content.decode(errors="replace"))
    except ValueError:
        return []
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _parse_value(text: str) -> object:
    try:
        return parse_plain_yaml(text)
    except ValueError:
        return text
