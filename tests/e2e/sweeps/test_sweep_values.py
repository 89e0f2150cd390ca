"""Values arrive at real scripts as they were written: by Hydra, by argparse, and in a file of JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.prepared_sweep.shell import TASK_READER

if TYPE_CHECKING:
    from tests.conftest import RunHsm

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

VALUES: list[Any] = [
    "",
    " ",
    "a b",
    "  a  ",
    "it's",
    "'",
    "''",
    'say "hi"',
    "a,b",
    "a=b",
    "line\nbreak\n",
    "\t",
    "$(id)",
    "`id`",
    "$HOME",
    "%j",
    "%A_%a",
    "null",
    "true",
    "1e-3",
    "12:30",
    "no",
    "[1, 2]",
    "{a: 1}",
    "choice(1,2)",
    "back\\slash",
    "ends with \\",
    "\\'",
    "*",
    "~",
    "#",
    "!x",
    "-n",
    "--help",
    "ü€😀",
    "\x01\x7f",
    None,
    True,
    -3,
    1e-3,
    [1, "a,b", [None, False, "it's"]],
    [{"k": [1, {"l": "x y"}]}],
]
NAMES = [f"v{index}" for index in range(len(VALUES))]

HYDRA = """\
import json, sys
import hydra
from omegaconf import OmegaConf

@hydra.main(version_base="1.3", config_path=None)
def main(config):
    print(json.dumps(OmegaConf.to_container(config)))

main()
"""
FLAGS = """\
import argparse, json
parser = argparse.ArgumentParser()
for index in range(N):
    parser.add_argument(f"--v{index}")
print(json.dumps(vars(parser.parse_args())))
"""
JSON = "import sys\nprint(open(sys.argv[1], encoding='utf-8').read())\n"

JOB = f"""
set -eu
{TASK_READER}
hsm_read_task "$1" 1 "$2" "$3"
mkdir -p "$HSM_TASK_DIR"
printf '%s' "$hsm_parameters" >"$HSM_PARAMETERS"
cd "$2"
exec "${{hsm_words[@]}}"
"""


def run_task(tmp_path: Path, hsm: RunHsm, *, style: str, script: str) -> tuple[Path, Any]:
    """Prepare a sweep of one task, start the task as a job script does, and return its folder and what it printed."""
    project = tmp_path / "a project"
    (project / ".hsm").mkdir(parents=True)
    (project / "sweeps").mkdir()
    (project / ".hsm" / "config.yaml").write_text(f"paths: {{python_interpreter: {sys.executable}}}", encoding="utf-8")
    (project / "train.py").write_text(script, encoding="utf-8")
    prefix = "+" if style == "hydra" else ""
    sweep = {"combinations": [{prefix + name: value for name, value in zip(NAMES, VALUES, strict=True)}]}
    definition = {"script": "train.py", "arguments": style, "sweep": sweep}
    if style == "hydra":
        definition["pass"] = {"output.dir": "+output.dir", "wandb.group": "+wandb.group"}
    (project / "sweeps" / "sweep.yaml").write_text(json.dumps(definition), encoding="utf-8")  # JSON is YAML
    done = hsm("sweep", "run", "--prepare", "--name", "nasty", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    argv = ["bash", "-c", JOB, "job", document["folder"], document["code"]["folder"], document["python"]]
    task = subprocess.run(argv, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=60)
    assert task.returncode == 0, task.stderr
    return Path(document["folder"], "tasks", "task_1"), json.loads(task.stdout)


def test_a_hydra_script_gets_them(tmp_path: Path, hsm: RunHsm) -> None:
    pytest.importorskip("hydra")
    folder, found = run_task(tmp_path, hsm, style="hydra", script=HYDRA)
    assert found.pop("output") == {"dir": str(folder)}
    assert found.pop("wandb") == {"group": "nasty"}
    assert found == dict(zip(NAMES, VALUES, strict=True))
    assert (folder / ".hydra" / "overrides.yaml").exists()  # hydra.run.dir


def test_a_script_with_flags_gets_them(tmp_path: Path, hsm: RunHsm) -> None:
    _, found = run_task(tmp_path, hsm, style="flags", script=FLAGS.replace("N", str(len(VALUES))))
    texts = [value if isinstance(value, str) else json.dumps(value) for value in VALUES]
    assert found == dict(zip(NAMES, texts, strict=True))


def test_a_script_with_a_file_gets_them(tmp_path: Path, hsm: RunHsm) -> None:
    folder, found = run_task(tmp_path, hsm, style="json", script=JSON)
    assert (found.pop("output.dir"), found.pop("wandb.group")) == (str(folder), "nasty")
    assert found == dict(zip(NAMES, VALUES, strict=True))
