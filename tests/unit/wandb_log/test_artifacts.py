"""The artifacts that wait for their upload, as the log names them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hsm.wandb_log.artifacts import StagedArtifact, read_artifacts

SCRIPT = """
import sys, wandb
run = wandb.init(project="p", dir=sys.argv[1])
artifact = wandb.Artifact("my-model", "model")
for name in ("a.bin", "b.bin"):
    with artifact.new_file(name) as stream:
        stream.write(name)
artifact.add_reference("https://example.org/c.bin", checksum=False)
run.log_artifact(artifact)
run.log({"t": wandb.Table(columns=["x"], data=[[1]]), "loss": 1.0})
run.finish()
"""


def test_what_the_real_wandb_leaves_waiting(tmp_path: Path) -> None:
    data = tmp_path / "data"
    environment = {**os.environ, "WANDB_DATA_DIR": str(data), "WANDB_CONSOLE": "off"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, check=True, cwd=tmp_path)
    (log,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    found = {artifact.type: artifact for artifact in read_artifacts(log.read_bytes())}
    assert found.keys() == {"model", "run_table"}
    assert found["model"].name == "my-model"
    waiting = {str(path) for path in data.rglob("*") if path.is_file()}
    assert len(found["model"].paths) == 2
    assert {Path(path).read_text() for path in found["model"].paths} == {"a.bin", "b.bin"}
    assert {path for artifact in found.values() for path in artifact.paths} <= waiting


@given(st.binary(max_size=400))
def test_nothing_in_a_log_makes_it_fail(content: bytes) -> None:
    found = read_artifacts(b":W&B\xe1\xbe\x00" + content)
    assert all(isinstance(artifact, StagedArtifact) for artifact in found)
