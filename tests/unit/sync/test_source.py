"""Source of a sync: what the configuration names and what is not there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.model import Problem, Root
from hsm.remote.local import LocalEndpoint
from hsm.sync.places import find_places
from hsm.sync.source import find_source, read_inventories
from tests.e2e.synthetic import write_file, write_run


def load(folder: Path, named: Sequence[str]) -> LoadedConfig:
    """Load the configuration of a project that names wandb folders."""
    paths = {name: str(folder.parent / "nas" / name) for name in ("sweeps", "wandb")}
    document = {"source": {"wandb_folders": list(named)}, "sync_targets": {"nas": {"paths": paths}}}
    write_file(folder / ".hsm/sync_config.yaml", json.dumps(document).encode())
    return load_project_config(folder, environment={})


def read_problems(loaded: LoadedConfig, roots: Sequence[Root]) -> list[Problem]:
    source = find_source(loaded, LocalEndpoint(), ["dev"])
    options = {"depths": [1], "roots": roots, "with_versions": False, "saves_cache": False}
    return [problem for inventory in read_inventories(source, **options).values() for problem in inventory.problems]


NAMED = {
    "one of two is not there": (["train/wandb", "eval/wandb"], ["eval/wandb"]),
    "two are not there": (["train/wandb", "eval/wandb", "{elsewhere}/wandb"], ["eval/wandb", "{elsewhere}/wandb"]),
    "all are there": (["train/wandb"], []),
}


@pytest.mark.parametrize(("named", "absent"), NAMED.values(), ids=NAMED)
def test_a_wandb_folder_that_is_named_and_not_there_is_one_problem(
    tmp_path: Path, named: list[str], absent: list[str]
) -> None:
    project = tmp_path / "project"
    write_run(project / "train/wandb", "a", sweep="dev")
    loaded = load(project, [name.format(elsewhere=tmp_path) for name in named])
    found = read_problems(loaded, tuple(Root))
    paths = [str(project / name.format(elsewhere=tmp_path)) for name in absent]
    assert [(problem.kind, problem.is_failure) for problem in found] == [("source_missing", True)] * bool(absent)
    for problem in found:
        assert all(path in problem.message for path in paths)
        assert "`source.wandb_folders`" in problem.hint
    assert not read_problems(loaded, [Root.SWEEPS])
    listed = find_places(loaded, LocalEndpoint()).problems  # what `hsm sync list --sweeps` shows
    assert [problem.kind for problem in listed] == ["source_missing"] * bool(absent)
