"""Reader of what the runs of a sweep recorded, from their logs on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from hsm.model import Problem, Run
from hsm.report.run_folder import RecordedRun, list_file_places, open_plain_file, read_log_file, read_run_folder
from hsm.report.runs import ReportRun, RunPart, merge_parts, parse_last_lines
from hsm.wandb_log.curve import Curve, read_curve
from hsm.wandb_log.records import ValueKey
from hsm.wandb_log.saved_values import VALUE_FILES

_Result = TypeVar("_Result")

VALUES_FROM_FILES = "values_from_files"

_ALONE_BYTES = 50_000_000
# 1,000 runs of 1,000 rows of ten numbers (982 MB) take two processors 8.5 to 10.4 s, and one about 9 s more.
_MOST_PROCESSES = 4

_CHUNK = 8
_MOST_NAMES = 3
_OUTPUT_BYTES = 65536  # a progress bar writes its line anew hundreds of times


def read_runs(runs: Sequence[Run]) -> tuple[tuple[ReportRun, ...], tuple[Problem, ...]]:
    """Read the logs of runs, many bytes of them in several processes, since it is all computing.

    Args:
        runs: Of the sweep, on this machine.

    Returns:
        The runs, with the folders of a resumed one put together, and a problem for each log that could not be read
        whole. A run whose log says less than the files beside it has these files' values, which one notice says.
    """
    found: list[RunPart] = []
    problems: list[Problem] = []
    # No cache: a report is asked for less often than its logs change, and a stale number would be worse than a wait.
    for run, recorded in zip(runs, _map(read_run_folder, [_get_path(run) for run in runs]), strict=True):
        found.append(_make_part(run, recorded))
        problems += _iter_problems(run, recorded)
    if names := [part.run.name for part in found if part.is_from_files]:
        problems.append(_make_files_notice(names))
    return merge_parts(found), tuple(problems)


def read_curves(runs: Sequence[ReportRun], key: ValueKey) -> tuple[tuple[Curve, ...], ...]:
    """Read a metric over the steps, for each run one curve a folder; that of an unreadable log is empty."""
    paths = [_get_path(part.run) for run in runs for part in run.parts]
    curves = iter(_map(partial(_read_curve, key=key), paths))
    return tuple(tuple(next(curves) for _ in run.parts) for run in runs)


def read_last_lines(run: ReportRun) -> tuple[str, ...]:
    """Read the last lines that a run printed: from its log, else from the file that wandb keeps them in."""
    if not run.parts:
        return ()
    part = run.parts[-1]
    if part.log.output:
        return parse_last_lines(part.log.output)
    for place in list_file_places(_get_path(part.run)):
        try:
            with open_plain_file(f"{part.path}/{place}output.log") as stream:
                size = os.fstat(stream.fileno()).st_size
                stream.seek(max(0, size - _OUTPUT_BYTES))
                return parse_last_lines(stream.read().decode("utf-8", "replace"))
        except OSError:
            continue
    return ()


def _make_part(run: Run, recorded: RecordedRun) -> RunPart:
    saved = recorded.saved
    if saved is not None and saved.state is not None and not run.has_exit_record:
        run = replace(run, state=saved.state, exit_code=saved.exit_code)
    return RunPart(run, recorded.log, is_from_files=saved is not None)


def _iter_problems(run: Run, recorded: RecordedRun) -> Iterator[Problem]:
    """Name what of a run could not be read; that its log is none was told when it was found."""
    if recorded.error:
        message, hint = f"The run's log cannot be read: {recorded.error}", "Check its permissions."
        yield Problem(run.name, "unreadable_log", message, hint)
    elif recorded.log.is_damaged:
        message = "The run's log is damaged; what lies behind the damage may be missing from the report."
        yield Problem(run.name, "damaged_log", message, "Bring it again from where it was written.")
    for path, reason in recorded.unread.items():
        message = f"The run's log says nothing or ends early, and this file cannot be used for it: {reason}."
        yield Problem(f"{run.name}/{path}", "unreadable_values", message, "Bring it again from where it was written.")


def _make_files_notice(names: Sequence[str]) -> Problem:
    one = len(names) == 1
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    message = (
        f"The {'log of 1 run says' if one else f'logs of {len(names)} runs say'} nothing, or less than the files "
        f"beside {'it' if one else 'them'}, so values come from {', '.join(VALUE_FILES[:-1])} and {VALUE_FILES[-1]}: "
        f"{', '.join(names[:_MOST_NAMES])}{more}."
    )
    return Problem(names[0], VALUES_FROM_FILES, message, "Curves are in logs alone.", is_failure=False)


def _get_path(run: Run) -> str:
    """Return the path of a run's log; of its folder, with a `/` at the end, where it has none."""
    return f"{run.prefix}/{run.name}/{run.log}"


def _read_curve(path: str, key: ValueKey) -> Curve:
    try:
        return Curve() if path.endswith("/") else read_curve(read_log_file(path), key)
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
            yield Path(path).stat().st_size
        except OSError:
            continue


def _count_processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
