"""What a sync said and what it left: the assertions that every fault shares."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm.records.receipt import parse_receipt

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.conftest import Project

SWEEP = "sweep_20251020_212836"
N_RUNS = 18
_TIDY_SECONDS = 10
"""In which an rsync at the target that lost its other end removes its temporary file."""

_UNSENT = {"debug-core.log"}
"""A link of wandb's that leads out of the run to a folder of its own."""


@dataclass(frozen=True)
class Said:
    """What one call of `hsm sync to SWEEP --json` said of its only target."""

    target: dict[str, Any]
    stderr: str

    @property
    def end(self) -> tuple[str, int]:
        """State and exit code."""
        return self.target["state"], self.target["exit_code"]

    @property
    def kind(self) -> str:
        """The kind of the error; empty without one."""
        return str((self.target["error"] or {"kind": ""})["kind"])

    @property
    def text(self) -> str:
        """The error's message and hint."""
        error = self.target["error"]
        return f"{error['message']}\n{error['hint']}" if error else ""

    @property
    def why(self) -> str:
        """All that was said, for a test that fails."""
        shown = {name: self.target[name] for name in ("state", "error", "files", "bytes", "problems", "seconds")}
        return f"{json.dumps(shown, indent=1)}\n{self.stderr}"

    @property
    def n_sent(self) -> int:
        """How many files were sent."""
        return int(self.target["files"]["sent"])

    @property
    def n_planned(self) -> int:
        """How many files were to be sent."""
        return int(self.target["files"]["planned"])


def sync(project: Project, *args: str, **options: Any) -> Said:
    """Run `hsm sync to` for the flat sweep and return what it said of the only target."""
    return parse_said(project.hsm("sync", "to", SWEEP, "--json", *args, **options))


def parse_said(completed: subprocess.CompletedProcess[str]) -> Said:
    """Read the document and check that it agrees with the exit code."""
    document: dict[str, Any] = json.loads(completed.stdout)
    assert document["exit_code"] == completed.returncode, completed.stderr
    assert document["error"] is None, document["error"]
    (sweep,) = document["sweeps"]
    (target,) = sweep["targets"]
    return Said(target, completed.stderr)


def assert_end(said: Said, state: str, exit_code: int, kind: str = "") -> None:
    """A target ended so."""
    assert (said.end, said.kind) == ((state, exit_code), kind), said.why


def list_runs(project: Project) -> list[Path]:
    """The run folders of the source, by name."""
    return sorted(path for path in (project.folder / "wandb").iterdir() if path.name.startswith(("run-", "offline-")))


def add_file(run: Path, name: str, n_bytes: int, *, is_random: bool = True) -> Path:
    """Add a file to a run. One of zeros costs no disk, but as much of the link."""
    path = run / "files" / name
    if is_random:
        path.write_bytes(os.urandom(n_bytes))
    else:
        path.touch()
        os.truncate(path, n_bytes)
    return path


def list_expected(project: Project) -> dict[str, Path]:
    """What must lie at the target when all has arrived (`latest_only: false`): path there, file here."""
    found = {
        f"wandb/{run.name}/{path.relative_to(run)}": path
        for run in list_runs(project)
        for path in run.rglob("*")
        if path.is_file() and path.name not in _UNSENT
    }
    folder = project.folder / "sweeps/outputs" / SWEEP
    return found | {f"sweeps/outputs/{SWEEP}/{path.name}": path for path in folder.iterdir() if path.is_file()}


def list_arrived(project: Project) -> dict[str, Path]:
    """Every file below the target's root but HSM's own."""
    root = project.target_root
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if not path.is_dir()}
    return {name: path for name, path in found.items() if not _is_own(name)}


def _is_own(name: str) -> bool:
    return any(folder in {".hsm-partial", ".hsm-sync", ".hsm-tmp"} for folder in name.split("/")[:-1])


def assert_all_arrived(project: Project, *, unit_ns: int = 1) -> None:
    """Source and target are equal, and nothing of HSM's but receipts lies there.

    Args:
        project: Source and target.
        unit_ns: What times are cut to on the way.
    """
    expected = list_expected(project)
    assert_no_half_file(project)
    assert set(list_arrived(project)) == set(expected)
    for name, path in expected.items():
        sent = path.stat().st_mtime_ns // unit_ns * unit_ns
        assert (project.target_root / name).stat().st_mtime_ns == sent, name
    assert_nothing_left(project)
    assert [*project.target_root.rglob(".hsm-partial"), *project.target_root.rglob(".hsm-tmp")] == []


def assert_no_half_file(project: Project) -> None:
    """Whatever has a final name at the target is whole."""
    expected = list_expected(project)
    for name, path in list_arrived(project).items():
        assert name in expected, f"{name} does not belong there"
        assert path.read_bytes() == expected[name].read_bytes(), f"{name} is not whole"


def assert_nothing_left(project: Project) -> None:
    """No lock and no temporary file at either end; journal and receipts can be read and agree."""
    deadline = time.monotonic() + _TIDY_SECONDS
    while left := [path for path in project.target_root.rglob(".hsm-tmp/*/*") if not path.is_dir()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    names = {path.name for path in project.target_root.glob("sweeps/outputs/*/.hsm-sync/*")}
    assert all(name.startswith("receipt-") and name.endswith(".json") for name in names), names
    own = {path.name for path in (project.folder / ".hsm/sync").rglob("*") if path.is_file()}
    # What the next sync begins by, and removes where it is of no use any more.
    own -= {name for name in own if name.endswith((".compared", ".replacing", ".strangers", ".unsettled"))}
    here = sorted(own - {".file-systems"})
    assert here in ([], [f"{SWEEP}.json"], [f"{SWEEP}.json", f"{SWEEP}.rest"]), here
    assert_records_valid(project)


def assert_records_valid(project: Project) -> None:
    """Journal and receipts can be read, and the receipt claims no more than the journal."""
    journals = [json.loads(path.read_text()) for path in (project.folder / ".hsm/sync").rglob("*.json")]
    receipts = [parse_receipt(path.read_bytes()) for path in project.target_root.rglob("receipt-*.json")]
    for receipt in receipts:
        (journal,) = journals
        assert receipt.generation <= journal["generation"]
        assert set(receipt.runs) <= set(journal["runs"])


def count_complete(project: Project) -> int:
    """How many runs the journal holds for complete."""
    path = project.folder / ".hsm/sync" / project.target / f"{SWEEP}.json"
    return sum(run["is_complete"] for name, run in json.loads(path.read_text())["runs"].items() if name)
