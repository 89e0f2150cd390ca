"""The contract of the search for wandb folders, held by every endpoint: one set of rules in three languages."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hsm.endpoint import CutReason, CutSearch, Endpoint, FolderSearch, FoundFolders, SearchBounds, Tree
from hsm.remote.local import LocalEndpoint
from tests.contract.conftest import list_common
from tests.contract.test_endpoints import HOSTILE, KINDS
from tests.marks import parametrize

NAMES = [*HOSTILE, "a", "b", '"$nl"', "'\"$nl\"'", "end\n", "\nbegin", "'", "*", "[x]", "%d", "c1", "\\n", "multirun"]
NAMES += ["wandb", ".wandb", "my.wandb", "xwandb", ".xwandb", ".hydra", ".git", "node_modules", "site-packages"]
NAMES.append(os.fsdecode(b"\xff\xfe"))

pytestmark = parametrize("kind", KINDS, quick=list_common(KINDS))
MakeEndpoint = Callable[[str], Endpoint]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def make(base: Path, *names: str) -> None:
    """Make folders, whose names end with a slash, and files."""
    for name in names:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True) if name.endswith("/") else path.touch()


def search(endpoint: Endpoint, base: Path | str, *left: Path, **bounds: float) -> FoundFolders:
    given = SearchBounds(**{"seconds": 60, **bounds})  # type: ignore[arg-type] # a busy machine takes its time
    request = FolderSearch(str(base), tuple(map(str, left)), given)
    found = endpoint.survey([], search=request).found
    assert found is not None
    return found


def test_folders_are_found_to_the_fourth_level(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, "wandb/", "part/.wandb/", "a/b/c/wandb/", "a/b/c/d/wandb/", "a/b/c/d/.hydra/", "a/b/c/d/e/.hydra/")
    make(base, "logs/train/multiruns/T/multirun.yaml", "a/b/c/d/e/multirun.yaml", "outputs/DATE/TIME/.hydra/")
    make(base, "outputs/DATE/TIME/wandb/", "file")
    expected = FoundFolders(
        str(base),
        wandb=("a/b/c/wandb", "outputs/DATE/TIME/wandb", "part/.wandb", "wandb"),
        multiruns=("logs/train/multiruns/T",),
        jobs=("a/b/c/d", "outputs/DATE/TIME"),
    )
    assert search(make_endpoint(kind), base) == expected


def test_what_holds_no_results_is_not_entered(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    never = [".git", "site-packages", "node_modules", "__pycache__", "wandb", "venv", "nested", "linked", "target"]
    make(base, *(f"{name}/wandb/" for name in never), *(f"{name}/x/.hydra/" for name in never))
    make(base, "venv/pyvenv.cfg", "nested/.hsm/sync_config.yaml", "linked/", "at/wandb/", "at/y/wandb/", "part/")
    links = {"link": "at", "part/wandb": "../at/wandb", "part/.hydra": "../at", "linked/.hsm": "../nested/.hsm"}
    for name, leads_to in links.items():
        (base / name).symlink_to(leads_to)
    make(base, "sweep/multirun.yaml", "sweep/0/.hydra/", "sweep/wandb/")
    found = search(make_endpoint(kind), base, base / "target", base / "at/wandb")
    assert found == FoundFolders(str(base), wandb=("at/y/wandb", "wandb"), multiruns=("sweep",))


def test_what_only_looks_like_a_mark_shuts_nothing(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, *(f"{name}/wandb/" for name in ("own", "linked", "pipe", "multirun.yaml", "pyvenv.cfg")), "own/.hsm/")
    make(base, "file/.hydra", "file/.hsm", "file/wandb")
    (base / "linked/.hsm").symlink_to("../own/.hsm")
    os.mkfifo(base / "pipe/multirun.yaml")
    os.mkfifo(base / "pipe/pyvenv.cfg")
    found = search(make_endpoint(kind), base)
    wandb = ("linked/wandb", "multirun.yaml/wandb", "own/wandb", "pipe/wandb", "pyvenv.cfg/wandb")
    assert found == FoundFolders(str(base), wandb=wandb)


def test_the_base_is_searched_whatever_it_is(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, "pyvenv.cfg", "multirun.yaml", ".hsm/sync_config.yaml", ".hydra/", "part/wandb/")
    (base.parent / ".alias").symlink_to(base)
    endpoint = make_endpoint(kind)
    expected = FoundFolders(str(base), wandb=("part/wandb",), multiruns=("",), jobs=("",))
    assert search(endpoint, base.parent / ".alias") == expected
    assert search(endpoint, base, base.parent) == expected


def test_a_base_may_be_missing_or_a_file(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, "file")
    endpoint = make_endpoint(kind)
    assert [search(endpoint, base / name) for name in ("no/such", "file")] == [
        FoundFolders(str(base / "no/such")),
        FoundFolders(str(base / "file")),
    ]


def test_the_home_folder_is_the_base_of_a_tilde(
    make_endpoint: MakeEndpoint, base: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = make_endpoint(kind)
    if kind == "local":
        monkeypatch.setenv("HOME", str(base))
    home = Path(base if kind == "local" else endpoint.survey([Tree("/", (), 0)]).machine.home)
    make(home, "the project/part/wandb/")
    assert search(endpoint, "~/the project") == FoundFolders(str(home / "the project"), ("part/wandb",))
    assert search(endpoint, "~/no such") == FoundFolders(str(home / "no such"))


def test_names_of_any_kind_survive(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    names = [
        name for name in NAMES if not name.startswith(".") and name not in ("wandb", "node_modules", "site-packages")
    ]
    make(base, *(f"{name}/wandb/" for name in names), *(f"it's/{name}/.hydra/" for name in names))
    left = [base / name for name in ("it's", "new\nline", "back\\slash", "'\"$nl\"'")]
    endpoint = make_endpoint(kind)
    found = search(endpoint, base)
    assert found.wandb == tuple(sorted(f"{name}/wandb" for name in names))
    assert found.jobs == tuple(sorted(f"it's/{name}" for name in names))
    again = search(endpoint, base, *left)
    assert set(found.wandb) - set(again.wandb) == {f"{path.name}/wandb" for path in left}
    assert again.jobs == ()


@pytest.mark.parametrize("seed", [1])
def test_every_endpoint_finds_what_this_machine_finds(
    make_endpoint: MakeEndpoint, base: Path, kind: str, seed: int
) -> None:
    grow(base, random.Random(seed), depth=6)
    expected = search(LocalEndpoint(), base)
    assert min(map(len, (expected.wandb, expected.multiruns, expected.jobs))) > 1
    assert search(make_endpoint(kind), base) == expected


def grow(folder: Path, random: random.Random, *, depth: int) -> None:
    """Make a tree of folders with every kind of mark."""
    marks = {"multirun.yaml": 0.1, "pyvenv.cfg": 0.05, ".hsm/sync_config.yaml": 0.05, ".hsm/": 0.05, ".hydra/": 0.1}
    make(folder, *(name for name, chance in marks.items() if random.random() < chance))
    if random.random() < 0.1:
        (folder / "link").symlink_to(folder)
    for name in random.sample(NAMES, random.randrange(2, 5)) if depth else ():
        if not (folder / name).exists():
            make(folder, f"{name}/")
            grow(folder / name, random, depth=depth - 1)


def test_a_large_folder_is_left_and_named(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, *(f"data/set/{number}" for number in range(30)), *(f"full/{number}" for number in range(20)))
    make(base, "part/wandb/", "part/x/y/wandb/")
    found = search(make_endpoint(kind), base, n_entries=20)
    assert found.cut == (CutSearch("data/set", CutReason.ENTRIES),)
    assert found.wandb == ("part/wandb", "part/x/y/wandb")


def test_of_a_large_folder_so_many_entries_count(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, *(f"data/{number}/wandb/" for number in range(30)))
    found = search(make_endpoint(kind), base, n_entries=20)
    assert (len(found.wandb), found.cut) == (20, (CutSearch("data", CutReason.ENTRIES),))


def test_files_count_as_entries_too(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, *(f"data/{number}{what}" for number in range(30) for what in ("/wandb/", ".png")))
    expected = search(LocalEndpoint(), base, n_entries=20)
    assert 0 < len(expected.wandb) < 20
    found = search(make_endpoint(kind), base, n_entries=20)
    assert found.cut == expected.cut
    if kind.removeprefix("open-") not in ("busybox", "no-printf", "bsd"):  # which do not tell what came when
        assert found == expected


def test_crowds_of_folders_come_last(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    parts = [f"{letter}-part" for letter in "abcxyz"]  # on both sides of the data, in whatever order they are listed
    make(base, *(f"{part}/sub/wandb/" for part in parts[:3]), *(f"data/{number}/x/" for number in range(101)))
    make(base, *(f"{part}/sub/wandb/" for part in parts[3:]), "outputs/DATE/TIME/wandb/")
    endpoint = make_endpoint(kind)
    found = search(endpoint, base, n_folders=20)  # the base, the eight in it, six parts' own, two below outputs
    (cut,) = found.cut
    assert cut.reason is CutReason.FOLDERS
    assert cut.path.startswith("data/")
    assert found.wandb == (
        *(f"{part}/sub/wandb" for part in parts[:3]),
        "outputs/DATE/TIME/wandb",
        *(f"{part}/sub/wandb" for part in parts[3:]),
    )
    assert search(endpoint, base, n_folders=500).cut == ()


def test_the_largest_crowd_is_the_last(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, *(f"{name}/{number}/" for name in ("a-data", "z-data") for number in range(1001)))
    make(base, *(f"results/{number}/try/wandb/" for number in range(101)))
    found = search(make_endpoint(kind), base, n_folders=300)  # 4, then 101 and what is in each
    (cut,) = found.cut
    assert (cut.path[1:7], cut.reason) == ("-data/", CutReason.FOLDERS)
    assert len(found.wandb) == 101


def test_more_folders_than_go_into_one_step_are_all_read(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, *(f"{number}/wandb/" for number in range(450)), "data/x")
    found = search(make_endpoint(kind), base)
    assert (len(found.wandb), found.cut) == (450, ())
    assert len(search(make_endpoint(kind), base, n_folders=431).wandb) in (429, 430)


def test_without_time_the_search_says_where_it_ended(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, "part/wandb/")
    assert search(make_endpoint(kind), base, seconds=0) == FoundFolders(str(base), cut=(CutSearch("", CutReason.TIME),))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, "part/wandb/", "secret/x/wandb/")
    (base / "secret").chmod(0)
    found = search(make_endpoint(kind), base)
    (base / "secret").chmod(0o755)
    assert (found.wandb, found.cut) == (("part/wandb",), (CutSearch("secret", CutReason.UNREADABLE),))


def test_other_file_systems_are_not_entered(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, "part/wandb/", "mounted/")
    with mount(base / "mounted"):
        make(base, "mounted/part/wandb/", "mounted/.hydra/")
        assert search(make_endpoint(kind), base) == FoundFolders(str(base), wandb=("part/wandb",))
        assert search(make_endpoint(kind), base / "mounted").wandb == ("part/wandb",)


@contextmanager
def mount(folder: Path) -> Iterator[None]:
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_search_goes_along_with_a_survey(make_endpoint: MakeEndpoint, base: Path, kind: str) -> None:
    make(base, "part/wandb/", "receipts/receipt-1.json", "file")
    endpoint = make_endpoint(kind)
    trees = [Tree(str(base), ("file",)), Tree(str(base), tuple(f"missing-{number}" for number in range(600)))]
    plain = endpoint.survey(trees, receipts=str(base / "receipts"))
    for is_lazy in (False, True):
        both = endpoint.survey(trees, receipts=str(base / "receipts"), is_lazy=is_lazy, search=FolderSearch(str(base)))
        assert both.found == FoundFolders(str(base), wandb=("part/wandb",))
        assert both.receipts == plain.receipts != {}
        assert [listing.entries for listing in both.listings] == [listing.entries for listing in plain.listings]
    assert plain.found is None
