"""What the parts of the demo share: where things lie, headings, and `hsm` as a user would type it."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / ".demo"
PROJECT = DEMO / "cluster" / "Encoded-CVPR"
DESKTOP = DEMO / "desktop"
TARGET = DESKTOP / "Encoded-CVPR"
LAPTOP = DEMO / "laptop" / "Encoded-CVPR"
SAMPLE = REPOSITORY / ".hsm" / "sync_config.yaml"
HSM = Path(sys.executable).with_name("hsm")
SWEEP = "sweep_20251020_212836"
OTHER_SWEEP = "sweep_20251018_093012"
LIVE_SWEEP = "sweep_20251021_090000"

# Stands in for the sample where a copy of the repository lacks it.
PLAIN_CONFIG = """\
default_target: desktop
sync_targets:
  desktop: {}
"""


class DemoError(Exception):
    """Something is not as the demo says it should be."""


def show_heading(text: str) -> None:
    """Print a heading: bold on a terminal, underlined elsewhere."""
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        print(f"\n\033[1m{text}\033[0m", flush=True)
    else:
        print(f"\n{text}\n{'-' * len(text)}", flush=True)


def show_text(text: str) -> None:
    """Print a line, in step with what the commands print."""
    print(text, flush=True)


def run_hsm(arguments: list[str], *, expected: int = 0, project: Path = PROJECT) -> None:
    """Show an hsm command as a user would type it, and run it in a project.

    Raises:
        DemoError: It ended with another exit code than `expected`.
    """
    show_text(f"$ {shlex.join(['hsm', *arguments])}")
    with subprocess.Popen([HSM, *arguments], cwd=project) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)  # the terminal has told it as well, and it may tidy up
            raise
        finally:
            process.terminate()  # does nothing once it has ended
    if status != expected:
        raise DemoError(f"`hsm {shlex.join(arguments)}` ended with {status}, not with {expected}")


def list_results(project: Path) -> list[Path]:
    """List the files of sweeps and runs in a project, relative to it, without HSM's own."""
    found = [path for name in ("sweeps", "wandb") for path in (project / name).rglob("*")]
    paths = (path.relative_to(project) for path in sorted(found) if not path.is_dir())
    return [path for path in paths if not any(part.startswith(".hsm-") for part in path.parts)]
