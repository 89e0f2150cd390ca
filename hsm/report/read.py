"""Reader of what the runs of a sweep recorded, from their logs on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from hsm.model import Problem, Run
from hsm.report.runs import ReportRun, RunPart, merge_parts, parse_last_lines
from hsm.wandb_log.curve import Curve, read_curve
from hsm.wandb_log.history import RunLog, read_run_log
from hsm.wandb_log.records import ValueKey

_Result = TypeVar("_Result")

_ALONE_BYTES = 50_000_000
# 1,000 runs of 1,000 rows of ten numbers (982 MB) take two processors 8.5 to 10.4 s, and one about 9 s more.
_MOST_PROCESSES = 4

_CHUNK = 8
_OUTPUT_BYTES = 65536  # a progress bar writes its line anew hundreds of times


def read_runs(runs: Sequence[Run]) -> tuple[tuple[ReportRun, ...], tuple[Problem, ...]]:
    """Read the logs of runs, many bytes of them in several processes, since it is all computing.

    Args:
        runs: Of the sweep, on this machine.

    Returns:
        The runs, with the folders of a resumed one put together, and a problem for each log that could not be read
        whole. A run without a log has only what its folder tells.
    """
    found: list[RunPart] = []
    problems: list[Problem] = []
    # No cache: a report is asked for less often than its logs change, and a stale number would be worse than a wait.
    for run, log in zip(runs, _map(_read_log, [_get_path(run) for run in runs]), strict=True):
        if isinstance(log, str):
            hint = "Check its permissions."
            problems.append(Problem(run.name, "unreadable_log", f"The run's log cannot be read: {log}", hint))
        elif log.is_damaged:
            message = "The run's log is damaged; what lies behind the damage may be missing from the report."
            problems.append(Problem(run.name, "damaged_log", message, "Bring it again from where it was written."))
        found.append(RunPart(run, log if isinstance(log, RunLog) else RunLog()))
    return merge_parts(found), tuple(problems)


def read_curves(runs: Sequence[ReportRun], key: ValueKey) -> tuple[tuple[Curve, ...], ...]:
    """Read a metric over the steps, for each run one curve a folder; that of an unreadable log is empty."""
    paths = [_get_path(part.run) for run in runs for part in run.parts]
    curves = iter(_map(partial(_read_curve, key=key), paths))
    return tuple(tuple(next(curves) for _ in run.parts) for run in runs)


def read_last_lines(run: ReportRun) -> tuple[str, ...]:
    """Read the last lines that a run printed: from its log, else from the file that wandb keeps them in."""
    part = run.parts[-1]
    if part.log.output:
        return parse_last_lines(part.log.output)
    try:
        with Path(part.path, "files", "output.log").open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - _OUTPUT_BYTES))
            return parse_last_lines(stream.read().decode("utf-8", "replace"))
    except OSError:
        return ()


def _get_path(run: Run) -> str:
    return f"{run.prefix}/{run.name}/{run.log}" if run.log else ""


def _read_log(path: str) -> RunLog | str:
    """Read a log; the reason in words where that fails."""
    try:
        return read_run_log(Path(path).read_bytes()) if path else RunLog()
    except OSError as error:
        return error.strerror or str(error)


def _read_curve(path: str, key: ValueKey) -> Curve:
    try:
        return read_curve(Path(path).read_bytes(), key) if path else Curve()
    except OSError:
        return Curve()


def _map(function: Callable[[str], _Result], paths: Sequence[str]) -> Iterable[_Result]:
    """Apply a function to logs, in several processes where that pays."""
    n_processes = min(_MOST_PROCESSES, _count_processors())
    if n_processes < 2 or sum(_iter_sizes(paths)) < _ALONE_BYTES:
        return map(function, paths)
    return _map_in_processes(function, paths, n_processes)


def _map_in_processes(function: Callable[[str], _Result], paths: Sequence[str], n: int) -> list[_Result]:
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold at this moment
    with ProcessPoolExecutor(n, context, initializer=_prepare_process) as pool:
        try:
            return list(pool.map(function, paths, chunksize=_CHUNK))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _prepare_process() -> None:
    """Leave Ctrl-C to the process that started this one, and end with it, also where it is killed."""
    # A Ctrl-C reaches every process of the terminal; the worker would print a traceback of its own over what that one
    # says.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        # Where the parent is killed, a worker would wait for its next log for ever.
        parent.join()
        os._exit(1)


def _iter_sizes(paths: Iterable[str]) -> Iterator[int]:
    for path in paths:
        try:
            yield Path(path).stat().st_size if path else 0
        except OSError:
            continue


def _count_processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
