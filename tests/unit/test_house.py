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
