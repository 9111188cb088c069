"""`nemo-core recipe`: settings to pretrain a published size with, as a YAML file to keep and change."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from ..foundation.errors import ConfigError
from ..foundation.settings import RecipeLoader, did_you_mean

TABLE = Path(__file__).with_name("recipes.yaml")


@dataclass(frozen=True, kw_only=True)
class RecipeSettings:
    """The name of a size in, the settings of a pretraining run out."""

    size: Annotated[str, Meta(description="a size such as nano or llama3-8b; an unknown name lists all")]


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a paper states of a run; tokens as floats, since 2.0e12 is how they are written."""

    sequence_length: int
    batch_size: int
    learning_rate: float
    tokens: float
    warmup_steps: int = 0
    warmup_tokens: float = 0.0
    minimum_ratio: float = 0.1
    weight_decay: float = 0.1
    optimizer: str = "adamw"


@functools.cache
def published_recipes() -> dict[str, Published]:
    """Every recipe by the name of its size."""
    values = yaml.load(TABLE.read_text(encoding="utf-8"), Loader=RecipeLoader)  # noqa: S506 - a safe loader
    return msgspec.convert(values, dict[str, Published])


def recipe(size: str) -> dict[str, Any]:
    """Settings of `nemo-core pretrain`. Raises ConfigError for a size without a recipe."""
    known = published_recipes()
    if size not in known:
        raise ConfigError(f"size={size!r} has no recipe; one of {', '.join(known)}{did_you_mean(size, known)}")
    found = known[size]
    step_tokens = found.batch_size * found.sequence_length
    return {
        "size": size,
        "steps": round(found.tokens / step_tokens),
        "batch_size": found.batch_size,
        "micro_batch_size": 1 if found.sequence_length >= 2048 else 0,
        "sequence_length": found.sequence_length,
        "learning_rate": found.learning_rate,
        "schedule": {
            "kind": "cosine",
            "warmup_steps": found.warmup_steps or round(found.warmup_tokens / step_tokens),
            "minimum_ratio": found.minimum_ratio,
        },
        "optimizer": {
            "kind": found.optimizer,
            "beta1": 0.9,
            "beta2": 0.95,
            "weight_decay": found.weight_decay,
            "max_grad_norm": 1.0,
        },
    }


def run(settings: RecipeSettings) -> None:
    """Print the recipe as YAML; add tokens=... (or data=[...]) and output=... to run it."""
    print(yaml.safe_dump(recipe(settings.size), sort_keys=False), end="")
