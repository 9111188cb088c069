"""Ready pipelines: the steps and limits of published recipes, as data."""

from functools import cache
from importlib.resources import files
from typing import Any

from ..foundation.errors import ConfigError
from ..foundation.settings import RecipeLoader, did_you_mean
from ..recipe import Pipelines


@cache
def texts() -> dict[str, str]:
    """The YAML of every ready pipeline by name."""
    found = [each for each in files(__package__).iterdir() if each.name.endswith(".yaml")]
    return {each.name.removesuffix(".yaml"): each.read_text(encoding="utf-8") for each in sorted(found, key=str)}


def ready(name: str) -> list[Any]:
    """The steps of a ready pipeline. Raises ConfigError for an unknown name."""
    steps: list[Any] = RecipeLoader(text_of(name)).get_single_data()["pipeline"]
    return steps


def text_of(name: str) -> str:
    """The YAML of a ready pipeline. Raises ConfigError for an unknown name."""
    known = texts()
    if name not in known:
        raise ConfigError(f"pipeline: unknown name {name!r}{did_you_mean(name, known)} (ready: {', '.join(known)})")
    return known[name]


def about(text: str) -> str:
    """What the comment at the head of a pipeline says."""
    lines = text.splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    return " ".join(line.removeprefix("#").strip() for line in head)


def run(settings: Pipelines) -> list[dict[str, Any]] | None:
    """Every ready pipeline with what it is; one that is named is printed as it stands."""
    if settings.name:
        print(text_of(settings.name), end="")
        return None
    return [{"name": name, "about": about(text), "steps": ready(name)} for name, text in texts().items()]
