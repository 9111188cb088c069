"""Modules of a package do not import each other in a circle.

Imports for type checkers do not count. What a function imports when it is called counts where a package can hold to it;
in curator a step's settings name, in a function, the step that reads them.
"""

import ast
from collections.abc import Container, Iterator
from pathlib import Path

import pytest
from packages import ALL, folder

STRICT = ("core", "aligner", "deploy", "launcher")
Circle = list[str]


def modules_of(root: Path) -> dict[str, Path]:
    """Files of a package by the module's name."""
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(tree: ast.AST, *, inside_functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run: when the module is loaded, and maybe when its functions are called."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(node, inside_functions=inside_functions)


def targets(statement: ast.Import | ast.ImportFrom, *, name: str, path: Path, modules: Container[str]) -> Iterator[str]:
    """Modules that a statement of `name` asks for; a package's own file where it asks for more than modules."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
        return
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    above = package[: len(package) - statement.level + 1] if statement.level else []
    base = ".".join([*above, *([statement.module] if statement.module else [])])
    for alias in statement.names:
        yield inner if (inner := f"{base}.{alias.name}") in modules else base


def imports_of(root: Path, *, inside_functions: bool) -> dict[str, set[str]]:
    """For each module of a package the others that it imports."""
    modules = modules_of(root)
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        found = statements(ast.parse(path.read_text(encoding="utf-8")), inside_functions=inside_functions)
        asked = {target for one in found for target in targets(one, name=name, path=path, modules=modules)}
        graph[name] = (asked & modules.keys()) - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[Circle]:
    """Groups of modules that all reach each other."""
    reached = {name: reachable(graph, name) for name in graph}
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(group) for group in groups if group)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Modules that are imported by way of `start`."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("name", ALL)
def test_no_modules_of_a_package_import_each_other_in_a_circle(name):
    assert circles(imports_of(folder(name), inside_functions=name in STRICT)) == []


def test_a_circle_is_found(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("from . import b\n")
    (package / "b.py").write_text("def late():\n    from .a import b\n")
    assert circles(imports_of(package, inside_functions=True)) == [["package.a", "package.b"]]
    assert circles(imports_of(package, inside_functions=False)) == []
