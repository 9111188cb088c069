"""Which Hugging Face architectures are known, and the folder here that maps each.

A family is a folder with the same two files: ``config.py`` (``from_hf``, ``to_hf``) and ``weights.py`` (how tensor
names differ).
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ..config import ModelConfig
from ..foundation.errors import ArtifactError
from ..foundation.settings import did_you_mean

FAMILIES = {"LlamaForCausalLM": "llama"}


def config_from_hf(values: Mapping[str, Any], *, place: str) -> ModelConfig:
    """The canonical config of a Hugging Face ``config.json``; ArtifactError for an architecture nobody maps."""
    named = values.get("architectures") or [f"{values.get('model_type', '')}".capitalize() + "ForCausalLM"]
    if named[0] not in FAMILIES:
        raise ArtifactError(
            f"{place}: architecture {named[0]!r} is not supported; known: {', '.join(FAMILIES)}"
            f"{did_you_mean(named[0], FAMILIES)}"
        )
    config: ModelConfig = family_module(FAMILIES[named[0]], "config").from_hf(values, place=place)
    return config


def config_to_hf(config: ModelConfig, *, dtype: str) -> dict[str, Any]:
    """The ``config.json`` of a model, as current transformers writes it."""
    values: dict[str, Any] = family_module(config.family, "config").to_hf(config, dtype=dtype)
    return values


def family_module(family: str, part: str) -> ModuleType:
    """The `part` ("config" or "weights") of a family's folder."""
    return importlib.import_module(f"{__name__}.{family}.{part}")
