"""Folders that are sweeps, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hsm.discover.sweeps import (
    Sweep,
    check_sweep_name,
    is_run_name,
    look_for_sweeps,
    parse_timestamp,
    pick_sweep,
)
from hsm.errors import UsageError
from hsm.remote.local import LocalEndpoint

if TYPE_CHECKING:
    from tests.unit.discover.conftest import MadeProject


def names(made: MadeProject) -> list[str]:
    return [sweep.id for sweep in look_for_sweeps(LocalEndpoint(), made.layout).sweeps]


def test_a_project_without_anything_has_no_sweeps(made: MadeProject) -> None:
    assert names(made) == []


def test_finds_sweeps_in_all_three_places(made: MadeProject) -> None:
    made.write("sweeps/outputs/sweep_1/a")
    made.write("outputs/sweep_2/a")
    made.write("wandb/sweep_3/wandb/run-20250101_000000-a/a")
    made.write("wandb/sweep_4/offline-run-20250101_000000-a/a")
    made.write("wandb/sweep_1/wandb/run-20250101_000000-b/a")
    folder = str(made.folder)
    assert look_for_sweeps(LocalEndpoint(), made.layout).sweeps == (
        Sweep("sweep_1", f"{folder}/sweeps", f"{folder}/sweeps/outputs/sweep_1"),
        Sweep("sweep_2", folder, f"{folder}/outputs/sweep_2"),
        Sweep("sweep_3"),
        Sweep("sweep_4"),
    )


@pytest.mark.parametrize(
    "path",
    [
        "sweeps/outputs/.cache/a",
        "sweeps/outputs/.hsm-tmp/a",
        "sweeps/outputs/-n/a",
        "sweeps/outputs/a\nb/a",
        "sweeps/outputs/notes.txt",
        "sweeps/sweep_1/a",
        "wandb/run-20250101_000000-a/wandb/a",
        "wandb/wandb/run-20250101_000000-a/a",
        "wandb/artifacts/model:v1/a",
        "wandb/.hsm-partial/wandb/a",
    ],
)
def test_other_folders_are_no_sweeps(made: MadeProject, path: str) -> None:
    made.write(path)
    assert names(made) == []


def test_one_folder_seen_as_two_is_one_sweep(made: MadeProject) -> None:
    made.write("sweeps/outputs/sweep_1/a")
    (made.folder / "outputs").symlink_to("sweeps/outputs")
    assert names(made) == ["sweep_1"]


def test_a_second_name_is_no_sweep_but_one_on_another_disk_is(made: MadeProject) -> None:
    scratch = made.write("scratch/sweep_9/a").parent
    outputs = made.write("sweeps/outputs/sweep_1/a").parent.parent
    (outputs / "latest").symlink_to("sweep_1")
    (outputs / "sweep_9").symlink_to(scratch)
    (outputs / "sweep_8").symlink_to("/nowhere/sweep_8")
    assert names(made) == ["sweep_1", "sweep_9"]


def test_age_is_the_timestamp_then_the_number(made: MadeProject) -> None:
    oldest_first = [
        "sweep_2",
        "sweep_10",
        "b_20250131_120000",
        "sweep-2025-06-01_10-00-00",
        "a_20251020_212836",
        "sweep_20251020_212837",
    ]
    for name in reversed(oldest_first):
        made.write(f"sweeps/outputs/{name}/a")
    assert names(made) == oldest_first


def test_a_sweep_in_two_places_is_refused_with_both() -> None:
    both = [Sweep("sweep_5", "/p", "/p/outputs/sweep_5"), Sweep("sweep_5", "/q", "/q/outputs/sweep_5")]
    with pytest.raises(UsageError, match=r"/p/outputs/sweep_5 and /q/outputs/sweep_5"):
        pick_sweep(both, "sweep_5")


@pytest.mark.parametrize("word", ["sweep_1", "a b", "Ä", "a.b", "a:b", "\udcff"])
def test_accepts_names(word: str) -> None:
    check_sweep_name(word)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run-20250102_030405-abc", True),
        ("offline-run-x", True),
        ("run-", False),
        ("latest-run", False),
        ("rerun-x", False),
    ],
)
def test_knows_the_names_of_runs(name: str, expected: bool) -> None:
    assert is_run_name(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sweep_20251020_212836", "20251020212836"),
        ("run-20251020_212836-20241020", "20251020212836"),
        ("2025-10-20_21-28-36", "20251020212836"),
        ("20251020T212836", "20251020212836"),
        ("sweep_7", ""),
        ("2025-10-20", ""),
    ],
)
def test_reads_the_time_in_a_name(name: str, expected: str) -> None:
    assert parse_timestamp(name) == expected
