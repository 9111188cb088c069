"""Write docs/reference/cli-<package>.md from the commands each package declares; ``--check`` only compares."""

import importlib
import sys
from typing import Any

from packages import ALL, ROOT

PAGES = ROOT / "docs/reference"


def page(name: str) -> str:
    """The reference page of one package's console script."""
    foundation = "nemo_core" if name in ("core", "aligner", "deploy") else f"nemo_{name}"
    command_module = importlib.import_module(f"{foundation}.foundation.command")
    settings_module = importlib.import_module(f"{foundation}.foundation.settings")
    program = importlib.import_module(f"nemo_{name}.cli").PROGRAM
    parts = [f"# nemo-{name}", program.summary, intro(program)]
    parts += [section(command, command_module, settings_module) for command in program.commands]
    return "\n\n".join(parts) + "\n"


def intro(program: Any) -> str:
    """How every command of a program is called."""
    return (
        f"`{program.package} <command> [recipe.yaml] [key=value ...]`; a setting is taken from the command line, else "
        "from the recipe, else its default. `--print-config` shows the resolved settings, `doctor` checks the "
        "installation, `schema <command>` prints the JSON schema of the settings. Exit codes: 0 done, 1 a defect, 2 "
        "input or settings are wrong, 75 run again to continue, 130 interrupted."
    )


def section(command: Any, command_module: Any, settings_module: Any) -> str:
    """One command: what it does, its settings as a table, examples, and the artifacts it reads and writes."""
    rows = settings_module.describe(command_module.resolve(command.settings))
    table = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    table += [f"| `{row.key}` | {cell(row.kind)} | {default(row.default)} | {cell(row.about)} |" for row in rows]
    parts = [f"## {command.name}", command.summary, "\n".join(table)]
    if command.examples:
        parts.append("\n".join(["```bash no-run", *command.examples, "```"]))
    if command.stage:
        parts.append(artifacts(command.stage))
    return "\n\n".join(parts)


def artifacts(stage: Any) -> str:
    """Which artifact kinds a stage reads and writes, as a sentence."""
    reads = [f"`{name}` ({', '.join(wanted.kinds) or 'your own files'})" for name, wanted in stage.inputs.items()]
    writes = f"writes a `{stage.output}` artifact" if stage.output else "writes no artifact"
    return f"As a stage it reads {', '.join(reads) or 'no artifact'} and {writes}."


def cell(text: str) -> str:
    """Text that is safe inside a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def default(value: str) -> str:
    """A default as code; the word required as itself."""
    return value if value == "required" else f"`{cell(value)}`"


def main() -> int:
    """Write or compare the pages of all packages; 1 when `--check` finds a difference."""
    wanted = {PAGES / f"cli-{name}.md": page(name) for name in ALL}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        rows = [f"{path.relative_to(ROOT)}: stale; run tools/write_reference.py" for path in stale]
        print("\n".join(rows) or "reference pages are current")
        return 1 if stale else 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
