"""Names that a destination refuses."""

from __future__ import annotations

import pytest

from hsm.plan.disk.file_system import FileSystem
from hsm.plan.disk.names import RULES, find_refused, make_refused_problems

WINDOWS = FileSystem(refused=(*':?*"<>|\\', "control", "dot", "space", "device", "device_stem", "bytes"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_sample_falls_under_its_rule_alone(rule: object) -> None:
    assert [other for other in RULES if other.applies(rule.sample)] == [rule]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.txt", ""),
        ("a:b", "a `:`"),
        ("what?", "a `?`"),
        ("new\nline", "a control character"),
        ("etc.", "a dot at its end"),
        ("blank ", "a blank at its end"),
        ("AUX", "the name of a device"),
        ("console", ""),
        ("nul.log", "the name of a device before its dot"),
        ("\udcff\udcfe", "bytes that are no UTF-8"),
        ("\u00e9\u6f22\U0001f600", ""),
    ],
)
def test_names_that_windows_refuses(name: str, words: str) -> None:
    assert find_refused([name], WINDOWS) == ({name: (name, words)} if words else {})


def test_a_folder_is_named_once_for_all_below_it() -> None:
    refused = find_refused(["run-1/a:b/x", "run-1/a:b/y", "run-1/c"], WINDOWS)
    assert sorted(refused) == ["run-1/a:b/x", "run-1/a:b/y"]
    problems = make_refused_problems(refused)
    assert [problem.path for problem in problems] == ["run-1/a:b"]
    assert problems[0].message == "The destination cannot have this name: it has a `:`."
    assert problems[0].is_failure


def test_a_name_that_is_too_long_is_told_with_the_limit() -> None:
    there = FileSystem(longest_name=143)
    assert find_refused(["a/" + "\u00e9" * 72, "a/" + "e" * 143], there) == {
        "a/" + "\u00e9" * 72: ("a/" + "\u00e9" * 72, "144 bytes, of 143 at most")
    }


def test_a_disk_that_takes_everything_refuses_nothing() -> None:
    assert find_refused(["a:b", "n" * 255], FileSystem()) == {}
