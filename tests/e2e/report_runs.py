"""Writes runs with the real wandb, and beside them what was logged, for comparing value by value.

python -m tests.e2e.report_runs PROJECT COUNT
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from write_sweep import QUIET

SWEEP = "sweep_20260101_000000"
KILLED = "killed"
_KILLED_STATUS = 9
_BLOCK_BYTES = 32768
_SECONDS = 300


def write_report_runs(project: Path, count: int) -> dict[str, dict[str, Any]]:
    """Write `count` runs that end, some of them resumed or failed, and one that is killed, with a torn log.

    Returns:
        By the run's name: its config, summary, curve of `val/loss` (pairs of step and value), state and folders.
    """
    project.mkdir(parents=True, exist_ok=True)
    (project / "sweeps" / "outputs" / SWEEP).mkdir(parents=True, exist_ok=True)
    for part, status in ((str(count), 0), (KILLED, _KILLED_STATUS)):
        argv = [sys.executable, "-m", "tests.e2e.report_runs", str(project), part]
        own = {name: str(project / "scratch") for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")}
        python_path = os.pathsep.join(filter(None, sys.path))
        env = {**os.environ, **QUIET, **own, "PYTHONPATH": python_path}
        child = subprocess.run(argv, env=env, check=False, timeout=_SECONDS, capture_output=True, text=True)
        if child.returncode != status:
            raise RuntimeError(f"the runs could not be written:\n{child.stderr}")
    (killed,) = (json.loads((project / "killed.json").read_text())["folders"],)
    tear(next(Path(killed[0]).glob("run-*.wandb")))
    for path in (project / "wandb").rglob("*"):
        moment = path.lstat().st_mtime_ns - 3600 * 10**9
        os.utime(path, ns=(moment, moment), follow_symlinks=False)
    return read_logged(project)


def read_logged(project: Path) -> dict[str, dict[str, Any]]:
    """Read what was logged by the runs of a project."""
    return {path.stem: json.loads(path.read_text()) for path in project.glob("*.json")}


def tear(log: Path) -> None:
    """Cut a log in the middle of its last record."""
    with log.open("r+b") as stream:
        stream.truncate(log.stat().st_size - 11)


def write_run(project: Path, number: int, *, is_killed: bool = False) -> None:
    """Write one run, or two folders of one that is resumed."""
    rng = random.Random(number)
    name = KILLED if is_killed else f"run_{number:03d}"
    config = make_config(rng, number)
    logged: dict[str, Any] = {
        "config": config,
        "summary": {},
        "curve": [],
        "folders": [],
        "exit_code": 3 if number % 7 == 4 else 0,
    }
    parts = 2 if number % 5 == 3 else 1
    for part in range(parts):
        run = start_run(project, name, config, part)
        logged["folders"].append(str(Path(run.dir).parent))
        log_rows(run, rng, logged, first=100 * part, count=12 + number % 3)
        run.summary["note"] = f"part {part}, ünïcode <b>&amp;</b>"
        logged["summary"]["note"] = run.summary["note"]
        if part:
            config["late"] = part
            run.config.update({"late": part})
        save(project, name, logged)
        if is_killed:
            kill(project, name, logged, run, rng)
        run.finish(exit_code=logged["exit_code"] if part == parts - 1 else 0)


def make_config(rng: random.Random, number: int) -> dict[str, Any]:
    """Make a configuration with all kinds of values."""
    return {
        "lr": 10 ** rng.uniform(-4, -1),
        "batch_size": rng.choice([16, 32, 64]),
        "optimizer": {"name": rng.choice(["adam", "sgd"]), "betas": [0.9, rng.choice([0.99, 0.999])]},
        "deep": {"a": {"b": {"c": number}}},
        "use_bias": bool(number % 2),
        "limit": math.inf if number % 3 else -math.inf,
        "seed": 2**60 + number,
        "nothing": None,
        "constant": "same",
        'text, with "signs"\n': f"<img src=x onerror=alert({number})>",
    }


def start_run(project: Path, name: str, config: dict[str, Any], part: int) -> Any:
    import wandb

    if part:
        time.sleep(1.1)  # the folder's name has whole seconds, and must be the later one
    run = wandb.init(
        project="report", dir=str(project), group=SWEEP, name=name, id=f"id-{name}", config=config, resume="allow"
    )
    run.define_metric("lowest", summary="min")
    return run


def log_rows(run: Any, rng: random.Random, logged: dict[str, Any], *, first: int, count: int) -> None:
    for step in range(first, first + count):
        loss = math.nan if rng.random() < 0.1 else math.inf if rng.random() < 0.1 else rng.uniform(0, 3)
        row = {
            "val/loss": loss,
            "acc": rng.random(),
            "nested": {"one": step, "two": {"three": -step / 3}},
            "flag": step % 2 == 0,
            "word": f"w{step}",
            "lowest": abs(step - first - 5) + rng.random(),
            "huge": rng.random() * 10.0 ** rng.choice([-300, 300]),
        }
        if step % 4 == 0:
            row["rare"] = rng.gauss(0, 1)
        run.log(row, step=step)
        logged["curve"].append([step, loss])
        take(logged["summary"], row)


def take(summary: dict[str, Any], row: dict[str, Any]) -> None:
    """Do to the summary what wandb does: the last value counts, or the lowest where that was asked for."""
    lowest = summary.get("lowest.min", math.inf)
    for key, value in row.items():
        if key == "nested":
            summary.update({"nested.one": value["one"], "nested.two.three": value["two"]["three"]})
        elif key == "lowest":
            summary["lowest.min"] = min(lowest, value)
        else:
            summary[key] = value


def kill(project: Path, name: str, logged: dict[str, Any], run: Any, rng: random.Random) -> None:
    """Log until some of it has reached the log, then die without a word."""
    (log,) = Path(logged["folders"][0]).glob("run-*.wandb")
    give_up = time.monotonic() + 30
    for first in itertools.count(200, 20):
        log_rows(run, rng, logged, first=first, count=20)
        if log.stat().st_size > 2 * _BLOCK_BYTES:
            break
        if time.monotonic() > give_up:
            raise TimeoutError(f"wandb writes nothing into {log}")
        time.sleep(0.02)
    save(project, name, logged)
    os._exit(_KILLED_STATUS)


def save(project: Path, name: str, logged: dict[str, Any]) -> None:
    (project / f"{name}.json").write_text(json.dumps(logged))


def main() -> None:
    project, part = Path(sys.argv[1]), sys.argv[2]
    if part == KILLED:
        write_run(project, 10_000, is_killed=True)
        return
    for number in range(int(part)):
        write_run(project, number)


if __name__ == "__main__":
    main()
