"""Paths of a prepared sweep's files (docs/design/sweeps.md). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PREPARED = ".hsm-sweep"
"""The folder in a sweep's folder that holds what the sweep is submitted from; no result, like all `.hsm-*`."""


@dataclass(frozen=True, slots=True)
class PreparedFolder:
    """Maker of the paths in the folder of a prepared sweep.

    Attributes:
        folder: The sweep's folder; relative paths give relative paths.
    """

    folder: Path

    @property
    def own(self) -> Path:
        """The folder of HSM's own files, in which executors may make further ones."""
        return self.folder / PREPARED

    @property
    def document(self) -> Path:
        """Description of the sweep for its executor; it is written last."""
        return self.own / "sweep.json"

    @property
    def index(self) -> Path:
        """The place of each task's record."""
        return self.own / "index"

    @property
    def state(self) -> Path:
        """The states of the tasks and their jobs, of which executors alone know more."""
        return self.own / "state.json"

    @property
    def lock(self) -> Path:
        """The lock of the state."""
        return self.own / "lock"

    def records(self, part: int) -> Path:
        """Return a file of records, by its number from 1."""
        return self.own / f"tasks-{part}"

    @property
    def definition(self) -> Path:
        """The definition as it was read."""
        return self.folder / "sweep_config.yaml"

    def further_definition(self, part: int) -> Path:
        """Return the definition of tasks that were added later, by the number of their records."""
        return self.folder / f"sweep_config-{part}.yaml"

    @property
    def combinations(self) -> Path:
        """The parameters of all tasks."""
        return self.folder / "parameter_combinations.json"

    @property
    def summary(self) -> Path:
        """The summary for people."""
        return self.folder / "submission_summary.txt"

    @property
    def code(self) -> Path:
        """The state of the git repository."""
        return self.folder / "code.txt"

    @property
    def code_changes(self) -> Path:
        """The changes that were not committed."""
        return self.folder / "code.diff"

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"

    @property
    def scripts(self) -> Path:
        """The folder of the job scripts."""
        return self.folder / "scripts"

    @property
    def tasks(self) -> Path:
        """The folder of the tasks' folders."""
        return self.folder / "tasks"

    def task(self, number: int) -> Path:
        """Return the folder of a task."""
        return self.tasks / f"task_{number}"

    def parameters(self, number: int) -> Path:
        """Return the file with a task's parameters, which the task makes when it starts."""
        return self.task(number) / "parameters.json"

    def task_info(self, number: int) -> Path:
        """Return the file in which a task says when it started and how it ended."""
        return self.task(number) / "task_info.txt"

    def command(self, number: int) -> Path:
        """Return the file with a task's command, for people."""
        return self.task(number) / "command.txt"
