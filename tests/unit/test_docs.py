"""The documents say what the program does: no more, no less."""

import ast
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hsm.cli.main import app
from hsm.config.load import parse_document
from hsm.config.schema import ConfigSection
from hsm.errors import ExitCode, HsmError
from hsm.hosts.inventory.document import parse_hosts
from hsm.hosts.inventory.schema import EloSyncEntry, NodeEntry
from hsm.model import PlanItem, Problem, Reason, Root, RunState, SourceFile, SyncPlan
from hsm.plan.safety import CHECKS
from hsm.prepared_sweep.resources import Resources
from hsm.sweeps.definition.load import parse_definition
from hsm.sweeps.definition.schema import Definition, MetadataSection, RandomSection, ResumeSection, SweepSection
from hsm.sweeps.project.schema import (
    DefaultsFile,
    LocalSection,
    MachineSection,
    ProjectPaths,
    ProjectSection,
    SettingsFile,
    WandbSection,
)
from hsm.sync.reports import State, SweepReport, SyncReport, TargetReport, make_document
from hsm.transfer.outcome import Outcome, TransferResult

REPOSITORY = Path(__file__).parents[2]
DESIGN = REPOSITORY / "docs" / "design"
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
GUIDE = (REPOSITORY / "docs" / "SYNC.md").read_text("utf-8")
HOSTS_GUIDE = (REPOSITORY / "docs" / "HOSTS.md").read_text("utf-8")
SWEEP_GUIDE = (REPOSITORY / "docs" / "SWEEP.md").read_text("utf-8")

# The heading of the guide under which the keys of a section stand, by the section's place in the file.
CONFIG_HEADINGS = {
    "": "Top level",
    "source": "`source`",
    "sync_targets": "A target",
    "sync_targets.paths": "`paths`",
    "sync_targets.ssh": "`ssh`",
    "sync_targets.options": "`options`",
    "sync_targets.after_sync": "`after_sync`",
    "sweeps": "`sweeps`",
    "sweeps.paths": "Paths of a pattern",
    "sweeps.options": "`options`",
    "sweeps.targets": "A target of a pattern",
    "sweeps.targets.paths": "Paths of a pattern",
    "sweeps.targets.options": "`options`",
}


# -- reading Markdown ---------------------------------------------------------------------------------------------


def iter_lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it lies in a fenced block."""
    is_fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            is_fenced = not is_fenced
            continue
        yield line, is_fenced


def find_section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    found: list[str] = []
    level = 0
    for line, is_fenced in iter_lines(text):
        match = None if is_fenced else re.match(r"(#+) (.+)", line)
        if match and level and len(match[1]) <= level:
            break
        if level:
            found.append(line)
        elif match and match[2] == heading:
            level = len(match[1])
    assert level, f"there is no heading {heading!r}"
    return "\n".join(found)


def iter_rows(section: str) -> Iterator[list[str]]:
    """The cells of each table row, without headers."""
    lines = [line for line, is_fenced in iter_lines(section) if not is_fenced]
    for previous, line in zip(["", *lines], lines, strict=False):
        is_rule = re.fullmatch(r"\|[-|: ]+\|", line)
        if line.startswith("|") and previous.startswith("|") and not is_rule:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def iter_spans(text: str) -> Iterator[str]:
    """The inline code of a text."""
    prose = "\n".join(line for line, is_fenced in iter_lines(text) if not is_fenced)
    return (span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose))


def iter_first_spans(section: str) -> Iterator[str]:
    """The inline code of the first cell of each table row."""
    for cells in iter_rows(section):
        yield from iter_spans(cells[0])


def iter_blocks(text: str, language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def make_anchor(heading: str) -> str:
    """The anchor that code hosts make of a heading."""
    plain = re.sub(r"[`*]", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def list_anchors(text: str) -> set[str]:
    headings = [line.lstrip("#").strip() for line, fenced in iter_lines(text) if not fenced and line.startswith("#")]
    return {make_anchor(heading) for heading in headings}


# -- reading the program ------------------------------------------------------------------------------------------


def iter_commands(command: Any, name: str = "hsm") -> Iterator[tuple[str, Any]]:
    """Every command and group by what a user types."""
    yield name, command
    for word, child in getattr(command, "commands", {}).items():
        yield from iter_commands(child, f"{name} {word}")


COMMANDS = dict(iter_commands(typer.main.get_command(app)))
VISIBLE = [name for name, command in COMMANDS.items() if not command.hidden]


def get_guide(name: str) -> str:
    """The page that a command's group has."""
    guides = {"hsm hosts": HOSTS_GUIDE, "hsm sweep": SWEEP_GUIDE}
    return guides.get(" ".join(name.split()[:2]), GUIDE)


def list_options(name: str) -> set[str]:
    command = COMMANDS[name]
    names = {name for option in command.params for name in option.opts if name.startswith("-")}
    return names | {"--help", "-h"}


def iter_sections(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section of the configuration by its place; the names of targets are left out."""
    yield place, model
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from iter_sections(kind, f"{place}.{name}".lstrip("."))


def show_default(field: FieldInfo) -> str:
    """A default as the guide writes it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, ""):
        return "none"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def find_places(tree: ast.Module) -> tuple[dict[str, int], dict[str, ast.expr]]:
    """Which argument is the kind, by function or class; and every value that has a name of its own."""
    positions = {"Problem": list(Problem.__dataclass_fields__).index("kind")}
    values: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and "kind" in (names := list(_iter_parameters(node))):
            positions[node.name] = names.index("kind")
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            values[node.target.id] = node.value
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values[node.targets[0].id] = node.value
    return positions, values


def _iter_parameters(node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """What a call takes by position. A kind that is annotated as something else than text is none of ours."""
    if isinstance(node, ast.ClassDef):
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
        pairs = [(part.target.id, part.annotation) for part in fields if isinstance(part.target, ast.Name)]
    else:
        pairs = [(arg.arg, arg.annotation) for arg in node.args.args if arg.arg not in ("self", "cls")]
    yield from (
        f"{name}" if annotation is None or ast.unparse(annotation) == "str" else f"{name}:"
        for name, annotation in pairs
    )


def iter_error_kinds(tree: ast.Module, constants: Mapping[str, ast.expr] | None = None) -> Iterator[str]:
    """The kinds of errors and problems that a module can make.

    They are: keyword arguments `kind="..."`; positional arguments of what takes a `kind` (functions and classes of
    the module, and Problem); assignments to a name `kind`; and tables that a loop takes a `kind` from. Constants may
    stand for the text; `constants` are those of other modules.
    """
    positions, values = find_places(tree)
    values = {**(constants or {}), **values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _iter_texts([word.value for word in node.keywords if word.arg == "kind"], values)
            position = positions.get(getattr(node.func, "id", getattr(node.func, "attr", "")))
            if position is not None:
                yield from _iter_texts(node.args[position : position + 1], values)
        elif isinstance(node, ast.Assign):
            yield from _iter_assigned(node.targets[0], node.value, values)
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Name) and node.iter.id in values:
            for row in getattr(values[node.iter.id], "elts", []):
                yield from _iter_assigned(node.target, row, values)


def _iter_assigned(target: ast.expr, value: ast.expr, values: Mapping[str, ast.expr]) -> Iterator[str]:
    if isinstance(value, ast.IfExp):
        yield from _iter_assigned(target, value.body, values)
        yield from _iter_assigned(target, value.orelse, values)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for part, item in zip(target.elts, value.elts, strict=False):
            yield from _iter_assigned(part, item, values)
    elif isinstance(target, ast.Name) and target.id == "kind":
        yield from _iter_texts([value], values)


def _iter_texts(parts: Iterable[ast.expr], values: Mapping[str, ast.expr]) -> Iterator[str]:
    """The texts that expressions stand for: literals, both branches of a condition, constants of the module."""
    for part in parts:
        if isinstance(part, ast.IfExp):
            yield from _iter_texts([part.body, part.orelse], values)
        elif isinstance(part, ast.Name) and part.id.isupper():
            yield from _iter_texts([values[part.id]] if part.id in values else [], {})
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def list_error_kinds() -> set[str]:
    paths = [path for path in (REPOSITORY / "hsm").rglob("*.py") if "render" not in path.parts]
    modules = [ast.parse(path.read_text("utf-8")) for path in paths]
    constants: dict[str, ast.expr] = {}
    for module in modules:
        constants.update({name: value for name, value in find_places(module)[1].items() if name.isupper()})
    kinds = {kind for module in modules for kind in iter_error_kinds(module, constants)}
    return (kinds | set(CHECKS)) - {""}


def make_example_document() -> dict[str, Any]:
    """A document in which every list has a member and every error is there."""
    file = SourceFile(Root.WANDB, "run-1/x", "/p/wandb", 1, 1, 1, "run-1")
    plan = SyncPlan("sweep_1", items=(PlanItem(file, Reason.NEW),))
    error = HsmError("message", hint="hint", kind="kind")
    target = TargetReport(
        "desktop",
        State.PARTIAL,
        ExitCode.PARTIAL,
        error=error,
        plan=plan,
        result=TransferResult({(Root.WANDB, "run-1/x"): Outcome.FAILED}),
        problems=(Problem("run-1/x", "kind", "message"),),
        seconds={"check": 1.0},
    )
    report = SyncReport("sync to", "push", False, (SweepReport("sweep_1", (target,)),), error)
    return make_document(report, with_plan=True)


def iter_keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for child in value.values():
            yield from iter_keys(child)
    elif isinstance(value, list):
        for child in value:
            yield from iter_keys(child)


def assert_same(documented: set[str], real: set[str]) -> None:
    """Say by name what the guide lacks, and what it has too much."""
    assert (sorted(real - documented), sorted(documented - real)) == ([], []), "(missing in the guide, only there)"


# -- the collectors find something --------------------------------------------------------------------------------


def test_kinds_of_every_form_are_found() -> None:
    source = """
def _pattern(number, kind: str): ...
class Complaint:
    number: int
    kind: str
class Other:
    def method(self, number, kind): ...
    def list(self, number, kind: EntryKind): ...
TABLE = (("of_a_table", 1), ("of_a_table_too", 2))
OTHER: tuple = (("of_an_annotated_table", 1),)
NAMED = "of_a_constant"
def f(error):
    raise HsmError("x", kind="of_a_keyword" if error else "of_the_other_branch")
    Problem(path, "of_a_problem", "message")
    _pattern(1, "of_a_position")
    Problem(path, NAMED, "message")
    Complaint(1, "of_a_class")
    self.method(1, "of_a_method")
    self.list(1, "of_a_listing")
    message, kind = "x", "of_an_assignment"
    kind, hint = (error.kind, "") if error else ("of_a_condition", "")
    for kind, number in TABLE: ...
    for kind, number in OTHER: ...
    other = "of_nothing"
"""
    kinds = "a_table a_table_too an_annotated_table a_keyword the_other_branch a_problem a_position"
    expected = {
        f"of_{kind}" for kind in [*kinds.split(), "a_class", "a_method", "a_constant", "an_assignment", "a_condition"]
    }
    assert_same(set(iter_error_kinds(ast.parse(source))), expected)


def test_commands_and_sections_are_found() -> None:
    assert {"hsm", "hsm sync", "hsm sync to", "hsm sync run", "hsm sync login"} <= COMMANDS.keys()
    assert {"--target", "-t", "--dry-run", "-n", "--help", "-h"} <= list_options("hsm sync to")
    assert dict(iter_sections(ConfigSection)).keys() == CONFIG_HEADINGS.keys()


def test_sections_and_rows_are_read() -> None:
    text = "# A\n## `b`\n| k | v |\n|---|---|\n| `x`, `y` | 1 |\n```\n## no\n| `z` | 2 |\n```\n### C\nc\n## D\nd\n"
    section = find_section(text, "`b`")
    assert list(iter_rows(section)) == [["`x`, `y`", "1"]]
    assert list(iter_first_spans(section)) == ["x", "y"]
    assert "c" in section
    assert "d" not in section.splitlines()


# -- the guide against the program --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VISIBLE)
def test_options_of_a_command_are_in_the_guide(name: str) -> None:
    section = find_section(find_section(get_guide(name), "Commands"), f"`{name}`")
    documented = {span.split()[0] for span in iter_first_spans(section)}
    assert_same(documented, list_options(name))


def test_every_command_has_its_heading_and_no_other() -> None:
    sections = [find_section(guide, "Commands") for guide in (GUIDE, HOSTS_GUIDE, SWEEP_GUIDE)]
    headings = [line[5:-1] for section in sections for line in section.splitlines() if line.startswith("### `")]
    assert_same(set(headings), set(VISIBLE))
    assert len(headings) == len(VISIBLE)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in VISIBLE])
def test_hidden_command_is_mentioned(name: str) -> None:
    assert name in iter_spans(find_section(GUIDE, "Commands"))


@pytest.mark.parametrize(("place", "model"), [*iter_sections(ConfigSection)], ids=str)
def test_settings_and_their_defaults_are_in_the_guide(place: str, model: type[BaseModel]) -> None:
    section = find_section(find_section(GUIDE, "Configuration"), CONFIG_HEADINGS[place])
    documented = {cells[0]: cells[1:3] for cells in iter_rows(section)}
    expected = {f"`{name}`": show_default(field) for name, field in model.model_fields.items()}
    assert {key: default for key, (default, _) in documented.items()} == expected
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            assert documented[f"`{name}`"][1] == extra["allowed"]


@pytest.mark.parametrize(("heading", "model"), [("A machine", NodeEntry), ("Scores", EloSyncEntry)])
def test_keys_of_the_hosts_file_are_in_its_guide(heading: str, model: type[BaseModel]) -> None:
    documented = {cells[0]: cells[1:3] for cells in iter_rows(find_section(HOSTS_GUIDE, heading))}
    expected = {
        f"`{name}`": [show_default(field), (field.json_schema_extra or {})["allowed"]]  # type: ignore[index]
        for name, field in model.model_fields.items()
    }
    assert documented == expected


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Top level of the definition", Definition),
        ("`sweep`", SweepSection),
        ("`random`", RandomSection),
        ("`metadata`", MetadataSection),
        ("`resume`", ResumeSection),
        ("Resources", Resources),
        ("Top level of the configuration", SettingsFile),
        ("`project`", ProjectSection),
        ("`paths`", ProjectPaths),
        ("`wandb`", WandbSection),
        ("`local`", LocalSection),
        ("A machine", MachineSection),
        ("Defaults of user and site", DefaultsFile),
    ],
)
def test_keys_of_sweeps_are_in_their_guide(heading: str, model: type[BaseModel]) -> None:
    documented = {cells[0]: cells[1:3] for cells in iter_rows(find_section(SWEEP_GUIDE, heading))}
    expected = {
        f"`{name}`": [show_default(field), (field.json_schema_extra or {}).get("allowed", "a section")]  # type: ignore[union-attr]
        for name, field in model.model_fields.items()
    }
    assert documented == expected


def test_the_definition_of_the_guide_has_its_tasks() -> None:
    (block,) = [block for block in iter_blocks(SWEEP_GUIDE, "yaml") if block.startswith("script:")]
    assert len(parse_definition(block, "SWEEP.md").tasks) == 8


def test_the_hosts_file_of_the_guide_loads() -> None:
    blocks = [block for block in iter_blocks(HOSTS_GUIDE, "yaml") if block.startswith("hosts:")]
    assert blocks
    for block in blocks:
        assert parse_hosts(block, "HOSTS.md", {}).nodes


def test_exit_codes_are_in_the_guide() -> None:
    codes = [cells[0] for cells in iter_rows(find_section(GUIDE, "Exit codes"))]
    assert codes == [str(code.value) for code in ExitCode]


def test_kinds_of_errors_are_in_the_guide() -> None:
    found = list_error_kinds()  # takes seconds
    of_every_home = {
        "no_config",
        "bad_yaml",
        "conflict",
        "host_key_changed",
        "login_refused",
        "quota",
        "vanished",
        "failed",
    }
    assert of_every_home | {"space", "unknown_sweep", "damaged_cache", "usage", "interrupted"} <= found
    pages = [find_section(guide, "Troubleshooting") for guide in (GUIDE, HOSTS_GUIDE, SWEEP_GUIDE)]
    assert_same({kind for page in pages for kind in iter_first_spans(page)}, found)


def test_safety_checks_are_in_the_guide() -> None:
    assert_same(set(iter_first_spans(find_section(GUIDE, "Safety checks"))), set(CHECKS))


def test_reasons_and_states_are_in_the_guide() -> None:
    preview = set(iter_first_spans(find_section(GUIDE, "Read the preview")))
    assert {reason.value for reason in Reason} - preview == set()
    runs = set(iter_first_spans(find_section(GUIDE, "How far a run has come")))
    assert_same(runs, {state.value for state in RunState})
    outcomes = set(iter_first_spans(find_section(GUIDE, "Sync")))
    assert_same(outcomes, {state.value.replace("_", " ") for state in State})


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(lambda: set(iter_keys(make_example_document())), id="keys"),
        pytest.param(lambda: {state.value for state in State}, id="states"),
        pytest.param(lambda: {reason.value for reason in Reason}, id="reasons"),
        pytest.param(lambda: {outcome.value for outcome in Outcome}, id="outcomes"),
        pytest.param(lambda: {"failure", "notice", "send", "leave", "push"}, id="values"),
    ],
)
def test_json_document_is_in_the_guide(words: Any) -> None:
    assert words() - set(iter_spans(find_section(GUIDE, "The JSON document"))) == set()


def test_json_example_has_the_keys_of_the_document() -> None:
    (block,) = iter_blocks(find_raw_section("The JSON document"), "console")
    example = json.loads(block.partition("\n")[2])
    expected = make_example_document()
    assert example.keys() == expected.keys()
    (target,) = example["sweeps"][0]["targets"]
    (made,) = expected["sweeps"][0]["targets"]
    assert target.keys() == made.keys() - {"plan"}
    assert {key: list(target[key]) for key in ("files", "bytes", "runs")} == {
        key: list(made[key]) for key in ("files", "bytes", "runs")
    }


def find_raw_section(heading: str) -> str:
    """As `find_section`, with its fences, for a heading of the second level."""
    return re.split(r"^## ", GUIDE.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


# -- all pages ----------------------------------------------------------------------------------------------------


def get_place(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def iter_broken_links(text: str, page: Path) -> Iterator[str]:
    """Each relative link of a page's text that leads to no file, or to no heading of one."""
    prose = "\n".join(line for line, is_fenced in iter_lines(text) if not is_fenced)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in list_anchors(target.read_text("utf-8"))):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=get_place)
def test_relative_links_resolve(page: Path) -> None:
    assert list(iter_broken_links(page.read_text("utf-8"), page)) == []


def test_broken_links_are_noticed() -> None:
    right = "[a](locks.md) [b](#tests) [c](speed.md#early-login) ![d](../images/house.svg) [e](https://x)\n"
    wrong = "[f](no.md) [g](#no) [h](locks.md#no) ![i](../images/no.svg)\n```\n[j](no.md)\n```\n"
    broken = list(iter_broken_links(right + wrong, DESIGN / "tests.md"))
    assert broken == ["no.md", "#no", "locks.md#no", "../images/no.svg"]


@pytest.mark.parametrize("page", PAGES, ids=get_place)
def test_commands_in_a_page_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    lines = [*iter_spans(text)]
    for line, is_fenced in iter_lines(text):
        if is_fenced:
            lines.append(line.removeprefix("$ "))  # what is indented there is a program's output
        elif line.startswith(" "):
            lines.append(line.strip().removeprefix("$ "))
    wrong = [line for line in lines if line.startswith("hsm ") and not is_known_command(line)]
    assert wrong == []


def is_known_command(line: str) -> bool:
    words = shlex.split(line, comments=True)
    if "--" in words:
        words = words[: words.index("--")]  # the rest is a command for another machine
    name = words.pop(0)
    while words and f"{name} {words[0]}" in COMMANDS:
        name = f"{name} {words.pop(0)}"
    options = [re.sub(r"^(-v)v+$", r"\1", word) for word in words if word.startswith("-")]
    is_group = hasattr(COMMANDS[name], "commands")
    return set(options) <= list_options(name) and not (is_group and words != options)


@pytest.mark.parametrize(
    ("line", "is_known"),
    [
        ("hsm --version", True),
        ("hsm sync to latest -t desktop -vv", True),
        ("hsm sync to latest --target desktop   # a comment", True),
        ("hsm sync vanish", False),
        ("hsm sync to latest --delete", False),
        ("hsm cockpit", False),
    ],
)
def test_commands_that_do_not_exist_are_noticed(line: str, is_known: bool) -> None:
    assert is_known_command(line) is is_known


@pytest.mark.parametrize("page", PAGES, ids=get_place)
def test_configurations_in_a_page_load(page: Path) -> None:
    for block in iter_blocks(page.read_text("utf-8"), "yaml"):
        if "sync_targets:" in block:
            parse_document(block, page.name)


def test_the_readme_has_a_configuration_of_six_lines() -> None:
    (block,) = iter_blocks((REPOSITORY / "README.md").read_text("utf-8"), "yaml")
    assert len(block.splitlines()) == 6
    config = parse_document(block, "README.md")[0]
    assert config.default_target == tuple(config.sync_targets)


def test_the_changelog_has_a_section_for_what_comes() -> None:
    assert "### Added" in find_section((REPOSITORY / "CHANGELOG.md").read_text("utf-8"), "Changelog")
    assert re.search(r"^## \[Unreleased\]$", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


# -- the design against the code ----------------------------------------------------------------------------------

PATH = re.compile(r"(hsm|tests|docs|examples|benchmarks|\.ci)/[\w./-]*")
"""A file or folder of the repository; one that is still to be made is written with a placeholder, as `hsm/<name>/`."""


def iter_paths(text: str) -> Iterator[str]:
    """The files and folders that a page names."""
    yield from (span for span in iter_spans(text) if PATH.fullmatch(span))


@pytest.mark.parametrize("page", [*DESIGN.glob("*.md"), REPOSITORY / "CONTRIBUTING.md"], ids=get_place)
def test_files_that_the_design_names_exist(page: Path) -> None:
    assert [path for path in iter_paths(page.read_text("utf-8")) if not (REPOSITORY / path).exists()] == []


def test_files_are_found_in_a_page() -> None:
    text = (
        "`hsm/a.py`, `hsm/b/` and `tests/unit/c.py`; `hsm/<name>/d.py`, `hsm sync to`, `a/b.py`\n```\n`hsm/e.py`\n```\n"
    )
    assert list(iter_paths(text)) == ["hsm/a.py", "hsm/b/", "tests/unit/c.py"]


@pytest.mark.parametrize("page", ["README.md", "walks.md"])
def test_names_that_the_design_leads_to_exist(page: str) -> None:
    sources = [path for folder in ("hsm", "tests") for path in (REPOSITORY / folder).rglob("*.py")]
    known = set(re.findall(r"\w+", " ".join(path.read_text("utf-8") for path in sources)))
    names = {span for span in iter_spans((DESIGN / page).read_text("utf-8")) if re.fullmatch(r"\w+", span)}
    assert sorted(names - known) == []


def test_pages_that_the_code_names_exist() -> None:
    sources = [path.read_text("utf-8") for path in (REPOSITORY / "hsm").rglob("*.py")]
    named = {page for source in sources for page in re.findall(r"docs/[\w./-]+\.md", source)}
    assert "docs/SYNC.md" in named
    assert [page for page in sorted(named) if not (REPOSITORY / page).exists()] == []


def find_floors() -> list[list[str]]:
    """The floors as import-linter is told them; names in brackets are reserved."""
    (block,) = re.findall(r"^layers = (\[.*?^\])", (REPOSITORY / "pyproject.toml").read_text("utf-8"), re.DOTALL | re.M)
    return [[name.replace("hsm.", "") for name in floor.split(" | ")] for floor in ast.literal_eval(block)]


def test_floors_of_the_design_are_those_of_the_linter() -> None:
    lines = find_section((DESIGN / "README.md").read_text("utf-8"), "The floors").splitlines()
    assert [line.strip().split(" | ") for line in lines if line.startswith("    ")] == find_floors()


def test_floors_of_the_picture_are_those_of_the_linter() -> None:
    picture = (REPOSITORY / "docs" / "images" / "house.svg").read_text("utf-8")
    names = re.findall(r'<text class="room"[^>]*>([^<]+)</text>', picture)
    assert names == [name for floor in find_floors() for name in floor if "(" not in name]


def test_every_folder_of_the_code_is_in_the_design() -> None:
    section = find_section((DESIGN / "README.md").read_text("utf-8"), "The folders")
    modules = {
        path for path in (REPOSITORY / "hsm").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    names = {f"hsm/{path.name}{'/' if path.is_dir() else ''}" for path in modules if not path.name.startswith("_")}
    assert_same(set(iter_first_spans(section)), names)


def test_every_page_of_the_design_is_listed() -> None:
    topics = find_section((DESIGN / "README.md").read_text("utf-8"), "The topics")
    listed = set(re.findall(r"\]\(([^)#]+)\)", topics))
    assert_same(listed, {page.name for page in DESIGN.glob("*.md")} - {"README.md"})
