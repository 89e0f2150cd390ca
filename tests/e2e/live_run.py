"""A wandb run that another process writes while it is followed: the real wandb, offline.

    python live_run.py FOLDER GROUP STOP

It logs until the file STOP exists, and then finishes. wandb puts a block into the log whenever there is one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from write_sweep import QUIET

GIVE_UP_SECONDS = 120


class LiveRun:
    """The process and its run.

    Args:
        project: Whose `wandb` folder the run lies in.
        group: The sweep.
        scratch: Holds what wandb writes elsewhere; made.
    """

    def __init__(self, project: Path, group: str, scratch: Path) -> None:
        scratch.mkdir(parents=True)
        self._stop = scratch / "stop"
        folders = dict.fromkeys(("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"), str(scratch))
        examples = str(Path(__file__).parents[2] / "examples" / "demo")
        with (scratch / "output").open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(project), group, str(self._stop)],
                env={**os.environ, **QUIET, **folders, "PYTHONPATH": examples},
                cwd=scratch,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._output = scratch / "output"

    @property
    def folder(self) -> Path:
        """The run's folder, once there is one and its log has a block."""
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up:
            lines = self._output.read_text().splitlines()
            if lines and (self._process.poll() is None or Path(lines[0]).is_dir()):
                return Path(lines[0])
            assert self._process.poll() is None, self._output.read_text()
            time.sleep(0.05)
        raise TimeoutError(self._output.read_text())

    def finish(self) -> None:
        """Let the run finish, and wait until it has."""
        self._stop.touch()
        assert self._process.wait(GIVE_UP_SECONDS) == 0, self._output.read_text()

    def kill(self) -> None:
        """Kill it and all that wandb started for it, as a cluster does whose time limit ran out."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill_if_alive(self) -> None:
        """As `kill`, where it still runs."""
        if self._process.poll() is None:
            self.kill()


def main() -> None:
    """Be the process."""
    import wandb

    folder, group, stop = sys.argv[1:]
    run = wandb.init(project="demo", dir=folder, group=group)
    path = Path(run.dir).parent
    log = next(path.glob("run-*.wandb"))
    give_up = time.monotonic() + GIVE_UP_SECONDS
    is_told = False
    step = 0
    while not Path(stop).exists() and time.monotonic() < give_up:
        run.log({f"layers/{layer}": 1 / (1 + step + layer) for layer in range(40)})
        step += 1
        if not is_told and log.stat().st_size > 32768:
            print(path, flush=True)
            is_told = True
        time.sleep(0.01 if not is_told else 0.05)
    run.finish()


if __name__ == "__main__":
    main()
