"""Origins of pulled files, on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.errors import ConfigError
from hsm.model import Root
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Route
from hsm.records.origins import (
    Origins,
    forget_origins,
    iter_all_origins,
    iter_origins,
    load_origins,
    load_source_ids,
    save_origins,
    save_source_id,
)

ROUTE = Route("pull", "hpc.example.org", None, 22, "/p/sweeps", "/p/wandb")
SWEEP = "sweep_1"
ORIGINS = Origins(
    ROUTE,
    {(Root.WANDB, "run-1/x"): (5, 7)},
    {(Root.SWEEPS, "outputs/\udcff"): (1, 2), (Root.SWEEPS, "old"): None},
)


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    path = ProjectFolder(tmp_path).origins("hpc", SWEEP)
    assert load_origins(path) is None
    save_origins(path, ORIGINS)
    assert load_origins(path) == ORIGINS
    assert dict(iter_origins(tmp_path, SWEEP)) == {"hpc": ORIGINS}
    assert list(iter_origins(tmp_path, "sweep_10")) == []


def test_what_an_older_version_saw_coming_has_no_size_and_no_time(tmp_path: Path) -> None:
    path = ProjectFolder(tmp_path).origins("hpc", SWEEP)
    save_origins(path, ORIGINS)
    document = json.loads(path.read_text())
    document["files"]["wandb"]["run-1/y"] = None
    del document["coming"]
    path.write_text(json.dumps(document))
    assert load_origins(path) == Origins(ROUTE, ORIGINS.files, {(Root.WANDB, "run-1/y"): None})


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"schema": 1}', '{"schema": 1, "route": 1, "files": {}}', '{"schema": 1, "route": {}, "files": {}}'],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = ProjectFolder(tmp_path).origins("hpc", SWEEP)
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert load_origins(path) is None


@pytest.mark.parametrize("section", ["files", "coming"])
@pytest.mark.parametrize("mark", ["x", 1, [1], ["a", "b"], {}])
def test_a_damaged_mark_is_as_good_as_none(tmp_path: Path, mark: object, section: str) -> None:
    path = ProjectFolder(tmp_path).origins("hpc", SWEEP)
    save_origins(path, ORIGINS)
    document = json.loads(path.read_text())
    document[section]["wandb"]["run-1/x"] = mark
    path.write_text(json.dumps(document))
    assert load_origins(path) is None


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = ProjectFolder(tmp_path).origins("hpc", SWEEP)
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 2}')
    with pytest.raises(ConfigError) as caught:
        load_origins(path)
    assert caught.value.kind == "newer_schema"


def test_the_ids_of_targets_are_kept_by_their_route(tmp_path: Path) -> None:
    save_source_id(tmp_path, "hpc", ROUTE, "0" * 16)
    save_source_id(tmp_path, "lab", replace(ROUTE, host="lab"), "1" * 16)
    (tmp_path / ".hsm/sync/bad/pulled").mkdir(parents=True)
    (tmp_path / ".hsm/sync/bad/pulled/.source.json").write_text("{}")
    assert load_source_ids(tmp_path) == {
        "hpc": (ROUTE, "0" * 16),
        "lab": (replace(ROUTE, host="lab"), "1" * 16),
    }


def test_a_file_is_forgotten_in_the_records_of_all_sweeps_that_know_it_and_of_no_other(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    other = replace(ORIGINS, files={(Root.WANDB, "run-2/x"): (5, 7)}, coming={})
    coming = replace(ORIGINS, files={}, coming={(Root.WANDB, "run-1/x"): (5, 7)})
    for target, sweep, origins in (("hpc", SWEEP, ORIGINS), ("hpc", "dev", coming), ("lab", "dev", other)):
        save_origins(folder.origins(target, sweep), origins)
    save_source_id(tmp_path, "hpc", ROUTE, "0" * 16)
    locked: list[tuple[str, str]] = []
    forget_origins(tmp_path, [(Root.WANDB, "run-1/x")], lambda *names: locked.append(names))
    assert locked == [("hpc", "dev"), ("hpc", SWEEP)]
    assert list(iter_all_origins(tmp_path)) == [
        ("hpc", "dev", replace(coming, coming={})),
        ("hpc", SWEEP, replace(ORIGINS, files={})),
        ("lab", "dev", other),
    ]


def test_what_came_while_the_lock_was_waited_for_is_kept(tmp_path: Path) -> None:
    path = ProjectFolder(tmp_path).origins("hpc", SWEEP)
    save_origins(path, ORIGINS)
    came = {(Root.WANDB, "run-3/x"): (5, 7)}

    def lock(_target: str, _sweep: str) -> None:
        save_origins(path, replace(ORIGINS, files={**ORIGINS.files, **came}))

    forget_origins(tmp_path, [(Root.WANDB, "run-1/x")], lock)
    assert load_origins(path) == replace(ORIGINS, files=came)
