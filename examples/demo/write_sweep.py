"""Write a sweep as a cluster leaves it: a sweep folder, and one real wandb offline run for each task.

    python examples/demo/write_sweep.py PROJECT SWEEP --runs 6 --killed 1

Nothing is sent anywhere and wandb prints nothing. The runs log a page and a table several times, so each has
media that a later step supersedes. A killed run's process dies without a word, as on a cluster whose time
limit ran out, so its log has no exit record.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

Layout = Literal["flat", "nested", "tasks"]

N_STEPS = 30
MEDIA_EVERY = 10
KILLED_STATUS = 9
BLOCK_BYTES = 32768
CHILD_SECONDS = 300

# All that would cost time or a look at the network or at the machine; wandb ignores what its version lacks.
QUIET = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_X_DISABLE_STATS": "true",
    "WANDB_X_DISABLE_MACHINE_INFO": "true",
    "WANDB__DISABLE_STATS": "true",
}


def write_sweep(
    project: Path, sweep_id: str, n_runs: int, *, n_killed: int = 0, layout: Layout = "flat"
) -> tuple[Path, ...]:
    """Write a sweep folder and its runs.

    Args:
        project: The project's folder; made when missing. A second sweep in the same project is fine.
        sweep_id: For example `sweep_20251020_212836`.
        n_runs: Runs that finish.
        n_killed: Further runs whose process is killed in the middle.
        layout: Where the runs lie: `flat` in `wandb/`, `nested` in `wandb/<sweep>/wandb/`, `tasks` in
            `sweeps/outputs/<sweep>/tasks/task_<n>/wandb/`.

    Returns:
        The run folders, the killed ones last.
    """
    tasks = make_tasks(sweep_id, n_runs + n_killed)
    folder = project / "sweeps" / "outputs" / sweep_id
    write_sweep_folder(folder, sweep_id, tasks)
    for task in tasks:
        task["dir"] = str(make_wandb_dir(project, sweep_id, task["task"], layout))
        task["group"] = sweep_id
        Path(task["dir"]).mkdir(parents=True, exist_ok=True)
    finished = run_tasks(tasks[:n_runs], killed=False) if n_runs else []
    killed = [path for task in tasks[n_runs:] for path in run_tasks([task], killed=True)]
    return tuple(Path(path) for path in finished + killed)


def make_tasks(sweep_id: str, count: int) -> list[dict[str, Any]]:
    """Make a sweep's parameter combinations, the same for the same name and number."""
    rates, sizes = (0.1, 0.03, 0.01, 0.003, 0.001), (16, 32, 64, 128)
    grid = [(rate, size) for rate in rates for size in sizes]
    return [
        {
            "task": index + 1,
            "seed": f"{sweep_id}/{index}",
            "config": {"learning_rate": grid[index % len(grid)][0], "batch_size": grid[index % len(grid)][1]},
        }
        for index in range(count)
    ]


def make_wandb_dir(project: Path, sweep_id: str, task: int, layout: Layout) -> Path:
    """Name the folder in which wandb makes its `wandb` folder."""
    if layout == "nested":
        return project / "wandb" / sweep_id
    if layout == "tasks":
        return project / "sweeps" / "outputs" / sweep_id / "tasks" / f"task_{task}"
    return project


def write_sweep_folder(folder: Path, sweep_id: str, tasks: list[dict[str, Any]]) -> None:
    """Write what a sweep's driver leaves beside the runs."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    (folder / "sweep_config.yaml").write_text(
        f"script: train.py\nsweep:\n  name: {sweep_id}\n  grid:\n"
        "    learning_rate: [0.1, 0.03, 0.01, 0.003, 0.001]\n    batch_size: [16, 32, 64, 128]\n"
    )
    combinations = [{"task": task["task"], **task["config"]} for task in tasks]
    (folder / "parameter_combinations.json").write_text(json.dumps(combinations, indent=2) + "\n")
    with (folder / "sweep_summary.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["task", "learning_rate", "batch_size"])
        writer.writeheader()
        writer.writerows(combinations)
    for task in tasks:
        log = folder / "logs" / f"task_{task['task']}.out"
        log.write_text("".join(f"step {step}: loss {make_loss(task, step):.5f}\n" for step in range(N_STEPS)))


def make_loss(task: dict[str, Any], step: int) -> float:
    """Make a loss that falls with some noise."""
    noise = random.Random(f"{task['seed']}/{step}").uniform(-0.05, 0.05)
    return math.exp(-step * task["config"]["learning_rate"]) + noise


def run_tasks(tasks: list[dict[str, Any]], *, killed: bool) -> list[str]:
    """Run tasks in one process of their own, since wandb keeps a state, and return their run folders."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        outside = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
        folders = dict.fromkeys(("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"), scratch)
        output = Path(scratch, "output")
        # Files, not pipes: what wandb started may live on for a while and keep a pipe open.
        with output.open("w") as stdout, Path(scratch, "errors").open("w+") as stderr:
            child = subprocess.run(
                [sys.executable, __file__, "--child", "killed" if killed else "finished"],
                input=json.dumps(tasks),
                env={**outside, **QUIET, **folders},
                cwd=scratch,
                stdout=stdout,
                stderr=stderr,
                text=True,
                check=False,
                timeout=CHILD_SECONDS,
            )
            stderr.seek(0)
            errors = stderr.read()
        if child.returncode != (KILLED_STATUS if killed else 0):
            raise RuntimeError(f"wandb could not write the runs:\n{errors}")
        return output.read_text().split("\n")[:-1]


def run_child(ending: str) -> None:
    """Be the process that runs tasks, as `run_tasks` asks for."""
    for task in json.load(sys.stdin):
        run = log_run(task)
        print(Path(run.dir).parent, flush=True)
        if ending == "killed":
            wait_for_log(run)
            os._exit(KILLED_STATUS)
        run.finish()


def log_run(task: dict[str, Any]) -> Any:  # noqa: ANN401 - wandb is imported here alone
    """Log a task's run with wandb: scalars at every step, and now and then a page and a table."""
    import wandb  # noqa: PLC0415 - the parent process does not need it

    run = wandb.init(
        project="demo",
        dir=task["dir"],
        group=task["group"],
        config=task["config"],
        name=f"task_{task['task']}",
        id=f"{task['task']:02}{secrets.token_hex(3)}",  # so that runs of one second sort by task
    )
    for step in range(N_STEPS):
        loss = make_loss(task, step)
        row: dict[str, Any] = {"loss": loss, "accuracy": 1 / (1 + loss)}
        if step % MEDIA_EVERY == 0:
            row["samples"] = wandb.Html(f"<p>{task['seed']}: loss {loss} at step {step}</p>", inject=False)
            row["eval/predictions"] = wandb.Table(columns=["step", "loss"], data=[[step, loss]])
        run.log(row)
    return run


def wait_for_log(run: Any) -> None:  # noqa: ANN401 - as above
    """Log until wandb has put something into the run's log, which it does a block of 32 KiB at a time."""
    folder = Path(run.dir).parent
    give_up = time.monotonic() + 30
    for step in itertools.count(N_STEPS):
        run.log({f"layers/{layer}": 1 / (1 + step + layer) for layer in range(40)})
        if any(log.stat().st_size > BLOCK_BYTES for log in folder.glob("run-*.wandb")):
            return
        if time.monotonic() > give_up:
            raise TimeoutError(f"wandb writes nothing into the log of {folder}")
        time.sleep(0.01)


def main() -> None:
    """Write a sweep as the command line asks for."""
    parser = argparse.ArgumentParser(description="Write a project's sweep with the real wandb, offline.")
    parser.add_argument("project", type=Path, nargs="?", help="the project's folder")
    parser.add_argument("sweep", nargs="?", help="for example sweep_20251020_212836")
    parser.add_argument("--runs", type=int, default=6, help="runs that finish (default: 6)")
    parser.add_argument("--killed", type=int, default=0, help="further runs that are killed (default: 0)")
    parser.add_argument("--layout", choices=["flat", "nested", "tasks"], default="flat")
    parser.add_argument("--child", choices=["finished", "killed"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run_child(arguments.child)
        return
    if arguments.project is None or arguments.sweep is None:
        parser.error("PROJECT and SWEEP are needed")
    for path in write_sweep(
        arguments.project.absolute(),
        arguments.sweep,
        arguments.runs,
        n_killed=arguments.killed,
        layout=arguments.layout,
    ):
        print(path)


if __name__ == "__main__":
    main()
