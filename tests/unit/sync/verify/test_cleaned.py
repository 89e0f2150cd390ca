"""What a clean removed here, compared with what lies at a target."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hsm.model import Root, SweepInventory
from hsm.process.runner import Runner
from hsm.records.cleaned import CleanedFile, CleanedUnit
from hsm.remote.local import LocalEndpoint
from hsm.sync.verify.cleaned import verify_cleaned
from hsm.targets.contents.folder import FolderContents

SWEEP = "sweep_1"


@pytest.mark.parametrize("roots", [tuple(Root), (Root.WANDB,), (Root.SWEEPS,)])
def test_only_what_lies_in_folders_that_are_synced_is_compared(tmp_path: Path, roots: tuple[Root, ...]) -> None:
    content, units = b"content", {}
    for name, path in (("run-1", "wandb/run-1/x"), ("", f"sweeps/outputs/{SWEEP}/x")):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content)
        file = CleanedFile(len(content), 0, hashlib.sha256(content).hexdigest())
        units[name] = CleanedUnit(name, "/here", name or SWEEP, "aside", files={"x": file})
    found = verify_cleaned(
        LocalEndpoint(),
        FolderContents("desktop", Runner()),
        {root: str(tmp_path / root.value) for root in roots},
        SweepInventory(SWEEP),
        units,
    )
    assert (found.n_equal, found.different, found.missing) == (len(roots), frozenset(), frozenset())
    assert found.units == {name for name in units if (Root.WANDB if name else Root.SWEEPS) in roots}
