"""Which paths of a log are taken for waiting files, what is found of them here, and how they compare with a target."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsm.endpoint import Listing
from hsm.model import Entry, EntryKind, Root, Run, SourceFile
from hsm.remote.local import LocalEndpoint
from hsm.sync.after.waiting_files import compare_waiting, find_waiting, parse_staging_path
from hsm.wandb_log.artifacts import StagedArtifact

BASE = "/scratch/me/artifacts/staging"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(f"{BASE}/tmp1", (BASE, "tmp1"), id="as wandb writes it"),
        pytest.param(f"{BASE}/a b/\n'$(x)", (BASE, "a b/\n'$(x)"), id="odd names"),
        pytest.param("/artifacts/staging/x", ("/artifacts/staging", "x"), id="at the root"),
        pytest.param(f"{BASE}/artifacts/staging/x", (BASE, "artifacts/staging/x"), id="the first such folder"),
        pytest.param(f"{BASE}/-rf", (BASE, "-rf"), id="like an option"),
        pytest.param(f"{BASE}/..x", (BASE, "..x"), id="two dots and more"),
        pytest.param("/root/.ssh/id_rsa", None, id="no staging folder"),
        pytest.param("/x/artifacts/staging-2/y", None, id="another folder"),
        pytest.param("/x/my-artifacts/staging/y", None, id="the end of another name"),
        pytest.param("x/artifacts/staging/y", None, id="relative"),
        pytest.param("~/artifacts/staging/y", None, id="of the home folder"),
        pytest.param(f"{BASE}/../../.ssh/id_rsa", None, id="out of it"),
        pytest.param("/x/../artifacts/staging/y", None, id="two dots above it"),
        pytest.param(f"{BASE}/./x", None, id="a dot"),
        pytest.param(f"{BASE}//x", None, id="an empty part"),
        pytest.param(f"/{BASE}/x", None, id="two slashes at the beginning"),
        pytest.param(f"{BASE}/x/", None, id="a folder"),
        pytest.param(f"{BASE}/x\0y", None, id="NUL"),
        pytest.param(BASE, None, id="the folder itself"),
        pytest.param(f"{BASE}/", None, id="the folder itself with a slash"),
        pytest.param(f"{BASE}/.hsm-tmp/sweep_1/x", None, id="a folder of HSM's own"),
        pytest.param(f"{BASE}/artifact_manifests/1_ab.jl.gz", None, id="a list of files"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_paths_of_a_log(path: str, expected: tuple[str, str] | None) -> None:
    assert parse_staging_path(path) == expected


PARTS = st.sampled_from(["artifacts", "staging", "..", ".", "", "a", "~", ".ssh", ".hsm-tmp", "\0", "x y"]) | st.text()


@given(st.lists(PARTS, max_size=8).map("/".join))
@example("/artifacts/staging/../x")
def test_what_is_taken_lies_below_its_folder(path: str) -> None:
    found = parse_staging_path(path)
    if found is None:
        return
    base, below = found
    assert f"{base}/{below}" == path
    assert base.endswith("/artifacts/staging")
    assert below
    assert not {"", ".", ".."} & set(path.split("/")[1:])
    assert "\0" not in path


def make_run(name: str = "offline-run-1") -> Run:
    return Run(name, "/s/wandb", "run-1.wandb")


def find(tmp_path: Path, *names: str) -> dict[str, list[str]]:
    paths = tuple(f"{tmp_path}/artifacts/staging/{name}" for name in names)
    found = find_waiting(LocalEndpoint(), {make_run(): [StagedArtifact("model", "model", paths)]})
    return {base: [file.path for file in files] for base, files in found.items()}


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """Return a staging folder with a file, a deep one, a symlink to a secret, a folder, and symlinks to folders."""
    folder = tmp_path / "artifacts" / "staging"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "plain").write_text("plain")
    (folder / "deep" / "er" / "file").write_text("deep")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("a key")
    (folder / "link").symlink_to(tmp_path / "secret" / "key")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "deep" / "out").symlink_to(tmp_path / "secret")
    return folder


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("plain", True),
        ("deep/er/file", True),
        ("gone", False),
        ("link", False),
        ("out/key", False),
        ("deep/out/key", False),
        ("deep", False),
        ("plain/file", False),
    ],
)
def test_only_plain_files_wait(staging: Path, tmp_path: Path, name: str, is_found: bool) -> None:
    assert find(tmp_path, name) == ({str(staging): [name]} if is_found else {})


def test_the_staging_folder_itself_may_be_a_symlink(staging: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "artifacts").mkdir(parents=True)
    (other / "artifacts" / "staging").symlink_to(staging)
    artifacts = [StagedArtifact("model", "model", (f"{other}/artifacts/staging/plain",))]
    found = find_waiting(LocalEndpoint(), {make_run(): artifacts})
    ((base, (file,)),) = found.items()
    assert (base, file.prefix, file.path) == (f"{other}/artifacts/staging", str(staging), "plain")


def test_a_file_that_two_runs_name_is_found_once(staging: Path) -> None:
    artifacts = [StagedArtifact("model", "model", (f"{staging}/plain", f"{staging}/plain"))]
    found = find_waiting(LocalEndpoint(), {make_run("first"): artifacts, make_run("second"): artifacts})
    assert [(file.path, file.run, file.size) for file in found[str(staging)]] == [("plain", "first", 5)]


FILE = SourceFile(Root.WANDB, "deep/file", BASE, 5, 1_700_000_000_123_456_789, 1, "offline-run-1")


def make_entry(path: str, kind: EntryKind = EntryKind.FILE, *, size: int = 5, mtime_ns: int = FILE.mtime_ns) -> Entry:
    return Entry(path, kind, size, mtime_ns, 1)


@pytest.mark.parametrize(
    ("entries", "end"),
    [
        pytest.param([], "sends", id="not there"),
        pytest.param([make_entry("deep", EntryKind.FOLDER)], "sends", id="its folder is there"),
        pytest.param([make_entry("deep/file")], "same", id="there"),
        pytest.param([make_entry("deep/file", mtime_ns=1_700_000_000 * 10**9)], "doubtful", id="its time is cut"),
        pytest.param([make_entry("deep/file", mtime_ns=1)], "doubtful", id="another time"),
        pytest.param([make_entry("deep/file", size=6)], "deep/file", id="another size"),
        pytest.param([make_entry("deep/file", EntryKind.SYMLINK)], "deep/file", id="a symlink"),
        pytest.param([make_entry("deep/file", EntryKind.FOLDER)], "deep/file", id="a folder"),
        pytest.param([make_entry("deep", EntryKind.SYMLINK)], "deep", id="its folder is a symlink"),
        pytest.param([make_entry("deep", EntryKind.FILE)], "deep", id="its folder is a file"),
        pytest.param(
            [make_entry("deep", EntryKind.FOLDER), make_entry("deep/.hsm-partial", EntryKind.SYMLINK)],
            "deep/.hsm-partial",
            id="parts would be written through a symlink",
        ),
    ],
)
def test_what_a_target_has(entries: list[Entry], end: str) -> None:
    listing = Listing("/real/staging", EntryKind.FOLDER, tuple(entries))
    look = compare_waiting(BASE, [FILE], listing, target="desktop")
    assert look.base == "/real/staging"
    assert look.sends == ((FILE,) if end == "sends" else ())
    assert look.doubtful == ((FILE,) if end == "doubtful" else ())
    is_conflict = end not in ("sends", "doubtful", "same")
    expected = [(f"{BASE}/{end}", "staging_conflict")] if is_conflict else []
    assert [(problem.path, problem.kind) for problem in look.problems] == expected


@pytest.mark.parametrize(
    ("kind", "nearest", "is_usable"),
    [
        (None, EntryKind.FOLDER, True),
        (EntryKind.FOLDER, EntryKind.FOLDER, True),
        (None, EntryKind.FILE, False),
        (EntryKind.FILE, EntryKind.FILE, False),
        (EntryKind.OTHER, EntryKind.OTHER, False),
    ],
)
def test_the_folder_there_must_be_one_or_be_made(
    kind: EntryKind | None, nearest: EntryKind | None, is_usable: bool
) -> None:
    look = compare_waiting(BASE, [FILE], Listing(BASE, kind, nearest=nearest), target="desktop")
    assert bool(look.sends) is is_usable
    assert [problem.kind for problem in look.problems] == ([] if is_usable else ["staging_unwritable"])
