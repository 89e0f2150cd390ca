"""What is synced: projects with one sweep, made anew or kept, and the changes that a running sweep makes to them.

A: 100 runs, 1,500 files, 80 MB of random bytes. B: runs that the real wandb wrote, offline, most of them copies under
another id. C: four checkpoints in the sweep's folder. D: 10,000 runs of 15 small files. L: runs that are in no sweep.
H: a multirun of Hydra. All but B and C have valid `.wandb` logs and media at several steps, written here.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report_speed import write_runs
from hsm.wandb_log.format import parse_records
from tests.unit.wandb_log import log_writer as log

SWEEP = "sweep_20251020_212836"
MULTIRUN = "multirun/2025-10-20/21-28-36"
"""Folder of the Hydra sweep."""

TOPS = ("multirun", "sweeps", "wandb")
"""Folders of a project in which results lie."""

WRITTEN_AT = 1_760_000_000
"""When all of it was written: long ago, so that runs are at rest."""

_PLAIN_FILES = ("config.yaml", "output.log", "requirements.txt", "wandb-metadata.json", "wandb-summary.json")
_MEDIA_KEYS = ("confusion", "examples", "weights")
_MEDIA_STEPS = (10, 20, 30)
_GROWN_BYTES = 20_000
_WRITTEN_RUNS = 50  # by wandb itself, half a second each; the others are these under another id
_CHILD_SECONDS = 400
_OUTPUT_RAW = 13  # a record of the log that says nothing of membership, end or media
_POOL_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Workload:
    """A project to be synced.

    Attributes:
        name: A letter.
        text: What it holds, for people.
        n_runs: wandb runs, 15 files each where HSM's benchmark writes them.
        file_bytes: Bytes of a file of a run, on average.
        n_checkpoints: Files in the sweep folder's `checkpoints/`.
        checkpoint_bytes: Bytes of each.
        is_real: Written by wandb itself.
        kind: `folder` for a sweep with a folder and a group, `loose` for runs in no sweep, `hydra` for a multirun.
        n_rows: Steps of each run, of three numbers, where the runs are logs alone.
    """

    name: str
    text: str
    n_runs: int = 0
    file_bytes: int = 0
    n_checkpoints: int = 0
    checkpoint_bytes: int = 0
    is_real: bool = False
    kind: str = "folder"
    n_rows: int = 0

    @property
    def word(self) -> str:
        """Name of the sweep on a command line."""
        return {"folder": SWEEP, "loose": "loose", "hydra": MULTIRUN}[self.kind]

    @property
    def trees(self) -> tuple[str, ...]:
        """Folders in the project that are the sweep."""
        return {"folder": (f"sweeps/outputs/{SWEEP}", "wandb"), "loose": ("wandb",), "hydra": (MULTIRUN,)}[self.kind]


def make_workloads(scale: float) -> dict[str, Workload]:
    """The workloads by name; `scale` makes them smaller, for trying things out."""
    n_a, n_b, n_d = (max(4, round(n * scale)) for n in (100, 1000, 10_000))
    n_c = round(100e6 * scale)
    found = (
        Workload("A", f"{n_a} runs, {15 * n_a:,} files of 53 kB on average, random bytes", n_a, 53_000),
        Workload("B", f"{n_b:,} runs of the real wandb, offline: tables, logs, images", n_b, is_real=True),
        Workload("C", f"4 checkpoints of {n_c / 1e6:g} MB, random bytes", n_checkpoints=4, checkpoint_bytes=n_c),
        Workload("D", f"{n_d:,} runs, {15 * n_d:,} files of 500 bytes", n_d, 500),
        Workload("E", f"{n_b:,} runs, {15 * n_b:,} files of 500 bytes (the tenth part of D)", n_b, 500),
        Workload("L", f"{n_a} runs that are in no sweep, {15 * n_a:,} files of 5 kB", n_a, 5000, kind="loose"),
        Workload("H", f"{n_a} jobs of Hydra with a run each, {19 * n_a:,} files of 5 kB", n_a, 5000, kind="hydra"),
        Workload("R", f"{n_b:,} runs, their logs alone, of 1,000 rows of 3 numbers", n_b, n_rows=1000),
        Workload("S", f"{n_d:,} runs, their logs alone, of 1,000 rows of 3 numbers", n_d, n_rows=1000),
    )
    return {workload.name: workload for workload in found}


def write_project(folder: Path, workload: Workload) -> None:
    """Write a workload into a folder, unless it is there; another one that was there goes.

    Large ones take minutes; a second call goes on after what an interrupted one has written.
    """
    begun, made = folder / ".workload", folder / ".made"
    if not begun.exists() or begun.read_text() != repr(workload):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        begun.write_text(repr(workload))
    if made.exists():
        return
    rng = random.Random(workload.name)
    (folder / "wandb").mkdir(exist_ok=True)
    (folder / "sweeps").mkdir(exist_ok=True)
    sweep = folder / "sweeps" / "outputs" / SWEEP
    if workload.kind == "folder":
        _write(sweep / "sweep_config.yaml", f"sweep: {SWEEP}\ngrid: {{seed: [1, 2, 3]}}\n".encode())
    elif workload.kind == "hydra":
        _write(folder / MULTIRUN / "multirun.yaml", b"hydra:\n  mode: MULTIRUN\n")
    for index in range(workload.n_checkpoints):
        _write(sweep / "checkpoints" / f"epoch_{index}.ckpt", rng.randbytes(workload.checkpoint_bytes))
    if workload.n_rows:
        write_runs(folder, SWEEP, workload.n_runs, workload.n_rows, n_numbers=3)
    elif workload.is_real:
        _write_real_runs(folder, workload.n_runs)
    else:
        pool = rng.randbytes(_POOL_BYTES)
        group = SWEEP if workload.kind == "folder" else ""
        for index in range(workload.n_runs):
            wandb = folder / "wandb"
            if workload.kind == "hydra":
                wandb = folder / MULTIRUN / str(index) / "wandb"
                _write_job(wandb.parent, index)
            _write_run(wandb, index, workload.file_bytes, pool, group=group)
    made.touch()


def list_runs(folder: Path) -> list[Path]:
    """The run folders of a project, by name."""
    places = [folder / "wandb", *sorted((folder / MULTIRUN).glob("*/wandb"))]
    found = sorted(path for place in places for path in place.glob("*run-*"))
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def change_runs(folder: Path, *, fraction: float, turn: int) -> int:
    """Let some runs go on: each log grows, the output and a summary are rewritten, and an image is added.

    Args:
        folder: The project's.
        fraction: How many of the runs; at least one.
        turn: Other runs each turn, until all had theirs.

    Returns:
        How many runs changed.
    """
    runs = list_runs(folder)
    count = max(1, round(fraction * len(runs)))
    rng = random.Random(f"{folder.parent.name}/{turn}")
    for number in range(turn * count, (turn + 1) * count):
        run = runs[number % len(runs)]
        (path,) = run.glob("run-*.wandb")
        append_record(path, log.field(_OUTPUT_RAW, rng.randbytes(_GROWN_BYTES)))
        for name in ("output.log", "requirements.txt"):
            file = run / "files" / name
            size = file.stat().st_size if file.exists() else 1000
            file.write_bytes(rng.randbytes(size + 100))
        content = rng.randbytes(50_000)
        _write(run / "files" / _make_media_name("examples", 100 + turn, content), content, is_old=False)
    return count


def grow_checkpoint(folder: Path, *, turn: int, n_bytes: int = 1_000_000) -> None:
    """Append to one of the checkpoints."""
    path = folder / "sweeps" / "outputs" / SWEEP / "checkpoints" / "epoch_0.ckpt"
    with path.open("ab") as stream:
        stream.write(random.Random(turn).randbytes(n_bytes))


def append_record(path: Path, payload: bytes) -> None:
    """Append a record to a `.wandb` log, framed as wandb does (docs of LevelDB's log format)."""
    size = path.stat().st_size
    grown = bytearray()
    rest, is_first = payload, True
    while is_first or rest:
        room = log.BLOCK - (size + len(grown)) % log.BLOCK
        if room < 7:
            grown += bytes(room)
            continue
        part, rest = rest[: room - 7], rest[room - 7 :]
        kind = bytes([(1 if is_first else 4) if not rest else (2 if is_first else 3)])
        grown += struct.pack("<IH", zlib.crc32(kind + part), len(part)) + kind + part
        is_first = False
    with path.open("ab") as stream:
        stream.write(grown)


def iter_differences(source: Path, target: Path, *, is_partial: bool = False) -> Iterator[str]:
    """Compare the results of two projects, every byte; yield what is not as it should be.

    Args:
        source: What was sent.
        target: What arrived.
        is_partial: Less may have arrived, as where superseded versions are left out.
    """
    wanted, found = _list_results(source), _list_results(target)
    if not is_partial:
        yield from (f"{name} has not arrived" for name in sorted(wanted.keys() - found.keys()))
    yield from (f"{name} is only there" for name in sorted(found.keys() - wanted.keys()))
    if not found:
        yield "nothing has arrived"
    for name in sorted(wanted.keys() & found.keys()):
        here, there = wanted[name], found[name]
        if here.read_bytes() != there.read_bytes():
            yield f"{name} has another content"
        elif here.stat().st_mtime_ns // 10**9 != there.stat().st_mtime_ns // 10**9:
            yield f"{name} has another time"


def measure_project(folder: Path) -> tuple[int, int]:
    """Count the files of a project's results and their bytes."""
    sizes = [path.stat().st_size for path in _list_results(folder).values()]
    return len(sizes), sum(sizes)


def _list_results(folder: Path) -> dict[str, Path]:
    """The regular files of sweeps and runs, by name; symlinks, which wandb makes to this machine's logs, do not count.

    A run is named by itself, wherever it lies: HSM puts all of them into one folder, rsync leaves them where they are.
    """
    results: dict[str, Path] = {}
    for top in TOPS:
        for place, folders, names in os.walk(folder / top):
            folders[:] = [name for name in folders if not name.startswith(".hsm-")]
            for name in names:
                path = Path(place, name)
                if not name.startswith(".hsm-") and not path.is_symlink():
                    _, is_run, inside = str(path.relative_to(folder)).rpartition("wandb/")
                    results[f"wandb/{inside}" if is_run else inside] = path
    return results


def _write_job(job: Path, index: int) -> None:
    """Write what Hydra writes for a job beside its run."""
    overrides = f"- seed={index}\n"
    texts = {"config": f"seed: {index}\nlr: 0.1\n", "overrides": overrides}
    texts["hydra"] = f"hydra:\n  mode: MULTIRUN\n  overrides:\n    task:\n    {overrides}  job:\n    num: {index}\n"
    for name, text in texts.items():
        _write(job / ".hydra" / f"{name}.yaml", text.encode())
    _write(job / "train.log", f"[2025-10-20 21:28:36,000][__main__][INFO] - seed {index}\n".encode())


def _write_run(wandb: Path, index: int, file_bytes: int, pool: bytes, *, group: str) -> None:
    """Write a finished run of 15 files, the log last; one that has its log is left as it is."""
    run_id = f"r{index:07}"
    folder = wandb / f"offline-run-20251020_212836-{run_id}"
    if (folder / f"run-{run_id}.wandb").exists():
        return
    rng = random.Random(f"{file_bytes}/{index}")

    def take(n_bytes: int) -> bytes:
        # Bytes that no compressor makes smaller; small files are cut from one pool, which is fast.
        start = rng.randrange(len(pool) - n_bytes) if n_bytes < 4096 else 0
        return pool[start : start + n_bytes] if n_bytes < 4096 else rng.randbytes(n_bytes)

    for name in _PLAIN_FILES:
        _write(folder / "files" / name, take(round(file_bytes * rng.uniform(0.2, 1.8))))
    summary = {}
    for key in _MEDIA_KEYS:
        for step in _MEDIA_STEPS:
            content = take(round(file_bytes * rng.uniform(0.2, 1.8)))
            name = _make_media_name(key, step, content)
            _write(folder / "files" / name, content)
            summary[key] = {"_type": "image-file", "path": name}
    records = [
        log.run(run_id, group=group),
        log.history({"loss": rng.random()}, _MEDIA_STEPS[-1]),
        log.field(_OUTPUT_RAW, take(file_bytes)),
        log.summary(summary),
        log.exit_code(0),
        log.FOOTER,
    ]
    _write(folder / f"run-{run_id}.wandb", log.frame(records))


def _make_media_name(key: str, step: int, content: bytes) -> str:
    return f"media/images/{key}_{step}_{hashlib.sha256(content).hexdigest()[:20]}.png"


def _write(path: Path, content: bytes, *, is_old: bool = True) -> None:
    try:
        path.write_bytes(content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    if is_old:
        os.utime(path, (WRITTEN_AT, WRITTEN_AT))


def _write_real_runs(folder: Path, n_runs: int) -> None:
    """Let wandb write some runs, and copy them under other ids until there are enough."""
    with tempfile.TemporaryDirectory() as scratch:
        templates = Path(scratch, "project")
        _run_wandb(templates, min(_WRITTEN_RUNS, n_runs))
        runs = list_runs(templates)
        for index in range(n_runs):
            _copy_run(runs[index % len(runs)], folder / "wandb", f"b{index:07}")


def _copy_run(template: Path, wandb: Path, run_id: str) -> None:
    """Copy a run under another id of the same length; what its files hold names it too."""
    (path,) = template.glob("run-*.wandb")
    own = path.stem.removeprefix("run-")
    old, new = own.encode(), run_id.encode()
    for file in template.rglob("*"):
        if file.is_symlink() or not file.is_file():
            continue
        content = file.read_bytes()
        if file == path:  # each record has a checksum
            content = log.frame(payload.replace(old, new) for payload in parse_records(content).payloads)
        name = str(file.relative_to(template)).replace(own, run_id)
        _write(wandb / template.name.replace(own, run_id) / name, content.replace(old, new))


def _run_wandb(folder: Path, n_runs: int) -> None:
    """Let wandb write runs, in a process of its own, since it keeps a state."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        argv = [sys.executable, "-m", "benchmarks.wandb_runs", str(folder.resolve()), SWEEP, "0", str(n_runs)]
        output = Path(scratch, "output")
        with output.open("w+") as stream:  # a file: what wandb started may live on and keep a pipe open
            completed = subprocess.run(
                argv,
                check=False,
                cwd=Path(__file__).resolve().parents[1],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                timeout=_CHILD_SECONDS,
                env={**environment, "WANDB_CACHE_DIR": scratch, "WANDB_CONFIG_DIR": scratch},
            )
        if completed.returncode != 0:
            raise RuntimeError(f"wandb could not write the runs:\n{output.read_text()[-2000:]}")
