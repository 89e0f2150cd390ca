"""The interpreter that tasks run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hsm.errors import ConfigError
from hsm.sweeps.project.schema import ProjectPaths

_NAMES = ("python", "python3")


def find_python(paths: ProjectPaths, project: Path) -> str:
    """Find the interpreter of this machine's tasks, as an absolute path.

    A symlink stays one: a virtual environment's Python is told by the path that it is started by.

    Args:
        paths: Of the configuration.
        project: Relative paths begin there.

    Raises:
        ConfigError: There is none (kind `no_python`).
    """
    if paths.conda_env is not None:
        return _find_in_conda(paths.conda_env)
    names = (paths.python_interpreter,) if paths.python_interpreter else _NAMES
    for name in names:
        if found := _find(name, project):
            return found
    what = f"paths.python_interpreter {paths.python_interpreter}" if paths.python_interpreter else "python"
    raise ConfigError(
        f"There is no {what} that can be run",
        hint="Set paths.python_interpreter in .hsm/config.yaml, or activate the environment of the project.",
        kind="no_python",
    )


def _find(name: str, project: Path) -> str:
    if "/" not in name:
        found = shutil.which(name)
        return str(Path(found).absolute()) if found else ""
    path = project / Path(name).expanduser()
    return str(path) if path.is_file() and os.access(path, os.X_OK) else ""


def _find_in_conda(name: str) -> str:
    for prefix in _iter_prefixes(name):
        python = prefix / "bin" / "python"
        if os.access(python, os.X_OK):
            return str(python)
    raise ConfigError(
        f"There is no conda environment {name}",
        hint="Give its path in paths.conda_env; `conda env list` shows it.",
        kind="no_python",
    )


def _iter_prefixes(name: str) -> list[Path]:
    """List where an environment may lie, after `conda env list`, which takes a second to start."""
    if "/" in name:
        return [Path(name).expanduser()]
    found: list[Path] = []
    record = Path.home() / ".conda" / "environments.txt"
    if record.is_file():
        lines = record.read_text("utf-8", "replace").splitlines()
        found += [Path(line.strip()) for line in lines if line.strip().rpartition("/")[2] == name]
    for variable, above in (("CONDA_EXE", 2), ("CONDA_PREFIX", 0)):
        if value := os.environ.get(variable):
            root = Path(value).parents[above - 1] if above else Path(value)
            found += [root / "envs" / name, root.parent / name]
    return found
