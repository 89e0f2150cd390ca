"""Number of jobs that a Hydra sweep will have, as far as its files tell without evaluating anything. Pure.

With Hydra's basic sweeper that is the product of the lists that were typed, as `lr=0.1,0.2 depth=2,4`; a function, as
`range(1,5)` or `glob(*)`, would have to be evaluated. A sweeper that makes trials (Optuna's) says how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hsm.discover.kinds.hydra import read_mapping

# hydra-core 1.3; other sweepers (Ax's, Nevergrad's, list sweepers) make other numbers of jobs of the same lists.
_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"

_OPEN = {"(": ")", "[": "]", "{": "}"}
_QUOTES = frozenset("'\"")


def count_expected_jobs(content: bytes) -> int | None:
    """Count the jobs by `multirun.yaml`, or by a job's `.hydra/hydra.yaml`; None where it does not say.

    The latter names one job's own values, so that of it the trials of a sweeper alone count.
    """
    hydra = read_mapping(content).get("hydra")
    if not isinstance(hydra, Mapping):
        return None
    sweeper = hydra.get("sweeper")
    if isinstance(sweeper, Mapping):
        trials = sweeper.get("n_trials")
        if isinstance(trials, int) and not isinstance(trials, bool) and trials > 0:
            return trials
        # `params` are more lists, in the configuration.
        if sweeper.get("params") or sweeper.get("_target_", _BASIC_SWEEPER) != _BASIC_SWEEPER:
            return None
    # In `multirun.yaml` the number is `???`, which stands for one that is not known.
    is_job = isinstance(hydra.get("job"), Mapping) and isinstance(hydra["job"].get("num"), int)
    overrides = hydra.get("overrides")
    task = overrides.get("task") if isinstance(overrides, Mapping) else None
    return None if is_job or not isinstance(task, list) else _multiply(task)


def _multiply(overrides: list[object]) -> int | None:
    count = 1
    for text in overrides:
        values = list(_split(text.partition("=")[2])) if isinstance(text, str) else []
        if not values or any("(" in value for value in values):
            return None
        count *= len(values)
    return count


def _split(text: str) -> Iterator[str]:
    """Split at the commas that are in no brackets and no quotes (Hydra's grammar of overrides)."""
    closing: list[str] = []
    part = ""
    is_escaped = False
    for char in text:
        last = closing[-1] if closing else ""
        if char == "," and not closing and not is_escaped:
            yield part
            part = ""
            continue
        if not is_escaped and char == last:
            closing.pop()
        elif not is_escaped and last not in _QUOTES and (char in _OPEN or char in _QUOTES):
            closing.append(_OPEN.get(char, char))
        is_escaped = char == "\\" and not is_escaped
        part += char
    yield part
