"""Write wandb runs, offline, with the real wandb: scalars, tables, pages and images at several steps.

    python -m benchmarks.wandb_runs PROJECT SWEEP FIRST COUNT

wandb writes the log, the tables and the pages. Its `Image` wants Pillow, so the images are put where it puts them.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path

from examples.demo.write_sweep import QUIET

N_STEPS = 60
MEDIA_EVERY = 20


def write_run(project: Path, sweep: str, number: int) -> None:
    """Write one run that finishes."""
    import wandb  # noqa: PLC0415 - the settings come first

    rng = random.Random(f"{sweep}/{number}")
    config = {"seed": number, "learning_rate": 10 ** rng.uniform(-4, -1)}
    run = wandb.init(project="benchmark", dir=str(project), group=sweep, config=config, name=f"task_{number}")
    for step in range(N_STEPS):
        row: dict[str, object] = {f"layers/{layer}": rng.random() for layer in range(8)}
        if step % MEDIA_EVERY == 0:
            row["predictions"] = wandb.Table(
                columns=["step", "truth", "guess"], data=[[step, rng.random(), rng.random()] for _ in range(100)]
            )
            row["page"] = wandb.Html(f"<p>step {step}: {rng.random()}</p>", inject=False)
            write_image(Path(run.dir), step, rng.randbytes(20_000))
        run.log(row)
    Path(run.dir, "output.log").write_text("".join(f"step {step}: {rng.random()}\n" for step in range(N_STEPS)))
    run.finish()


def write_image(files: Path, step: int, content: bytes) -> None:
    """Put an image where wandb would."""
    folder = files / "media" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()[:20]
    (folder / f"examples_{step}_{digest}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def main() -> None:
    """Write as many runs as the command line asks for."""
    project, sweep, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    os.environ.update(QUIET)
    project.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        write_run(project, sweep, number)


if __name__ == "__main__":
    main()
