"""`hsm docs`: pages, commands and headings of the guide."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from hsm.cli.guide import PAGES, find_guide, find_section, iter_sections, list_pages, read_page
from hsm.cli.main import app
from hsm.cli.render.guide import page_section, write_pages

if sys.version_info >= (3, 11):
    import tomllib

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (["sync"], "# Guide to `hsm sync`"),
        (["quickstart"], "# Quickstart"),
        (["Sync", "To"], "### `hsm sync to`"),
        (["hsm", "sync", "from"], "### `hsm sync from`"),
        (["doctor"], "### `hsm sync doctor`"),
        (["exit", "codes"], "## Exit codes"),
        (["configuration"], "## Configuration"),
        (["hosts"], "# "),
    ],
)
def test_a_topic_is_found(words: list[str], begins: str) -> None:
    result = CliRunner().invoke(app, ["docs", *words])
    assert result.exit_code == 0
    assert result.output.startswith(begins)


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("configurashion", "Did you mean `hsm docs configuration`?"),
        ("xyzzy", "`hsm docs` lists the pages"),
        ("target", "headings"),
        ("", "no topic"),
    ],
)
def test_no_topic(topic: str, said: str) -> None:
    result = CliRunner().invoke(app, ["docs", topic], env={"COLUMNS": "400"})
    assert result.exit_code == 2
    assert said in result.output


def test_without_a_topic_all_pages_are_listed() -> None:
    output = CliRunner().invoke(app, ["docs"]).output
    assert all(f"hsm docs {name} " in output for name in list_pages())


def test_a_section_ends_with_the_next_of_its_level() -> None:
    text = "# A\na\n## B\n```\n## no\n```\n### C\nc\n## D\nd\n"
    found = {section.title: section.text for section in iter_sections("p", text)}
    assert list(found) == ["A", "B", "C", "D"]
    assert found["A"] == text
    assert found["B"] == "## B\n```\n## no\n```\n### C\nc\n"


def test_a_terminal_gets_no_signs_of_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    page_section(find_section(["exit", "codes"]))
    shown = capsys.readouterr().out
    assert "Exit codes" in shown
    assert "|---" not in shown
    assert "](#" not in shown


def test_pages_for_a_browser_are_linked(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    write_pages(folder)
    write_pages(folder)
    pages = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert pages.keys() == {f"{name}.html" for name in list_pages()}
    anchors = {name: set(re.findall(r'id="([^"]+)"', text)) for name, text in pages.items()}
    own = re.findall(r'href="(\w+\.html)?#([^"]+)"', pages["sync.html"])
    assert len(own) > 50
    assert [unquote(anchor) for page, anchor in own if unquote(anchor) not in anchors[page or "sync.html"]] == []
    assert "<script" not in "".join(pages.values())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is newer")
def test_the_wheel_has_every_page() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"docs": "hsm/guide"}


def test_every_page_of_the_docs_is_known() -> None:
    assert {path.name for path in (REPOSITORY / "docs").glob("*.md")} <= {file for file, _ in PAGES.values()}


def test_pages_of_a_clone_are_those_of_its_docs() -> None:
    assert find_guide() == REPOSITORY / "docs"
    assert read_page("sync") == (REPOSITORY / "docs" / "SYNC.md").read_text("utf-8")
