"""A run that another process writes while HSM looks on: it ends when it is told to.

python examples/demo/live_run.py PROJECT SWEEP TASK    (is that process)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from write_sweep import QUIET, log_run, make_tasks, wait_for_log

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def start_live_run(project: Path, sweep: str, task: int, *, scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that begins a run, prints its folder once its log has a block, and ends it at a line of input.

    It is killed with the end of the context.

    Args:
        project: The project's folder.
        sweep: Which sweep the run belongs to.
        task: Its number in the sweep, from 1.
        scratch: A folder for what wandb keeps beside runs; made.
    """
    scratch.mkdir()
    folders = dict.fromkeys(("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"), str(scratch))
    outside = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    with subprocess.Popen(
        [sys.executable, __file__, str(project), sweep, str(task)],
        env={**outside, **QUIET, **folders},
        cwd=scratch,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def be_live_run(project: str, sweep: str, task: int) -> None:
    """Be that process."""
    run: Any = log_run({**make_tasks(sweep, task)[-1], "dir": project, "group": sweep})
    wait_for_log(run)
    print(Path(run.dir).parent, flush=True)
    sys.stdin.readline()
    run.finish()


if __name__ == "__main__":
    be_live_run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
