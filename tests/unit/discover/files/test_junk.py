"""Files that are no results, by exact rules: what looks like one and is none is sent."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hsm.discover.files.junk import mark_junk, may_hold_junk
from hsm.endpoint import FileEnds
from hsm.model import Reason, Root, RunVersions, SourceFile, SweepInventory
from hsm.plan.selection import Selection
from hsm.remote.local import LocalEndpoint
from tests.unit.discover.conftest import MadeProject
from tests.unit.wandb_log import log_writer as w

SWEEP = "sweep_20251020_212836"
RUN = "offline-run-20251020_220000-a"
NFS = ".nfs000000000012ab3400000001"


def make_elf(kind: int, *, is_big: bool = False) -> bytes:
    """The first bytes of an ELF file of a type: 2 is a program, 4 a core."""
    return (
        b"\x7fELF\x02"
        + bytes([2 if is_big else 1, 1])
        + bytes(9)
        + struct.pack(">H" if is_big else "<H", kind)
        + bytes(46)
    )


CORE = make_elf(4)
JUNK = {
    "what NFS keeps of an open file": ({NFS: b"x"}, NFS),
    "what macOS keeps beside a file": ({"._model.pt": b"x", "model.pt": b"y"}, "._model.pt"),
    "what macOS keeps beside a folder": ({"._plots": b"x", "plots/a.png": b"y"}, "._plots"),
    "what macOS keeps of what macOS keeps": ({"._a": b"x", "._._a": b"y", "a": b"z"}, "._._a"),
    "a core": ({"core.4711": CORE}, "core.4711"),
    "a core of a big-endian machine": ({"core.1": make_elf(4, is_big=True)}, "core.1"),
}
RESULTS = {
    "a name that begins like that of NFS": {".nfs_notes.txt": b"x"},
    "the name of NFS alone": {".nfs": b"x"},
    "a file of macOS whose NAME is gone": {"._model.pt": b"x"},
    "two signs alone": {"._": b"x"},
    "weights of a layer": {"core.0.weights.npy": CORE},
    "a core's name and no core": {"core.0": b"weights of layer 0, in a text"},
    "a program under a core's name": {"core.2": make_elf(2)},
    "an empty file under a core's name": {"core.3": b""},
    "a cut ELF head": {"core.4": b"\x7fELF\x02\x01\x01"},
    "digits that are no ASCII": {"core.\u0661": CORE},
}


def read_left(made: MadeProject, files: dict[str, bytes], folder: str) -> dict[str, str]:
    """The names in `files/` that are left out, each with the reason."""
    for name, content in files.items():
        made.write(f"{folder}/{name}", content)
    inventory = made.read(SWEEP, max_depth=None)
    found = [file for file in inventory.files if f"/{folder.rpartition('/')[2]}/" in f"/{file.path}"]
    selection = Selection(latest_only=True, exclude=(), secret_patterns=())
    left = selection.find_left(found, inventory, None) if found else {}
    assert {file.path for file in found if not file.is_result} == {
        path for path, item in left.items() if item.reason is Reason.NO_RESULT
    }
    assert inventory.gaps == ()
    return {path.rpartition("/")[2]: item.reason.value for path, item in left.items()}


@pytest.fixture
def sweep(made: MadeProject) -> MadeProject:
    """Return a project with a sweep and a run."""
    made.write(f"sweeps/outputs/{SWEEP}/sweep_config.yaml")
    made.write_run(f"wandb/{RUN}", w.run("a", group=SWEEP))
    return made


@pytest.mark.parametrize("folder", [f"wandb/{RUN}/files", f"sweeps/outputs/{SWEEP}"], ids=["run", "sweep folder"])
@pytest.mark.parametrize(("files", "name"), JUNK.values(), ids=JUNK)
def test_what_is_no_result_is_left_out_and_counted(
    sweep: MadeProject, files: dict[str, bytes], name: str, folder: str
) -> None:
    assert read_left(sweep, files, folder).get(name) == "no result"


@pytest.mark.parametrize("folder", [f"wandb/{RUN}/files", f"sweeps/outputs/{SWEEP}"], ids=["run", "sweep folder"])
@pytest.mark.parametrize("files", RESULTS.values(), ids=RESULTS)
def test_what_only_looks_like_it_is_sent(sweep: MadeProject, files: dict[str, bytes], folder: str) -> None:
    assert read_left(sweep, files, folder) == {}


def test_files_are_read_where_a_name_asks_for_it_alone(tmp_path: Path) -> None:
    class Silent(LocalEndpoint):
        def read_ends(
            self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None
        ) -> Iterator[FileEnds]:
            raise AssertionError(paths, n_blocks, head_bytes)

    files = [
        SourceFile(Root.WANDB, f"run-1/{name}", str(tmp_path), 100, 1, 1, "run-1") for name in ("core.py", NFS, "a")
    ]
    assert [file.is_result for file in mark_junk(Silent(), files, ())] == [True, False, True]


def test_a_symlink_is_judged_by_nothing_but_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "core.1").write_bytes(CORE)
    link = SourceFile(Root.WANDB, "core.1", str(tmp_path), len(CORE), 1, 1, "run-1", is_link=True)
    assert mark_junk(LocalEndpoint(), [link], ()) == [link]


@pytest.mark.parametrize("names", [files for files, _ in JUNK.values()])
def test_no_name_of_such_a_file_is_passed_over(names: dict[str, bytes]) -> None:
    assert may_hold_junk(f"run-1/files/{name}" for name in names)


def test_it_is_no_result_before_it_is_anything_else() -> None:
    file = SourceFile(Root.WANDB, f"run-1/{NFS}", "/p", 1, 1, 1, "run-1", is_result=False)
    inventory = SweepInventory(SWEEP, files=(file,), versions={"run-1": RunVersions()})
    selection = Selection(latest_only=True, exclude=(".nfs*",), secret_patterns=(".nfs*",))
    assert selection.find_left([file], inventory, None)[file.path].reason is Reason.NO_RESULT
