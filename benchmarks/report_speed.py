"""Time `hsm sync report` on many runs.

    python -m benchmarks.report_speed [RUNS] [STEPS]

The real wandb writes one run, with ten scalars a step. The others are that run's records with another id, another
learning rate and another name, framed anew, so that a thousand of them take a minute and not an hour to write.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from examples.demo.write_sweep import QUIET
from hsm.wandb_log.format import parse_records
from tests.unit.wandb_log.log_writer import frame

SWEEP = "sweep_20260101_000000"
_RATE, _NAME = 0.123456, "task_00000"
_CHILD = f"""
import random, sys, wandb
run = wandb.init(project="p", dir=sys.argv[1], group=sys.argv[4], name="{_NAME}", config={{"lr": {_RATE}, "width": 64}})
for step in range(int(sys.argv[2])):
    parts = {{f"train/part_{{n}}": random.random() for n in range(int(sys.argv[3]) - 1)}}
    run.log({{"val/loss": 1 / (1 + step), **parts}})
run.finish()
"""


def write_template(folder: Path, sweep: str, n_steps: int, n_numbers: int) -> tuple[str, tuple[bytes, ...]]:
    """Let wandb write one run, and return its id and its records."""
    argv = [sys.executable, "-c", _CHILD, str(folder), str(n_steps), str(n_numbers), sweep]
    subprocess.run(argv, check=True, env={**os.environ, **QUIET}, cwd=folder)
    (log,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    records = parse_records(log.read_bytes())
    return log.stem.removeprefix("run-"), records.payloads


def write_runs(project: Path, sweep: str, n_runs: int, n_steps: int, *, n_numbers: int = 10) -> int:
    """Write runs of a sweep, with so many numbers a step, and return the bytes of their logs."""
    (project / "sweeps" / "outputs" / sweep).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run_id, payloads = write_template(Path(scratch), sweep, n_steps, n_numbers)
    n_bytes = 0
    for number in range(n_runs):
        rng = random.Random(number)
        swaps = {
            run_id.encode(): f"r{number:07d}".encode(),
            _NAME.encode(): f"task_{number:05d}".encode(),
            str(_RATE).encode(): f"{rng.uniform(0.1, 0.9):.6f}".encode(),
        }
        log = frame(_swap(payload, swaps) if index < 20 else payload for index, payload in enumerate(payloads))
        moment = f"{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}"
        folder = project / "wandb" / f"offline-run-20260101_{moment}-r{number:07d}"
        (folder / "files").mkdir(parents=True, exist_ok=True)
        (folder / f"run-r{number:07d}.wandb").write_bytes(log)
        n_bytes += len(log)
    return n_bytes


def _swap(payload: bytes, swaps: dict[bytes, bytes]) -> bytes:
    for old, new in swaps.items():
        payload = payload.replace(old, new)
    return payload


def measure(project: Path, *options: str) -> float:
    """Time one call of the program."""
    argv = [sys.executable, "-m", "hsm", "sync", "report", SWEEP, *options]
    start = time.monotonic()
    subprocess.run(argv, check=True, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def main() -> None:
    """Write the runs, and time the table and the page."""
    n_runs, n_steps = (int(word) for word in [*sys.argv[1:], "1000", "1000"][:2])
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch, "project")
        n_bytes = write_runs(project, SWEEP, n_runs, n_steps)
        print(f"{n_runs} runs of {n_steps} steps, {n_bytes / 1e6:.0f} MB of logs, {os.cpu_count()} processors")
        print(f"--csv: {measure(project, '--csv'):.1f} s")
        print(f"--html: {measure(project, '--html', 'report.html'):.1f} s")
        print(f"the page has {(project / 'report.html').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
