"""Settings come from defaults, a recipe and the command line; every mistake is named with its place."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from nemo_core.foundation import settings
from nemo_core.foundation.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Shape:
    layers: Annotated[int, Meta(ge=1, description="number of decoder layers")] = 2
    rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Job:
    output: Path
    shape: Shape = field(default_factory=Shape)
    mode: Literal["fast", "exact"] = "fast"
    title: str | None = None


def recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return path


def test_recipe_then_command_line(tmp_path):
    job = settings.load(Job, recipe(tmp_path, "output: a\nshape:\n  rate: 3e-4\n"), ["shape.layers=5", "output=b"])
    assert job == Job(output=Path("b"), shape=Shape(layers=5, rate=3e-4))


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("output: a\nshape:\n  layer: 3\n", [], r"job.yaml:3: unknown key 'shape.layer'; did you mean 'layers'\?"),
        ("output: a\nshape:\n  layers: 0\n", [], r"job.yaml:3: shape.layers: expected `int` >= 1, got 0"),
        ("output: a\nmode: quick\n", [], r"job.yaml:2: mode: invalid enum value 'quick' \(one of fast, exact\)"),
        ("output: a\n", ["shape.layers=many"], r"command line: shape.layers: expected `int`, got `str` 'many'"),
        ("title: x\n", [], r"output is required"),
        ("output: [\n", [], r"job.yaml: not valid YAML"),
        ("- 1\n", [], r"job.yaml: a recipe is a mapping"),
        ("output: a\n", ["nonsense"], r"'nonsense' is no setting; write key=value"),
        ("output: a\n", ["--batch-size", "8"], r"'--batch-size' is no setting; write key=value, batch_size=\.\.\."),
        ("output: a\n", ["output="], r"command line: output: expected a path, got nothing; is a variable"),
        ("output: a\n", ["output.deeper=1"], r"'output' holds a value"),
    ],
)
def test_mistakes_name_place_and_remedy(tmp_path, text, words, message):
    with pytest.raises(ConfigError, match=message):
        settings.load(Job, recipe(tmp_path, text), words)


@dataclass(frozen=True, kw_only=True)
class Part:
    use: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Composed:
    parts: list[Part] | None = None
    models: dict[str, Path] | None = None
    words: tuple[str, ...] = ()
    part: Part | None = None


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("parts=concise", "parts: expected `array | null`, got `str` 'concise'; write parts=[{use: ...}]"),
        ("parts=[concise]", "parts: expected `object`, got `str`; write parts=[{use: ...}]"),
        ("models=runs/chat", "models: expected `object | null`, got `str` 'runs/chat'; write models={NAME: ...}"),
        ("words=one", "words: expected `array`, got `str` 'one'; write a list: words=[one]"),
        ("part=concise", "part: expected `object | null`, got `str` 'concise'; write part={use: ...}"),
    ],
)
def test_a_single_value_where_several_belong_is_told_how_they_are_written(word, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        settings.load(Composed, None, [word])


def test_missing_recipe_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such recipe file"):
        settings.load(Job, tmp_path / "absent.yaml")


def test_numbers_read_as_people_write_them(tmp_path):
    assert settings.load(Job, None, ["output=yes", "shape.rate=1e-5"]) == Job(
        output=Path("yes"), shape=Shape(rate=1e-5)
    )


def test_text_that_looks_like_a_number_needs_no_quotes():
    job = settings.load(Job, None, ["output=2024", "title=0123", "shape.layers=3"])
    assert job == Job(output=Path("2024"), title="0123", shape=Shape(layers=3))
    assert settings.load(Job, None, ["output=a", "title=null"]).title is None


def test_schema_refuses_unknown_keys_and_documents_limits():
    schema = settings.schema(Job)
    assert schema["$defs"]["Shape"]["additionalProperties"] is False
    assert schema["$defs"]["Shape"]["properties"]["layers"]["minimum"] == 1
    assert schema["$defs"]["Job"]["required"] == ["output"]


def test_describe_lists_nested_keys():
    rows = {row.key: row for row in settings.describe(Job)}
    assert rows["shape.layers"].about == "number of decoder layers"
    assert rows["mode"].kind == "fast|exact"
    assert rows["output"].default == "required"
