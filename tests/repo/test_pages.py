"""READMEs have one shape, and name only sessions that exist."""

import ast

import pytest
from markdown_blocks import blocks, session_names
from packages import ALL, ROOT, folder

HEADINGS = [
    "What goes in",
    "What comes out",
    "One command",
    "One Python call",
    "Extension points",
    "Limits",
    "Development",
]


def known_sessions():
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("session" in ast.dump(d) for d in node.decorator_list)
    }


@pytest.mark.parametrize("name", ALL)
def test_a_readme_has_the_seven_headings_in_order(name):
    lines = (folder(name) / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line[3:] for line in lines if line.startswith("## ")] == HEADINGS


@pytest.mark.parametrize("name", ALL)
def test_a_readme_shows_a_command_and_a_python_call_that_run(name):
    found = [block.language for block in blocks((folder(name) / "README.md").read_text()) if block.runs]
    assert {"bash", "python"} <= set(found)


def test_pages_name_only_sessions_that_exist():
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("nemo-*/README.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
    unknown = [
        f"{page.relative_to(ROOT)}:{block.line}: {name}"
        for page in pages
        for block in blocks(page.read_text(encoding="utf-8"))
        for name in session_names(block.text)
        if name.split("(")[0] not in known_sessions()
    ]
    assert unknown == []


def test_the_front_page_shows_the_two_commands_and_stays_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python3 dev.py quickstart" in text and "python3 dev.py tests" in text
    assert len(text.splitlines()) <= 150
