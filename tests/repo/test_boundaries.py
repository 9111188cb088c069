"""Which package may import which, and what must stay unloaded until it is used."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packages import ALL, NEEDS, folder

HEAVY = ("torch", "pandas", "dask", "ray", "transformers")


def imported_roots(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("name", ALL)
def test_a_package_imports_only_the_packages_it_needs(name):
    forbidden = {f"nemo_{other}" for other in ALL if other != name and other not in NEEDS[name]}
    found = {
        str(path): sorted(imported_roots(path) & forbidden)
        for path in folder(name).rglob("*.py")
        if imported_roots(path) & forbidden
    }
    assert found == {}


@pytest.mark.parametrize("name", ALL)
def test_a_package_declares_the_packages_it_needs_and_no_other(name):
    import tomllib

    project = tomllib.loads((folder(name) / "pyproject.toml").read_text())["project"]
    declared = {word for word in project["dependencies"] if word.startswith("nemo-")}
    assert declared == {f"nemo-{needed}" for needed in NEEDS[name]}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("action", ["import", "--help", "commands' help"])
def test_no_heavy_library_is_loaded_to_import_or_to_answer_help(name, action):
    calls = {"import": "", "--help": "assert cli.main(['--help']) == 0"}
    calls["commands' help"] = "assert not any(cli.main([c.name, '--help']) for c in cli.PROGRAM.commands)"
    script = f"""
import contextlib, io, json, sys
import nemo_{name}
from nemo_{name} import cli
with contextlib.redirect_stdout(io.StringIO()):
    {calls[action] or "pass"}
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
