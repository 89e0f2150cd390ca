"""The rules of the house that a reader counts on and no linter knows."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

HSM = Path(__file__).parents[2] / "hsm"
MOST_FILES = 15


def iter_modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(HSM.rglob("*.py")):
        yield str(path.relative_to(HSM)), ast.parse(path.read_text("utf-8"))


def iter_public_names(module: ast.Module) -> Iterator[str]:
    """Names of classes, functions and type aliases; constants such as SCHEMA are told apart by their module."""
    for node in module.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name) and not target.id.isupper())


def test_a_public_name_means_one_thing() -> None:
    homes = defaultdict(list)
    for path, module in iter_modules():
        for name in set(iter_public_names(module)):
            if not name.startswith("_") and name != "app":  # each command group has its app
                homes[name].append(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_no_folder_is_a_hall() -> None:
    files = Counter(path.parent for path in HSM.rglob("*.py") if path.name != "__init__.py")
    assert {str(folder.relative_to(HSM)): n for folder, n in files.items() if n > MOST_FILES} == {}


def test_no_decision_hangs_on_the_text_of_a_kind() -> None:
    """Errors are told apart by class; kinds of problems are compared with the constant of who makes them."""
    found = {
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path, module in iter_modules()
        for node in iter_comparisons_of_kinds(module)
    }
    assert found == set()


def iter_comparisons_of_kinds(module: ast.Module) -> Iterator[ast.Compare]:
    """Comparisons of any `.kind` with text that stands there, and of an error's with anything."""
    handled = {node.name for node in ast.walk(module) if isinstance(node, ast.ExceptHandler) and node.name}
    for node in ast.walk(module):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
            owners = {
                ast.unparse(part.value) for part in parts if isinstance(part, ast.Attribute) and part.attr == "kind"
            }
            leaves = [leaf for part in parts for leaf in ast.walk(part)]
            is_text = any(isinstance(leaf, ast.Constant) and isinstance(leaf.value, str) for leaf in leaves)
            if any(is_text or owner in handled or owner.endswith(("error", "failure")) for owner in owners):
                yield node


def test_comparisons_of_kinds_are_found() -> None:
    source = """
try: ...
except HsmError as broken:
    if broken.kind in KINDS: ...
if self.error.kind == WORD or entry.kind == EntryKind.FILE: ...
if problem.kind in {"one", "two"} or problem.kind == CONFLICT: ...
"""
    found = [ast.unparse(node) for node in iter_comparisons_of_kinds(ast.parse(source))]
    assert sorted(found) == ["broken.kind in KINDS", "problem.kind in {'one', 'two'}", "self.error.kind == WORD"]
