"""What is synced: projects with one sweep, made anew or kept, and the changes that a running sweep makes to them.

A: 100 runs, 1,500 files, 80 MB of random bytes. B: runs that the real wandb wrote, offline. C: four checkpoints in
the sweep's folder. D: 10,000 runs of 15 small files. A and D have valid `.wandb` logs and media at several steps.
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

from tests.unit.wandb_log import log_writer as log

SWEEP = "sweep_20251020_212836"
WRITTEN_AT = 1_760_000_000
"""When all of it was written: long ago, so that runs are at rest."""

_PLAIN_FILES = ("config.yaml", "output.log", "requirements.txt", "wandb-metadata.json", "wandb-summary.json")
_MEDIA_KEYS = ("confusion", "examples", "weights")
_MEDIA_STEPS = (10, 20, 30)
_GROWN_BYTES = 20_000
_RUNS_AT_ONCE = 50
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
    """

    name: str
    text: str
    n_runs: int = 0
    file_bytes: int = 0
    n_checkpoints: int = 0
    checkpoint_bytes: int = 0
    is_real: bool = False


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
    sweep = folder / "sweeps" / "outputs" / SWEEP
    _write(sweep / "sweep_config.yaml", f"sweep: {SWEEP}\ngrid: {{seed: [1, 2, 3]}}\n".encode())
    for index in range(workload.n_checkpoints):
        _write(sweep / "checkpoints" / f"epoch_{index}.ckpt", rng.randbytes(workload.checkpoint_bytes))
    if workload.is_real:
        _write_real_runs(folder, workload.n_runs)
    else:
        pool = rng.randbytes(_POOL_BYTES)
        for index in range(workload.n_runs):
            _write_run(folder / "wandb", index, workload.file_bytes, pool)
    made.touch()


def list_runs(folder: Path) -> list[Path]:
    """The run folders of a project, by name."""
    return sorted(path for path in (folder / "wandb").glob("*run-*") if path.is_dir() and not path.is_symlink())


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
    wanted, found = set(_list_results(source)), set(_list_results(target))
    if not is_partial:
        yield from (f"{name} has not arrived" for name in sorted(wanted - found))
    yield from (f"{name} is only there" for name in sorted(found - wanted))
    if not found:
        yield "nothing has arrived"
    for name in sorted(wanted & found):
        here, there = source / name, target / name
        if here.read_bytes() != there.read_bytes():
            yield f"{name} has another content"
        elif here.stat().st_mtime_ns // 10**9 != there.stat().st_mtime_ns // 10**9:
            yield f"{name} has another time"


def measure_project(folder: Path) -> tuple[int, int]:
    """Count the files of a project's results and their bytes."""
    sizes = [(folder / name).stat().st_size for name in _list_results(folder)]
    return len(sizes), sum(sizes)


def _list_results(folder: Path) -> Iterator[str]:
    """The regular files of sweeps and runs; symlinks, which wandb makes to this machine's logs, do not count."""
    for top in ("sweeps", "wandb"):
        for place, folders, names in os.walk(folder / top):
            folders[:] = [name for name in folders if not name.startswith(".hsm-")]
            for name in names:
                path = Path(place, name)
                if not name.startswith(".hsm-") and not path.is_symlink():
                    yield str(path.relative_to(folder))


def _write_run(wandb: Path, index: int, file_bytes: int, pool: bytes) -> None:
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
        log.run(run_id, group=SWEEP),
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
    """Write the runs that are still missing, in processes of their own, since wandb keeps a state."""
    wandb = folder / "wandb"
    n_made = len(list_runs(folder)) // _RUNS_AT_ONCE * _RUNS_AT_ONCE
    for run in sorted(list_runs(folder), key=lambda path: path.stat().st_mtime_ns)[n_made:]:
        shutil.rmtree(run)  # a part that was cut short
    for first in range(n_made, n_runs, _RUNS_AT_ONCE):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
            argv = [sys.executable, "-m", "benchmarks.wandb_runs", str(folder.resolve()), SWEEP]
            argv += [str(first), str(min(_RUNS_AT_ONCE, n_runs - first))]
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
        print(f"  {min(first + _RUNS_AT_ONCE, n_runs)} of {n_runs} runs", flush=True)
    for path in wandb.rglob("*"):
        if not path.is_symlink() and path.is_file():
            os.utime(path, (WRITTEN_AT, WRITTEN_AT))
