"""Units stay small: STYLE's upper limits, beyond which a function or file has to be split."""

import ast

import pytest
from packages import ALL, ROOT, folder

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400


def sources(name):
    roots = [folder(name) / "src"] if name in ALL else [ROOT / name]
    return sorted(path for root in roots for path in root.rglob("*.py"))


def long_functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines"


@pytest.mark.parametrize("name", [*ALL, "tools", "tests", "benchmarks"])
def test_functions_and_files_are_small(name):
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(name)}
    found = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > MAX_FILE_LINES]
    found += [line for path in lengths for line in long_functions(path)]
    assert found == []
