"""The stages of all packages, read from the contracts they ship, and the smallest real run of each."""

import contextlib
import importlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from contracts.files import MAKERS
from packages import ALL, folder

REFERENCE = "@"
FILE = "@file:"
MODEL = "http://model/v1"
"""Stands for the address of a model to ask."""


def contracts() -> dict[str, dict[str, Any]]:
    """Every stage contract by its stage name."""
    files = [path for name in ALL for path in sorted((folder(name) / f"src/nemo_{name}/stages").glob("*.json"))]
    return {body["stage"]: body for body in (json.loads(path.read_text(encoding="utf-8")) for path in files)}


def smallest() -> dict[str, dict[str, Any]]:
    """Settings of the smallest real run of every stage; "@stage" stands for the output of another."""
    return yaml.safe_load((Path(__file__).parent / "smallest.yaml").read_text(encoding="utf-8"))


def replaced(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with every text in it changed."""
    if isinstance(value, dict):
        return {name: replaced(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def references(value: Any) -> list[str]:
    """The stages whose artifacts a value refers to; a folder inside one is no artifact."""
    found: list[str] = []
    replaced(value, lambda text: found.append(text) or text)
    return [text.removeprefix(REFERENCE) for text in found if text.startswith(REFERENCE) and ":" not in text]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command line ended."""

    exit_code: int
    out: str
    err: str


def call(stage: str, settings: dict[str, Any], recipe: Path) -> Ended:
    """Run a stage's command in this process, its settings in the file `recipe`."""
    package, _, command = stage.partition("/")
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(json.dumps(settings), encoding="utf-8")
    main = importlib.import_module(f"{package.replace('-', '_')}.cli").main
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([command, str(recipe)])
    return Ended(exit_code=code, out=out.getvalue(), err=err.getvalue())


@dataclass
class Workshop:
    """Makes the artifact of a stage, and those it needs, once; `model` is the address of a model to ask."""

    folder: Path
    model: str
    made: dict[str, Path] = field(default_factory=dict)

    def make(self, stage: str) -> Path:
        """The folder of the artifact that the smallest run of `stage` writes."""
        if stage not in self.made:
            output = self.folder / stage.replace("/", "-")
            settings = {**self.settings(stage), "output": str(output)}
            ended = call(stage, settings, self.folder / f"{output.name}.yaml")
            assert ended.exit_code == 0, f"{stage} ended with {ended.exit_code}:\n{ended.err}"
            self.made[stage] = output
        return self.made[stage]

    def settings(self, stage: str) -> dict[str, Any]:
        """The smallest settings of `stage`, its references made real."""
        return replaced(smallest()[stage], self.real)

    def file(self, name: str) -> Path:
        """A file that no stage makes, made once."""
        path = self.folder / "files" / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                MAKERS[name](path)
        return path

    def real(self, text: str) -> str:
        """The path that a reference stands for; other text as it is."""
        if text == MODEL:
            return self.model
        if text.startswith(FILE):
            return str(self.file(text.removeprefix(FILE)))
        if not text.startswith(REFERENCE):
            return text
        stage, _, inner = text.removeprefix(REFERENCE).partition(":")
        return str(self.make(stage) / inner)
