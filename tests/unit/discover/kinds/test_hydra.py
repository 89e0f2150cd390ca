"""Hydra's sweeps: which folders are some, their ids and jobs, and which places of receipts are believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hsm.discover.kinds.hydra import check_places, find_jobs, is_multirun, list_hydra_places, settle_marks
from hsm.discover.sweeps import Layout
from hsm.endpoint import FolderSearch, FoundFolders, Listing, Tree
from hsm.errors import RefusedError, UsageError
from hsm.model import Entry, EntryKind
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import make_hydra_id, make_sweep_id

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = Layout("/p", "/p/sweeps", "/p/wandb")


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_job(folder: Path, mode: str = "MULTIRUN") -> None:
    write(folder / ".hydra/hydra.yaml", f"hydra:\n  run:\n    dir: x\n  mode: {mode}\n")


def search(folder: Path) -> tuple[FoundFolders, Layout]:
    layout = Layout(str(folder), str(folder / "sweeps"), str(folder / "wandb"))
    endpoint = LocalEndpoint()
    found = endpoint.survey([], search=FolderSearch(str(folder))).found
    assert found is not None
    return settle_marks(endpoint, found, layout), layout


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"hydra:\n  mode: MULTIRUN\n", True),
        (b"hydra:\n  mode: RUN\n", False),
        (b"hydra:\n  mode: RUN\n  help: MULTIRUN\n", False),
        (b"hydra:\n  job:\n    mode: MULTIRUN\n", False),
        (b"mode: MULTIRUN\n", False),
        (b"hydra: [MULTIRUN\n", False),
        (b"hydra: !!python/object/apply:os.system ['MULTIRUN']\n", False),
        (b"MULTIRUN \xff\xfe", False),
        (b"", False),
    ],
)
def test_the_mode_of_a_job_tells(content: bytes, expected: bool) -> None:
    assert is_multirun(content) is expected


def test_a_sweep_is_what_holds_multirun_yaml_or_jobs_of_a_multirun(tmp_path: Path) -> None:
    write(tmp_path / "multirun/d/t1/multirun.yaml")
    write_job(tmp_path / "multirun/d/t2/0")  # Optuna's sweeper leaves no multirun.yaml
    write_job(tmp_path / "results/exp_a/lr=0.1,depth=2")
    write_job(tmp_path / "single/t/0", mode="RUN")
    write_job(tmp_path / "0")  # its parent is the project
    found, layout = search(tmp_path)
    assert list_hydra_places(found, layout) == ("multirun/d/t1", "multirun/d/t2", "results/exp_a")
    assert found.jobs == ("0", "single/t/0")


def test_what_lies_directly_in_a_folder_of_sweeps_is_a_folder_sweep(tmp_path: Path) -> None:
    write(tmp_path / "outputs/exp/multirun.yaml")
    write_job(tmp_path / "sweeps/outputs/exp/0")
    write(tmp_path / "outputs/2025-12-07/11-44-08/multirun.yaml")
    found, layout = search(tmp_path)
    assert list_hydra_places(found, layout) == ("outputs/2025-12-07/11-44-08",)


@pytest.mark.parametrize("place", ["", "sweeps", "outputs"])
def test_a_folder_that_holds_sweeps_is_none(place: str) -> None:
    assert list_hydra_places(FoundFolders("/p", multiruns=(place,)), LAYOUT) == ()


def test_jobs_whose_names_hold_a_slash_are_of_the_outer_sweep(tmp_path: Path) -> None:
    write_job(tmp_path / "m/a/0")
    write_job(tmp_path / "m/a/0/deep/1")
    found, layout = search(tmp_path)
    assert list_hydra_places(found, layout) == ("m/a",)


def make_listing(*paths: str) -> Listing:
    kinds = {path: EntryKind.FOLDER if path.endswith(".hydra") else EntryKind.FILE for path in paths}
    return Listing("/x", EntryKind.FOLDER, tuple(Entry(path, kind, 0, 0, 0) for path, kind in kinds.items()))


@pytest.mark.parametrize(
    ("paths", "of_hydra", "of_folder"),
    [
        (("0/.hydra", "1/.hydra"), ("0", "1"), ("0", "1")),
        (("a/b/.hydra",), ("a/b",), ()),  # a sweep's tasks may be made with Hydra too
        (("a/b/.hydra", "multirun.yaml"), ("a/b",), ("a/b",)),
        ((".hydra",), (), ()),
        (("0/wandb/run-1/files/.hydra",), (), ()),
    ],
)
def test_jobs_are_what_holds_hydras_folder(
    paths: tuple[str, ...], of_hydra: tuple[str, ...], of_folder: tuple[str, ...]
) -> None:
    listing = make_listing(*paths)
    assert find_jobs(listing, is_folder_sweep=False) == of_hydra
    assert find_jobs(listing, is_folder_sweep=True) == of_folder


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("multirun/2025-12-07/11-44-08", "multirun_2025-12-07_11-44-08"),
        ("@loose", "%40loose"),
        ("wandb", make_sweep_id("wandb")),
    ],
)
def test_the_id_is_the_path(place: str, expected: str) -> None:
    assert make_hydra_id(place) == expected


@pytest.mark.parametrize(
    "place",
    [
        "../../x",
        "/etc",
        "multirun/../../x",
        "multirun/./x",
        "multirun//x",
        "multirun/",
        ".git/hooks",
        ".GIT/hooks",
        "multirun/.hsm/x",
        "wandb/x",
        "a/WANDB",
        "multirun\nx",
        "multirun\0x",
        "other/place",
        "",
    ],
)
def test_a_place_that_no_sweep_has_is_refused(place: str) -> None:
    for sweep in ("multirun_x", make_hydra_id(place) if place != "other/place" else "multirun_x"):
        with pytest.raises(RefusedError, match="place"):
            check_places({place}, sweep)


def test_a_place_that_the_sweep_can_have_is_taken() -> None:
    assert check_places({"multirun/x"}, "multirun_x") == "multirun/x"
    with pytest.raises(UsageError, match="two places"):
        check_places({"a_b/c", "a/b_c"}, "a_b_c")


def test_no_file_is_read_where_nothing_is_a_job(tmp_path: Path) -> None:
    class Endpoint(LocalEndpoint):
        def read_ends(self, *_args: object, **_options: object) -> None:  # type: ignore[override]
            raise AssertionError("a session too many")

    write(tmp_path / "multirun/x/multirun.yaml")
    write_job(tmp_path / "outputs/2025-12-07/11-44-08")
    endpoint = Endpoint()
    found = endpoint.survey([Tree(str(tmp_path))], search=FolderSearch(str(tmp_path))).found
    assert found is not None
    settle_marks(endpoint, found, Layout(str(tmp_path), f"{tmp_path}/sweeps", f"{tmp_path}/wandb"))
