"""A size name gives a whole model shape: one dial for beginners, and the published models by name.

The published sizes are facts of their ``config.json`` files, kept in ``sizes.json``.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import ModelConfig
from .families import config_from_hf
from .foundation.errors import ConfigError
from .foundation.settings import did_you_mean

PUBLISHED = Path(__file__).with_name("sizes.json")


@dataclass(frozen=True)
class Size:
    """Depth and width; everything else follows."""

    layers: int
    hidden: int
    head_dim: int


SIZES: dict[str, Size] = {
    "nano": Size(4, 128, 32),
    "micro": Size(6, 192, 32),
    "mini": Size(6, 320, 64),
    "small": Size(8, 512, 64),
    "base": Size(12, 768, 64),
}


@functools.cache
def published_sizes() -> Mapping[str, Mapping[str, Any]]:
    """The values of ``config.json`` by name."""
    sizes: dict[str, dict[str, Any]] = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return sizes


def size_names() -> tuple[str, ...]:
    """Every name, the dial's first."""
    return (*SIZES, *published_sizes())


def check_size(name: str) -> None:
    """Raise ConfigError for a name that is no size."""
    if name not in size_names():
        raise ConfigError(
            f"size={name!r} is unknown; known: {', '.join(size_names())}{did_you_mean(name, size_names())}"
        )


def published_config(name: str) -> ModelConfig:
    """A published model as it is, vocabulary and positions included."""
    check_size(name)
    return config_from_hf(published_sizes()[name], place=f"{PUBLISHED.name}: {name}")


def model_config(size: str, *, vocab_size: int, max_positions: int, eos_id: int, pad_id: int) -> ModelConfig:
    """A model of the named size for another vocabulary.

    Sizes of the dial have Llama's shape: ffn 8/3 of the hidden width, one KV head per two heads, tied embeddings.
    """
    check_size(size)
    if size not in SIZES:
        values = {**published_sizes()[size], "vocab_size": vocab_size, "max_position_embeddings": max_positions}
        values |= {"n_positions": max_positions, "bos_token_id": None, "eos_token_id": eos_id, "pad_token_id": pad_id}
        return config_from_hf(values, place=f"size {size}")
    shape = SIZES[size]
    heads = shape.hidden // shape.head_dim
    return ModelConfig(
        vocab_size=vocab_size,
        hidden_size=shape.hidden,
        num_layers=shape.layers,
        num_heads=heads,
        num_kv_heads=heads // 2 if heads % 2 == 0 else heads,
        head_dim=shape.head_dim,
        ffn_size=-(-shape.hidden * 8 // 3 // 32) * 32,
        max_positions=max_positions,
        tied_embeddings=True,
        eos_id=eos_id,
        pad_id=pad_id,
    )
