"""Savings of time that may be deleted without a result changing: importing the package offers them to every push."""

from __future__ import annotations

from hsm.sync.shortcut import KnownRuns, PushCall, Shortcut, offer_shortcut


def _make(call: PushCall, known: KnownRuns) -> Shortcut | None:
    if len(call.source.sweeps) != 1:
        return None
    from hsm.sync.shortcuts.unchanged_sweep import make_unchanged_sweep  # noqa: PLC0415 - few sweeps are large

    return make_unchanged_sweep(call, known)


offer_shortcut(_make)
