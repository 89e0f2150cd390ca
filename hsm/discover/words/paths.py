"""Meaning of a word with `/`: a folder of the project, or what W&B and logs write with it."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace

from hsm.discover.kinds.agent_files import AGENTS_PREFIX
from hsm.discover.kinds.hydra import HYDRA_FOLDER
from hsm.discover.sweeps import WANDB_NAMES, Sweep, is_run_name
from hsm.discover.words.catalogue import KnownRun
from hsm.discover.words.lookup import Lookup, Meaning, make_run_count
from hsm.discover.words.spelling import LOOSE_WORD, find_wandb_below, list_wandb_folders
from hsm.errors import UsageError
from hsm.model import SweepKind
from hsm.sweep_folder import LOOSE, OUTPUTS

_W_AND_B_PARTS = 3  # ENTITY/PROJECT/SWEEP, as `wandb agent` takes it


def find_by_path(lookup: Lookup, word: str) -> Meaning:
    """Find what a word with `/` means: a folder of a sweep, a run or its runs; else a W&B sweep, or a group.

    Args:
        lookup: Of the project.
        word: As typed.

    Raises:
        UsageError: It is a folder outside the project, or one that is nothing of a sweep; or there is none of it.
    """
    found = _find_folder(lookup, word) if lookup.working_folder else _find_far(lookup, word)
    return found or _find_named(lookup, word)


def _find_folder(lookup: Lookup, word: str) -> Meaning | None:
    path = os.path.join(lookup.working_folder, word)  # noqa: PTH118 - as the bytes are
    if not os.path.isdir(path):  # noqa: PTH112 - as above
        return None
    real, project = os.path.realpath(path), os.path.realpath(lookup.layout.project)
    if not any(_is_below(real, folder) for folder in _list_folders(lookup)):
        raise _make_error(f"{word!r} lies outside the project {lookup.layout.project}", kind="outside_project")
    place = real[len(project) + 1 :] if _is_below(real, project) else ""
    found = (
        _find_sweep(lookup, real, place)
        or _find_run(lookup, real, word)
        or _find_agents(lookup, real)
        or _find_wandb(lookup, real, word)
    )
    if found is None:
        inner = find_wandb_below(lookup.layout, lookup.working_folder, word)
        hint = f"Its runs lie in a wandb folder: `hsm sync to {shlex.quote(inner)}`." if inner else ""
        message = f"{word!r} is no folder of a sweep, of a run, of a job or of wandb"
        raise _make_error(message, hint=hint, kind="no_sweep_folder")
    return found


def _list_folders(lookup: Lookup) -> set[str]:
    """List the folders that the project consists of, some of which may lie elsewhere, behind symlinks."""
    layout = lookup.layout
    roots = (layout.project, layout.sweeps, f"{layout.project}/{OUTPUTS}")
    folders = (*roots, *(sweep.path for sweep in lookup.folders if sweep.path))
    return {os.path.realpath(folder) for folder in folders} | list_wandb_folders(lookup.layout)


def _find_sweep(lookup: Lookup, real: str, place: str) -> Meaning | None:
    """Find the sweep of a folder, or of a job of Hydra's."""
    wandb = os.path.realpath(lookup.layout.wandb)
    is_job = os.path.isdir(f"{real}/{HYDRA_FOLDER}")  # noqa: PTH112 - as above
    for sweep in lookup.folders:
        path = os.path.realpath(sweep.path) if sweep.path else f"{wandb}/{sweep.id}"
        if real == path:
            return lookup.make_folder_meaning(sweep.id)
        if is_job and real.rpartition("/")[0] == path:
            return replace(lookup.make_folder_meaning(sweep.id), said=f"{place} is a job of {sweep.id}")
    return lookup.find_hydra(place) if is_job or place in lookup.layout.hydra else None


def _find_run(lookup: Lookup, real: str, word: str) -> Meaning | None:
    folder, _, name = real.rpartition("/")
    if not is_run_name(name):
        return None

    def is_meant(run: KnownRun) -> bool:
        return run.candidate.name == name and os.path.realpath(run.candidate.prefix) == folder

    return lookup.find_run_folder(word, is_meant)


def _find_agents(lookup: Lookup, real: str) -> Meaning | None:
    """Find the W&B sweep in whose folder `sweep-<name>` its agents leave their files."""
    folder, _, name = real.rpartition("/")
    is_agents = name.startswith(AGENTS_PREFIX) and folder in list_wandb_folders(lookup.layout)
    sweep = lookup.find_named(name.removeprefix(AGENTS_PREFIX)) if is_agents else None
    return lookup.make_meaning(sweep) if sweep is not None else None


def _find_wandb(lookup: Lookup, real: str, word: str) -> Meaning | None:
    """Find the loose runs of a wandb folder, or those of the sweep in whose folder it lies."""
    if real not in list_wandb_folders(lookup.layout) and real.rpartition("/")[2] not in WANDB_NAMES:
        return None
    inside = _find_runs_in(lookup, real)
    names = frozenset(run.candidate.name for run in inside if run.is_loose)
    if names:
        said = f"{LOOSE_WORD} ({make_run_count(len(names))} in {word.rstrip('/')})"
        return Meaning(Sweep(LOOSE, kind=SweepKind.LOOSE), names, said)
    owners = {sweep.id: sweep for sweep in (lookup.find_sweep_of(run) for run in inside)}
    if len(owners) == 1:
        (sweep,) = owners.values()
        return Meaning(sweep, frozenset(run.candidate.name for run in inside), f"{sweep.id}: its runs in {word}")
    what = "its runs are of several sweeps" if owners else "it holds no run"
    raise _make_error(f"There is no loose run in {word!r}; {what}", kind="no_loose_run")


def _find_runs_in(lookup: Lookup, real: str) -> list[KnownRun]:
    """Find the runs in a wandb folder, which may lie deeper than any search goes."""
    for catalogue in lookup.iter_catalogues():
        found = [run for run in catalogue.runs if _is_below(os.path.realpath(run.candidate.prefix), real)]
        if found:
            return found
    return []


def _find_far(lookup: Lookup, word: str) -> Meaning | None:
    """Find a folder at a target by its path in the project there, which is the one here."""
    *above, name = [part for part in word.split("/") if part not in ("", ".")] or [""]
    if is_run_name(name):
        place = "/".join(["", *above, name])
        # Run folders lie in another place there, unless they are the project's own.
        return lookup.find_run_folder(word, lambda run: run.candidate.path.endswith(place)) or lookup.find_run(name)
    if above[-1:] == [OUTPUTS]:
        return next((Meaning(sweep) for sweep in lookup.folders if sweep.id == name), None)
    return lookup.find_hydra("/".join([*above, name]))


def _find_named(lookup: Lookup, word: str) -> Meaning:
    parts = word.split("/")
    is_path = word.startswith(("/", "./", "../", "~"))
    names = [] if is_path else [word, *(parts[-1:] if len(parts) == _W_AND_B_PARTS and all(parts) else [])]
    for name in names:
        sweep = lookup.find_named(name)
        if sweep is not None:
            return lookup.make_meaning(sweep)
    if is_path:
        raise _make_error(f"There is no folder {word!r}", kind="no_sweep_folder")
    raise lookup.make_unknown_error(word)


def _make_error(message: str, *, hint: str = "", kind: str) -> UsageError:
    return UsageError(message, hint=hint or "`hsm sync list --sweeps` shows what there is.", kind=kind)


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")
