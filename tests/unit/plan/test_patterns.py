"""Lists of gitignore patterns."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from hsm.plan.patterns import Patterns, find_literal


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("*.pem", ".pem"),
        (".ssh/", ".ssh"),
        ("**/.aws/credentials", ".aws/credentials"),
        ("a*bcd?e", "bcd"),
        ("/tmp/x", "tmp/x"),
        (" a ", "a"),
        ("*", ""),
        ("a[bc]d", ""),
        ("a\\ ", ""),
    ],
)
def test_the_text_that_every_match_holds(pattern: str, literal: str) -> None:
    assert find_literal(pattern) == literal


def test_the_deciding_pattern_is_named() -> None:
    patterns = Patterns([".env", "*.pem", "!public.pem", "id_*"])
    names = ["x", "a/.env", "public.pem", "b.pem", "id_rsa", ".env/lib/x"]
    expected = {"a/.env": ".env", "b.pem": "*.pem", "id_rsa": "id_*", ".env/lib/x": ".env"}
    assert patterns.find_matches(names) == expected


@pytest.mark.parametrize("name", ["a\nb/.env", "\n/.env", "a/.env", "\udcff/.env"])
def test_hostile_folder_names_do_not_hide_a_file(name: str) -> None:
    assert Patterns([".env"]).find_matches([name]) == {name: ".env"}


@pytest.mark.parametrize("patterns", [[], ["!x"], [""]])
def test_lists_that_match_nothing(patterns: list[str]) -> None:
    assert Patterns(patterns).find_matches(["x", "a/b"]) == {}


def test_pathspec_is_not_imported_where_nothing_can_match() -> None:
    program = (
        "import sys; from hsm.plan.patterns import Patterns; from hsm.config.rules.values import SECRET_PATTERNS;"
        "Patterns(SECRET_PATTERNS).find_matches(['files/config.yaml', 'run-1.wandb']);"
        "print(*{'pathspec', 'pydantic'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


parts = st.sampled_from(["a", "b", "*", "**", "?", "/", ".", "[ab]", "[!a]", "\\a"])
written = st.lists(
    st.tuples(st.sampled_from(["", "", "!", "/"]), st.lists(parts, min_size=1, max_size=5)).map(
        lambda pair: pair[0] + "".join(pair[1])
    ),
    min_size=1,
    max_size=4,
)
paths = st.lists(st.text("ab./", min_size=1, max_size=8).filter(lambda t: "//" not in t and t[0] != "/"))


@given(written, paths)
def test_the_short_way_finds_what_pathspec_finds(patterns: list[str], names: list[str]) -> None:
    try:
        spec = GitIgnoreSpec.from_lines(patterns)
    except ValueError:
        return
    expected = {name for name in names if spec.match_file(name)}
    assert set(Patterns(patterns).find_matches(names)) == expected
