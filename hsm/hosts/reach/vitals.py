"""Load of a machine: the program that prints it there, and the parser of its output. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

PROGRAM = r"""
printf 'load %s\n' "$(cat /proc/loadavg 2>/dev/null || sysctl -n vm.loadavg 2>/dev/null)"
printf 'cpus %s\n' "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
if command -v nvidia-smi >/dev/null 2>&1; then
  nvidia-smi --query-gpu=name,memory.used,memory.total,utilization.gpu --format=csv,noheader,nounits 2>/dev/null |
    sed 's/^/gpu /'
fi
"""
"""For /bin/sh, on Linux and macOS. The fields are those of `nvidia-smi --help-query-gpu`."""

_MAX_GPUS = 64
_FREE_SHARE = 0.1
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")  # with a comma in some locales


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor.

    Attributes:
        name: As nvidia-smi says.
        used_mib: Memory in use, MiB; None where unknown.
        total_mib: Memory, MiB; None where unknown.
        busy_percent: Utilisation; None where unknown.
    """

    name: str
    used_mib: float | None
    total_mib: float | None
    busy_percent: float | None

    @property
    def is_free(self) -> bool:
        """True where less than a tenth of its memory and of its time is in use; an unknown one is not free."""
        if self.used_mib is None or not self.total_mib or self.busy_percent is None:
            return False
        return self.used_mib < _FREE_SHARE * self.total_mib and self.busy_percent < 100 * _FREE_SHARE


@dataclass(frozen=True, slots=True)
class Vitals:
    """Load of a machine.

    Attributes:
        load: Mean number of running processes in the last minute; None where unknown.
        n_cpus: Processors; 0 where unknown.
        gpus: Its graphics processors, as far as nvidia-smi tells.
    """

    load: float | None = None
    n_cpus: int = 0
    gpus: tuple[Gpu, ...] = ()


def parse_vitals(text: str) -> Vitals:
    """Parse the output of `PROGRAM`; lines that mean nothing are skipped."""
    load: float | None = None
    n_cpus = 0
    gpus: list[Gpu] = []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "load":
            load = _read_number(rest)
        elif word == "cpus":
            n_cpus = int(_read_number(rest) or 0)
        elif word == "gpu" and len(gpus) < _MAX_GPUS:
            name, *numbers = [part.strip() for part in rest.rsplit(",", 3)]  # from the right: a name may hold commas
            used, total, busy = [*map(_read_number, numbers), None, None, None][:3]
            gpus.append(Gpu(name, used, total, busy))
    return Vitals(load, n_cpus, tuple(gpus))


def _read_number(text: str) -> float | None:
    found = _NUMBER.search(text[:40])
    return float(found[0].replace(",", ".")) if found else None
