"""The list of parameter combinations that a sweep's folder may hold: how many runs it is to have."""

from __future__ import annotations

import json

from hsm.endpoint import Endpoint

COMBINATIONS = "parameter_combinations.json"

MOST_LIST_BYTES = 64 * 1024 * 1024
"""Far more than a list of combinations has; a larger file is not read."""

_LISTS = ("parameter_combinations", "combinations", "tasks")


def count_combinations(endpoint: Endpoint, folder: str) -> int | None:
    """Count the combinations that a sweep's folder lists; None where there is no list that can be understood."""
    for ends in endpoint.read_ends([f"{folder}/{COMBINATIONS}"], n_blocks=0, head_bytes=MOST_LIST_BYTES):
        return parse_combinations(ends.head) if ends.size <= MOST_LIST_BYTES else None
    return None


def parse_combinations(content: bytes) -> int | None:
    """Count the combinations: the members of a list, or of the list below a key that says so. Pure."""
    try:  # written by a script of the user's: any JSON, or none
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        found = next((found[key] for key in _LISTS if isinstance(found.get(key), list)), None)
    return len(found) if isinstance(found, list) and found else None
