"""Opening of a prepared sweep by a word of the command line."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hsm.errors import TargetError, UnknownSweepError, UsageError
from hsm.file_errors import explain_os_error
from hsm.jobs.base import Executor
from hsm.jobs.chunk import parse_indices
from hsm.jobs.local.executor import LocalExecutor
from hsm.jobs.slurm.executor import SlurmExecutor
from hsm.jobs.state.store import StateStore
from hsm.jobs.state.values import ExecutorKind
from hsm.jobs.this_machine import ThisMachine
from hsm.jobs.tracker import TrackedSweep
from hsm.prepared_sweep.document import PreparedSweep, SweepMode, load_prepared
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.process.runner import Runner
from hsm.sweeps.listing import list_prepared
from hsm.sweeps.project.load import ProjectSettings

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class OpenSweep:
    """A prepared sweep, with what its tasks are asked by.

    Attributes:
        settings: Of the project.
        prepared: What it is.
        tracked: Its state and its executors.
        runner: Starts programs, and sleeps.
    """

    settings: ProjectSettings
    prepared: PreparedSweep
    tracked: TrackedSweep
    runner: Runner

    @property
    def name(self) -> str:
        """Its id."""
        return self.prepared.sweep

    @property
    def folder(self) -> PreparedFolder:
        """Its folder."""
        return self.tracked.folder

    @property
    def store(self) -> StateStore:
        """Its state."""
        return self.tracked.store


def open_sweep(settings: ProjectSettings, word: str, runner: Runner) -> OpenSweep:
    """Open the sweep that a word means.

    Args:
        settings: Of the project.
        word: An id, the beginning of one, or `latest`.
        runner: Starts programs.

    Raises:
        UnknownSweepError: It means none, or several.
        TargetError: The sweep cannot be read.
    """
    try:
        listed = list_prepared(settings.outputs)
    except OSError as error:
        reason, hint = explain_os_error(error, settings.outputs)
        raise TargetError(f"{settings.outputs} cannot be read: {reason}", hint=hint, kind="no_permission") from None
    folder = PreparedFolder(settings.outputs / find_sweep([sweep.name for sweep in listed], word))
    prepared = load_prepared(folder)
    # The folder counts, not what it was called before: somebody may have moved it.
    machine = ThisMachine(runner)
    executors: dict[ExecutorKind, Executor] = {
        ExecutorKind.LOCAL: LocalExecutor(machine),
        ExecutorKind.SLURM: SlurmExecutor(machine),
    }
    store = StateStore(folder, prepared.sweep, prepared.key)
    return OpenSweep(settings, prepared, TrackedSweep(folder, store, machine, executors), runner)


def find_sweep(names: Sequence[str], word: str) -> str:
    """Find the sweep that a word means. Pure.

    Args:
        names: Of the sweeps, the oldest first.
        word: An id, the beginning of exactly one, or `latest`.

    Raises:
        UnknownSweepError: It means none, or several.
    """
    if word in names:
        return word
    if not names:
        raise UnknownSweepError(
            "No sweep was prepared in this project.", hint="`hsm sweep run --prepare` prepares one."
        )
    if word == LATEST:
        return names[-1]
    begins = [name for name in names if word and name.startswith(word)]
    if len(begins) == 1:
        return begins[0]
    if begins:
        shown = ", ".join(begins[-5:])
        raise UnknownSweepError(f"{word!a} is the beginning of {len(begins)} sweeps: {shown}", hint="Type more of it.")
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    hint = f"Is it {' or '.join(near)}? " if near else ""
    raise UnknownSweepError(f"There is no sweep {word!a}.", hint=f"{hint}`hsm sweep list` shows all.")


def choose_executor(mode: SweepMode) -> ExecutorKind:
    """Choose what starts the tasks: Slurm where it is, else this machine."""
    if mode is SweepMode.LOCAL:
        return ExecutorKind.LOCAL
    if mode is SweepMode.AUTO:
        return ExecutorKind.SLURM if shutil.which("sbatch") else ExecutorKind.LOCAL
    return ExecutorKind.SLURM


def parse_tasks(text: str, n_tasks: int) -> list[int]:
    """Read `--task 3,7-9`.

    Raises:
        UsageError: It names no tasks of the sweep.
    """
    try:
        numbers = sorted(set(parse_indices(text.replace(" ", ""))))
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1 or numbers[-1] > n_tasks:
        raise UsageError(
            f"--task {text!a} names no tasks of this sweep, which has the numbers 1 to {n_tasks}.",
            hint="Write them as `3,7-9`.",
            kind="bad_tasks",
        )
    return numbers


def list_tasks(prepared: PreparedSweep, chosen: Iterable[int] | None) -> list[int]:
    """Return the numbers that were chosen, or all."""
    return list(range(1, prepared.n_tasks + 1)) if chosen is None else sorted(set(chosen))
