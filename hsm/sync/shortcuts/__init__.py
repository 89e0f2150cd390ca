"""Savings of time that may be deleted without a result changing: importing the package offers them to every push."""

from __future__ import annotations

from hsm.sync.shortcut import KnownRuns, PushCall, Shortcut, offer_shortcut

LEAST_RUNS = 500
"""From this number of runs on a sweep's files are not looked at one by one: with fewer nothing is gained."""


def _make(call: PushCall, known: KnownRuns) -> Shortcut | None:
    if len(call.source.sweeps) != 1 or min(map(len, known.values()), default=0) < LEAST_RUNS:
        return None
    from hsm.sync.shortcuts.unchanged_sweep import make_unchanged_sweep  # noqa: PLC0415 - few sweeps are large

    return make_unchanged_sweep(call)


offer_shortcut(_make)
