"""Every trap of names that look like versions and are none, and the properties that keep results safe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import RunVersions
from hsm.plan.versions import find_superseded, find_superseded_artifacts, has_versions, parse_media_path

A = "aaaaaaaaaaaaaaaaaaaa"
B = "bbbbbbbbbbbbbbbbbbbb"
C = "0123456789abcdef0123"


def image(key: str, step: int | str, digest: str = A, extension: str = ".png") -> str:
    return f"files/media/images/{key}_{step}_{digest}{extension}"


def table(key: str, step: int | str, digest: str = A) -> str:
    return f"files/media/table/{key}_{step}_{digest}.table.json"


SUPERSEDED = {
    "steps compare as numbers: 9, 10, 100": (
        [image("x", 9), image("x", 10), image("x", 100)],
        {image("x", 9): "superseded by step 100", image("x", 10): "superseded by step 100"},
    ),
    "a key with spaces": (
        [image("my key", 1), image("my key", 2)],
        {image("my key", 1): "superseded by step 2"},
    ),
    "a key with slashes lies in folders": (
        [image("eval/deep/x", 1), image("eval/deep/x", 2)],
        {image("eval/deep/x", 1): "superseded by step 2"},
    ),
    "a key that ends with a number": (
        [image("loss_10", 5), image("loss_10", 70)],
        {image("loss_10", 5): "superseded by step 70"},
    ),
    "a key that ends with a step and hex digits of its own": (
        [image(f"x_3_{B}", 1), image(f"x_3_{B}", 2)],
        {image(f"x_3_{B}", 1): "superseded by step 2"},
    ),
    "an empty key": ([image("", 1), image("", 2)], {image("", 1): "superseded by step 2"}),
    "a key with a line break": (
        [image("a\nb", 1), image("a\nb", 2)],
        {image("a\nb", 1): "superseded by step 2"},
    ),
    "tables have a double extension": (
        [table("t", 1), table("t", 2)],
        {table("t", 1): "superseded by step 2"},
    ),
    "a mask lies one folder deeper": (
        ["files/media/images/mask/x_1_" + A + ".mask.png", "files/media/images/mask/x_2_" + B + ".mask.png"],
        {"files/media/images/mask/x_1_" + A + ".mask.png": "superseded by step 2"},
    ),
    "no extension at all": (
        [image("x", 1, extension=""), image("x", 2, extension="")],
        {image("x", 1, extension=""): "superseded by step 2"},
    ),
    "all files of the older step go": (
        [image("x", 1, A), image("x", 1, B), image("x", 2, C)],
        {image("x", 1, A): "superseded by step 2", image("x", 1, B): "superseded by step 2"},
    ),
}

KEPT = {
    "a list of images shares the highest step": [image("x", 7, A), image("x", 7, B), image("x", 7, C)],
    "two logs share a step": [image("x", 3, A), image("x", 3, B)],
    "two keys": [image("loss", 1), image("loss_10", 2)],
    "a key that is another's beginning and step": [image("loss", 10), image("loss_10", 5)],
    "two kinds": ["files/media/images/x_1_" + A + ".png", "files/media/html/x_2_" + A + ".png"],
    "two folders": [image("a/x", 1), image("b/x", 2)],
    "two extensions": [image("x", 1, extension=".png"), image("x", 2, extension=".jpg")],
    "an extension within a double one": [
        image("x", 1, extension=".json"),
        image("x", 2, extension=".table.json"),
    ],
    "the summary has no step": [image("x", "summary"), image("x", 70)],
    "two of the summary": [image("x", "summary", A), image("x", "summary", B)],
    "hex of 19": [image("x", 1, A[:19]), image("x", 2, A[:19])],
    "hex of 21": [image("x", 1, A + "a"), image("x", 2, A + "a")],
    "uppercase hex": [image("x", 1, A.upper()), image("x", 2, A.upper())],
    "no hex digits": [image("x", 1, "g" * 20), image("x", 2, "g" * 20)],
    "digits of another script": [image("x", "٣"), image("x", "٤")],
    "a negative step": [image("x", "-1"), image("x", "-2")],
    "more digits than a step has": [image("x", "1" * 30), image("x", "2" * 30)],
    "directly in media": [f"files/media/x_1_{A}.png", f"files/media/x_2_{A}.png"],
    "not below files": [f"media/images/x_1_{A}.png", f"media/images/x_2_{A}.png"],
    "media of the user's own": [f"files/my/media/images/x_1_{A}.png", f"files/my/media/images/x_2_{A}.png"],
    "models with a version in the name": ["files/resnet_v2.pt", "files/resnet_v10.pt"],
    "data with a version in the name": ["files/data_v1.csv", "files/data_v2.csv"],
    "results and results_latest": ["files/results.csv", "files/results_latest.csv"],
    "folders with a version in the name": ["files/split_v1/a.csv", "files/split_v2/a.csv"],
    "checkpoints by step": ["files/ckpt_1.pt", "files/ckpt_2.pt"],
    "a name like an artifact's in a run": ["files/m:v1/a", "files/m:v2/a"],
    "the run's own files": ["run-abc.wandb", "files/config.yaml", "files/output.log", "logs/debug.log"],
    "nothing at all": [],
}


@pytest.mark.parametrize(("paths", "expected"), SUPERSEDED.values(), ids=SUPERSEDED)
def test_older_steps_are_superseded(paths: list[str], expected: dict[str, str]) -> None:
    assert find_superseded(paths, RunVersions()) == expected
    assert has_versions(paths)
    assert has_versions(paths[::-1])


@pytest.mark.parametrize("paths", KEPT.values(), ids=KEPT)
def test_what_only_looks_like_a_version_is_kept(paths: list[str]) -> None:
    assert find_superseded(paths, RunVersions()) == {}
    assert not has_versions(paths)


def test_what_the_last_summary_names_is_kept() -> None:
    paths = [image("x", 1), image("x", 2), image("x", 3)]
    named = RunVersions(named=frozenset({image("x", 1).removeprefix("files/")}))
    assert find_superseded(paths, named) == {image("x", 2): "superseded by step 3"}


def test_increments_are_kept_and_another_table_is_not() -> None:
    paths = [table("eval/rows", 1), table("eval/rows", 2), table("rows", 1), table("rows", 2)]
    incremental = RunVersions(incremental=frozenset({"eval/rows"}))
    assert find_superseded(paths, incremental) == {table("rows", 1): "superseded by step 2"}


def test_a_media_path_is_read_into_its_parts() -> None:
    media = parse_media_path(table("eval/my rows_10", 5))
    assert media is not None
    assert (media.kind, media.key, media.step, media.extension) == (
        "table",
        "eval/my rows_10",
        5,
        ".table.json",
    )


ARTIFACTS_SUPERSEDED = {
    "versions compare as numbers": (
        ["artifacts/m:v2/a.pt", "artifacts/m:v10/a.pt", "artifacts/m:v9/a.pt"],
        {"artifacts/m:v2/a.pt": "superseded by v10", "artifacts/m:v9/a.pt": "superseded by v10"},
    ),
    "v1 and v10": (["m:v1/a", "m:v10/a"], {"m:v1/a": "superseded by v10"}),
    "v0 counts": (["m:v0/a", "m:v1/a"], {"m:v0/a": "superseded by v1"}),
    "wherever they lie": (
        ["tasks/3/cache/m:v0/d/a", "tasks/3/cache/m:v1/a"],
        {"tasks/3/cache/m:v0/d/a": "superseded by v1"},
    ),
    "a colon in the name": (["a:b:v0/x", "a:b:v1/x"], {"a:b:v0/x": "superseded by v1"}),
    "one within another": (
        ["m:v0/n:v5/x", "m:v1/n:v3/x", "m:v1/n:v4/x"],
        {"m:v0/n:v5/x": "superseded by v1", "m:v1/n:v3/x": "superseded by v4"},
    ),
}

ARTIFACTS_KEPT = {
    "one version": ["artifacts/m:v3/a", "artifacts/m:v3/b"],
    "different names": ["artifacts/m:v1/a", "artifacts/n:v2/a"],
    "a name within a name": ["artifacts/m:v1/a", "artifacts/mm:v2/a"],
    "different parents": ["tasks/1/artifacts/m:v1/a", "tasks/2/artifacts/m:v2/a"],
    "files, not folders": ["artifacts/m:v1", "artifacts/m:v2"],
    "a file does not supersede a folder": ["artifacts/m:v1/a", "artifacts/m:v2"],
    "the form of Windows, which is a user's own name elsewhere": ["artifacts/m-v1/a", "artifacts/m-v2/a"],
    "leading zeros": ["m:v01/a", "m:v02/a"],
    "an alias": ["m:latest/a", "m:v1/a"],
    "underscores": ["split_v1/a", "split_v2/a"],
    "no name": [":v1/a", ":v2/a"],
    "something behind the number": ["m:v1b/a", "m:v2b/a"],
    "uppercase": ["m:V1/a", "m:V2/a"],
}


@pytest.mark.parametrize(("paths", "expected"), ARTIFACTS_SUPERSEDED.values(), ids=ARTIFACTS_SUPERSEDED)
def test_older_artifact_folders_are_superseded(paths: list[str], expected: dict[str, str]) -> None:
    assert find_superseded_artifacts(paths) == expected


@pytest.mark.parametrize("paths", ARTIFACTS_KEPT.values(), ids=ARTIFACTS_KEPT)
def test_what_only_looks_like_an_artifact_is_kept(paths: list[str]) -> None:
    assert find_superseded_artifacts(paths) == {}


keys = st.sampled_from(["x", "loss", "loss_10", "eval/x", "my key", f"x_1_{A}", "x_summary", ""])
steps = st.one_of(st.integers(min_value=0, max_value=120).map(str), st.just("summary"))
digests = st.sampled_from([A, B, C])
media_paths = st.builds(
    lambda kind, key, step, digest, extension: f"files/media/{kind}/{key}_{step}_{digest}{extension}",
    st.sampled_from(["images", "table"]),
    keys,
    steps,
    digests,
    st.sampled_from([".png", ".table.json", ""]),
)
other_paths = st.one_of(
    st.sampled_from(["files/resnet_v2.pt", "files/resnet_v10.pt", "files/m:v1/a", "files/m:v2/a", "run-a.wandb"]),
    st.text(max_size=60),
)
any_paths = st.lists(st.one_of(media_paths, media_paths, other_paths), max_size=40, unique=True)


@given(any_paths, st.data())
def test_never_drops_what_must_stay(paths: list[str], data: st.DataObject) -> None:
    named = frozenset(path.removeprefix("files/") for path in data.draw(st.sets(st.sampled_from(paths or ["x"]))))
    incremental = frozenset(data.draw(st.sets(keys, max_size=2)))
    dropped = find_superseded(paths, RunVersions(named, incremental))
    assert set(dropped) <= set(paths)
    for path, reason in dropped.items():
        media = parse_media_path(path)
        assert media is not None
        assert media.step is not None
        assert media.key not in incremental
        assert path.removeprefix("files/") not in named
        later = int(reason.removeprefix("superseded by step "))
        assert media.step < later
        peers = [peer for peer in map(parse_media_path, set(paths) - set(dropped)) if peer is not None]
        assert any(peer.group == media.group and peer.step == later for peer in peers)
    assert bool(find_superseded(paths, RunVersions())) == has_versions(paths)


@given(any_paths, st.randoms())
def test_the_order_of_paths_does_not_matter(paths: list[str], random: object) -> None:
    shuffled = list(paths)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert find_superseded(shuffled, RunVersions()) == find_superseded(paths, RunVersions())
    assert find_superseded_artifacts(shuffled) == find_superseded_artifacts(paths)


folder_names = st.sampled_from(["m:v0", "m:v1", "m:v9", "m:v10", "n:v1", "m-v2", "m_v3", "artifacts", "m:v01"])
artifact_paths = st.builds(
    lambda folders, name: "/".join([*folders, name]),
    st.lists(folder_names, max_size=4),
    st.sampled_from(["a", "m:v99"]),
)


@given(st.lists(st.one_of(artifact_paths, st.text(max_size=30)), max_size=40, unique=True))
def test_an_artifact_always_keeps_its_latest_version(paths: list[str]) -> None:
    dropped = find_superseded_artifacts(paths)
    assert set(dropped) <= set(paths)
    assert all(":v" in path for path in dropped)
    assert not paths or len(dropped) < len(paths)
