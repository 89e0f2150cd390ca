"""Trust in `.hsm/config.yaml`: what names a program there does not count where others can write the file.

Projects on clusters are shared, and whoever writes the file would choose what the user runs. The same question is asked
of `.hsm/sync_config.yaml` and its ssh settings (docs/design/configuration-and-trust.md).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from hsm.config.sections import Section
from hsm.sweeps.project.schema import SettingsFile
from hsm.user_files import find_other_writer

_SectionT = TypeVar("_SectionT", bound=Section)


def drop_code(file: SettingsFile, path: Path) -> tuple[SettingsFile, tuple[str, ...]]:
    """Leave out what names a program, where others can write the file. Looks at the file, changes nothing.

    Args:
        file: What it says.
        path: The file.

    Returns:
        What counts of it, and a sentence about what does not.
    """
    kept, dropped = _drop(file)
    if not dropped or not (reason := find_other_writer(path)):
        return file, ()
    warning = f"{reason[0].upper()}{reason[1:]}, so {', '.join(dropped)} are ignored; `--trust` lets them count."
    if place := reason.partition("everybody may write to ")[2]:
        warning += f" Or close it: `chmod o-w {shlex.quote(place)}`."
    return kept, (warning,)


def _drop(file: SettingsFile) -> tuple[SettingsFile, list[str]]:
    paths, dropped = _drop_keys(file.paths, file.paths.CODE_KEYS, "paths")
    slurm, more = _drop_keys(file.slurm, file.slurm.CODE_KEYS, "slurm")
    dropped += more
    machines = {}
    for name, machine in file.machines.items():
        plain, more = _drop_keys(machine, machine.CODE_KEYS, f"machines.{name}")
        inner, further = _drop_keys(machine.slurm, machine.slurm.CODE_KEYS, f"machines.{name}.slurm")
        machines[name] = plain.model_copy(update={"slurm": inner})
        dropped += [*more, *further]
    return file.model_copy(update={"paths": paths, "slurm": slurm, "machines": machines}), dropped


def _drop_keys(section: _SectionT, keys: Iterable[str], place: str) -> tuple[_SectionT, list[str]]:
    said = [key for key in keys if getattr(section, key) is not None]
    values = {key: getattr(section, key) for key in section.model_fields_set if key not in said}
    return type(section).model_construct(**values), [f"{place}.{key}" for key in said]
