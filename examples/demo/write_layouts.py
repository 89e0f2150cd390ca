"""Write projects of every layout that docs/LAYOUTS.md shows, with runs that the real wandb writes offline.

    python examples/demo/write_layouts.py FOLDER

makes one project a layout in FOLDER. Nothing is sent anywhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from write_sweep import CHILD_SECONDS, QUIET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SWEEP = "sweep_20251020_212836"
AGENTS_SWEEP = "ab12cd34"
OLD_SWEEP = "ef567890"
MULTIRUN = "multirun/2025-12-07/11-44-08"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to write.

    Attributes:
        id: Eight letters and digits.
        began: As in its folder's name.
        learning_rate: Its one parameter.
        parent: The folder, in the project, that its wandb folder lies in.
        group: As of `wandb.init(group=...)`.
        agent: The W&B sweep whose agent starts it.
    """

    id: str
    began: str
    learning_rate: float = 0.1
    parent: str = "."
    group: str = ""
    agent: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"offline-run-{self.began}-{self.id}"


def write_runs(project: Path, runs: Iterable[PlannedRun]) -> None:
    """Write runs of a project in one process of their own, and give their folders the times that were planned."""
    planned = list(runs)
    for run in planned:
        (project / run.parent).mkdir(parents=True, exist_ok=True)
        if run.agent:  # as an agent does, before the run begins
            write_text(project / f"wandb/sweep-{run.agent}/config-{run.id}.yaml", _make_agent_config(run))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        outside = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
        folders = dict.fromkeys(("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"), scratch)
        subprocess.run(
            [sys.executable, __file__, "--child"],
            input=json.dumps([asdict(run) for run in planned]),
            env={**outside, **QUIET, **folders},
            cwd=project,
            stdout=subprocess.DEVNULL,
            text=True,
            check=True,
            timeout=CHILD_SECONDS,
        )
    for run in planned:
        folder = project / run.parent / "wandb"
        (written,) = folder.glob(f"offline-run-*-{run.id}")
        written.rename(folder / run.name)
        for link in ("latest-run", "debug.log", "debug-internal.log"):
            (folder / link).unlink(missing_ok=True)


def _make_agent_config(run: PlannedRun) -> str:
    return f"wandb_version: 1\n\nlr:\n  value: {run.learning_rate}\n"


def run_child() -> None:
    """Be the process that writes runs, as `write_runs` asks for."""
    import wandb  # noqa: PLC0415 - the parent process does not need it

    for run in json.load(sys.stdin):
        agent = {"WANDB_SWEEP_ID": run["agent"], "WANDB_RUN_ID": run["id"]} if run["agent"] else {}
        os.environ.update(agent)
        started = wandb.init(
            project="mnist",
            dir=run["parent"],
            id=run["id"],
            group=run["group"] or None,
            config={"lr": run["learning_rate"]},
        )
        started.log({"loss": 5 * run["learning_rate"]})
        started.finish()
        wandb.teardown()  # wandb reads the environment once
        for name in agent:
            del os.environ[name]


def write_text(path: Path, text: str) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_loose(project: Path) -> None:
    """Write runs that bear no name of a sweep."""
    runs = [("k3v9x2ab", "20251208_080102"), ("p7q1w8ze", "20251208_081455"), ("t5u0m4cd", "20251209_091730")]
    write_runs(project, [PlannedRun(name, began, 0.1 / 2**n) for n, (name, began) in enumerate(runs)])


def write_groups(project: Path) -> None:
    """Write runs of two groups."""
    write_runs(
        project,
        [
            PlannedRun("f1n7a0qs", "20251203_140001", 0.1, group="resnet50"),
            PlannedRun("g6b2k9wd", "20251203_142133", 0.01, group="resnet50"),
            PlannedRun("h8c4m5xe", "20251204_090510", 0.1, group="vit/base"),
        ],
    )


def write_agents(project: Path) -> None:
    """Write two runs of W&B's agent, and one of a test by hand."""
    write_runs(
        project,
        [
            PlannedRun("b0d3j6ry", "20251205_101500", 0.1, agent=AGENTS_SWEEP),
            PlannedRun("c9e5l2tz", "20251205_103042", 0.01, agent=AGENTS_SWEEP),
            PlannedRun("q4w8s1ua", "20251205_095950"),
        ],
    )


def write_parts(project: Path) -> None:
    """Write runs in wandb folders of several parts of the project."""
    write_runs(
        project,
        [
            PlannedRun("m2x6v0ka", "20251206_150000", parent="train", group="dev"),
            PlannedRun("n5z1y7lb", "20251206_151000", 0.01, parent="train", group="dev"),
            PlannedRun("o3u8t4mc", "20251206_160000", parent="eval", group="dev"),
            PlannedRun("r7i9e2nd", "20251206_170000", parent="checkpoints/exp7"),
        ],
    )


def write_outputs(project: Path) -> None:
    """Write runs of a script that sets WANDB_DIR=outputs, beside a folder of results."""
    write_runs(project, [PlannedRun("s1o6h3fe", "20251207_120000", parent="outputs")])
    write_text(project / "outputs/exp1/metrics.csv", "epoch,loss\n1,0.5\n")
    write_runs(project, [PlannedRun("v9p5g0hf", "20251207_130000", parent="outputs/exp1")])


def write_folders(project: Path) -> None:
    """Write a sweep with a folder of its own, whose runs have its name as their group."""
    folder = project / "sweeps/outputs" / SWEEP
    write_text(folder / "sweep.yaml", "script: train.py\ngrid: {lr: [0.1, 0.01]}\n")
    write_text(folder / "results.csv", "lr,loss\n0.1,0.5\n0.01,0.05\n")
    write_runs(
        project,
        [
            PlannedRun("w2a7d5jg", "20251020_212903", 0.1, group=SWEEP),
            PlannedRun("x8s3f6kh", "20251020_213110", 0.01, group=SWEEP),
        ],
    )


def write_hydra(project: Path) -> None:
    """Write what `python train.py -m lr=0.1,0.01` leaves where each job's runs lie in its own folder."""
    folder = project / MULTIRUN
    write_text(folder / "multirun.yaml", "hydra:\n  mode: MULTIRUN\n  overrides:\n    task:\n    - lr=0.1,0.01\n")
    runs = [("y4l1c8vi", "20251207_114409", 0.1), ("z6k9b3wj", "20251207_114512", 0.01)]
    for job, (_, _, rate) in enumerate(runs):
        write_text(folder / f"{job}/.hydra/overrides.yaml", f"- lr={rate}\n")
        write_text(folder / f"{job}/.hydra/config.yaml", f"lr: {rate}\n")
        write_text(folder / f"{job}/.hydra/hydra.yaml", "hydra:\n  mode: MULTIRUN\n")
        write_text(folder / f"{job}/train.log", f"[INFO] - lr {rate}\n")
    write_runs(
        project, [PlannedRun(name, began, rate, parent=f"{MULTIRUN}/{n}") for n, (name, began, rate) in enumerate(runs)]
    )


def write_old(project: Path) -> None:
    """Write what agents of wandb 0.15.0 and before leave, whose logs name no sweep, and a run of wandb 0.8."""
    runs = [PlannedRun("d0r2o5xk", "20230301_101500"), PlannedRun("e3t8p7yl", "20230301_102000", 0.01)]
    write_runs(project, runs)
    for run in runs:
        write_text(project / f"wandb/sweep-{OLD_SWEEP}/config-{run.id}.yaml", _make_agent_config(run))
    folder = project / "wandb/dryrun-20190402_101112-h4s7d2ka"
    write_text(folder / "config.yaml", "wandb_version: 1\nlr:\n  desc: null\n  value: 0.1\n")
    write_text(folder / "wandb-summary.json", '{"loss": 0.25, "_step": 1}')
    metadata = {"host": "gpu07", "state": "finished", "exitcode": 0, "startedAt": "2019-04-02T10:11:12"}
    write_text(folder / "wandb-metadata.json", json.dumps(metadata))


LAYOUTS: Mapping[str, Callable[[Path], None]] = {
    "loose": write_loose,
    "groups": write_groups,
    "agents": write_agents,
    "parts": write_parts,
    "outputs": write_outputs,
    "hydra": write_hydra,
    "folders": write_folders,
    "old": write_old,
}
"""By name, what writes a project of the layout."""


def main() -> None:
    """Write a project of each layout."""
    if sys.argv[1:] == ["--child"]:
        run_child()
        return
    for name, write in LAYOUTS.items():
        project = Path(sys.argv[1]).absolute() / name
        project.mkdir(parents=True)
        write(project)
        print(project)


if __name__ == "__main__":
    main()
