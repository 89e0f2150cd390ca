"""Words that mean a folder sweep, which no log can change: its name, its beginning, the latest."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.words.catalogue import Catalogue
from hsm.discover.words.lookup import Lookup
from hsm.discover.words.meanings import find_meanings
from hsm.errors import ExitCode, UsageError

LAYOUT = Layout("/p", "/p/sweeps", "/p/wandb")
SWEEPS = tuple(
    Sweep(name, "/p", f"/p/outputs/{name}")
    for name in ("sweep_1", "sweep_10", "sweep_20251020_212836", "sweep_20251021_090000")
)


def find(sweeps: Sequence[Sweep], word: str) -> Sweep:
    (meaning,) = find_meanings(Lookup(sweeps, LAYOUT, lambda _: Catalogue()), word)
    return meaning.sweep


FOUND = {
    "its whole name": ("sweep_10", "sweep_10"),
    "its whole name, though another begins with it": ("sweep_1", "sweep_1"),
    "the latest": ("latest", "sweep_20251021_090000"),
    "a beginning": ("sweep_20251021", "sweep_20251021_090000"),
}


@pytest.mark.parametrize(("word", "expected"), FOUND.values(), ids=FOUND)
def test_finds_a_sweep_by(word: str, expected: str) -> None:
    assert find(SWEEPS, word).id == expected


REFUSED = {
    "an ambiguous beginning": ("sweep_2025", "ambiguous_sweep", "sweep_20251020_212836, sweep_20251021_090000"),
    "an unknown name": ("sweep_20251021_090001", "unknown_sweep", "Unknown sweep 'sweep_20251021_090001'"),
    "nothing": ("", "bad_sweep_name", "it is empty"),
    "a path": ("a/b", "unknown_sweep", "Unknown sweep 'a/b'"),
    "a parent": ("..", "bad_sweep_name", "not a path"),
    "an option": ("--all", "bad_sweep_name", "begins with `-`"),
    "a hidden name": (".hsm-tmp", "bad_sweep_name", "begins with `.`"),
    "a line break": ("a\nb", "bad_sweep_name", "control characters"),
    "an escape sequence": ("a\x1b[1m", "bad_sweep_name", "control characters"),
}


@pytest.mark.parametrize(("word", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(word: str, kind: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(SWEEPS, word)
    assert caught.value.kind == kind
    assert message in caught.value.message
    assert caught.value.exit_code is ExitCode.USAGE
    assert "`hsm sync list --sweeps`" in caught.value.hint or "`hsm sync to " in caught.value.hint


def test_an_unknown_name_is_told_the_nearest_and_what_to_type() -> None:
    with pytest.raises(UsageError) as caught:
        find(SWEEPS, "sweep_20251021_090001")
    assert "sweep_20251021_090000" in caught.value.hint
    assert "`hsm sync to sweep_20251021_090000`" in caught.value.hint


@pytest.mark.parametrize("word", ["latest", "sweep_1"])
def test_without_any_sweep_says_where_they_would_be(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        find([], word)
    assert caught.value.kind == "unknown_sweep"
    assert "sweeps/outputs" in caught.value.hint


@pytest.mark.parametrize("word", ["sweep_5", "latest", "sweep"])
def test_a_sweep_in_two_places_is_refused_with_both(word: str) -> None:
    both = [Sweep("sweep_5", "/p", "/p/outputs/sweep_5"), Sweep("sweep_5", "/q", "/q/outputs/sweep_5")]
    with pytest.raises(UsageError, match=r"/p/outputs/sweep_5 and /q/outputs/sweep_5"):
        find(both, word)
