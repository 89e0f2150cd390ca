"""Memory of the address by which each node answered last, kept for some minutes in the user's cache folder.

It only decides which address is tried first; the others get their turn all the same. So a wrong, missing or damaged
file costs a moment and nothing else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hsm.files import DamagedFileError, load_json, save_json

SCHEMA = 1
KEPT_SECONDS = 300  # a laptop changes its network, and with it the address that works
_MAX_ENTRIES = 2000


def get_memory_path() -> Path:
    """Get the path of the file, below the user's cache folder."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - 10 ms that only a connection needs

    return user_cache_path("hsm") / "addresses.json"


def load_memory(now: float | None = None) -> dict[str, str]:
    """Load the address that answered last, by node and port (`make_key`), as far as it is remembered.

    Args:
        now: Seconds since the epoch; default: the clock.
    """
    return {key: address for key, (address, _) in _load(time.time() if now is None else now).items()}


def save_memory(answers: Mapping[str, str], now: float | None = None) -> None:
    """Remember the addresses that answered; a file that cannot be written is no error."""
    if not answers:
        return
    now = time.time() if now is None else now
    kept = {**_load(now), **{key: (address, now) for key, address in answers.items()}}
    newest = sorted(kept.items(), key=lambda item: -item[1][1])[:_MAX_ENTRIES]
    with contextlib.suppress(OSError):
        save_json(get_memory_path(), {"answers": {key: list(entry) for key, entry in newest}}, schema=SCHEMA)


def make_key(name: str, port: int) -> str:
    """Make the key under which an answer is remembered."""
    return f"{name}:{port}"


def make_order(addresses: Sequence[str], remembered: str | None) -> list[str]:
    """Sort addresses, the remembered one first; one that is not among them does not count."""
    # Only the order: a memory that decided more would have to be right.
    return sorted(addresses, key=lambda address: address != remembered)


def _load(now: float) -> dict[str, tuple[str, float]]:
    try:
        data = load_json(get_memory_path(), schema=SCHEMA) or {}
    except (DamagedFileError, OSError, RecursionError):
        return {}
    answers = data.get("answers")
    found: dict[str, tuple[str, float]] = {}
    for key, entry in answers.items() if isinstance(answers, dict) else ():
        match entry:
            case [str(address), int() | float() as at] if now - KEPT_SECONDS < at <= now:
                found[key] = (address, at)
    return found
