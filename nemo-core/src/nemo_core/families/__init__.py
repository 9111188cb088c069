"""Which Hugging Face architectures are known, and the folder here that maps each.

A family is a folder with the same two files: ``config.py`` (``from_hf``, ``to_hf``) and ``weights.py`` (``layout``).
Other distributions add families through entry points of the group ``nemo_core.families``, named by architecture, whose
value is the package that holds the two files. Nothing here loads torch; `families.layout` does.
"""

import dataclasses
import functools
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import msgspec

from ..config import ModelConfig
from ..foundation.errors import ArtifactError, ConfigError
from ..foundation.settings import did_you_mean
from .hf import HFConfig, write_tokens

FAMILIES = {
    "GPT2LMHeadModel": "gpt2",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "MixtralForCausalLM": "mixtral",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen2MoeForCausalLM": "qwen2_moe",
    "Qwen3ForCausalLM": "qwen3",
    "Qwen3MoeForCausalLM": "qwen3_moe",
    "GemmaForCausalLM": "gemma",
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3",
    "NemotronForCausalLM": "nemotron",
    "Phi3ForCausalLM": "phi3",
    "Starcoder2ForCausalLM": "starcoder2",
    "FalconForCausalLM": "falcon",
    "DeepseekV2ForCausalLM": "deepseek_v2",
    "DeepseekV3ForCausalLM": "deepseek_v3",
    "Olmo2ForCausalLM": "olmo2",
    "Olmo3ForCausalLM": "olmo3",
    "SmolLM3ForCausalLM": "smollm3",
    "GPTNeoXForCausalLM": "gpt_neox",
}


SPELLINGS = {"LLaMAForCausalLM": "LlamaForCausalLM"}
ENDINGS = ("ForCausalLM", "LMHeadModel")


@functools.cache
def family_packages() -> dict[str, str]:
    """The package of each architecture."""
    ours = {architecture: f"{__name__}.{family}" for architecture, family in FAMILIES.items()}
    return {**{entry.name: entry.value for entry in entry_points(group="nemo_core.families")}, **ours}


def family_names() -> dict[str, str]:
    """Families by name, with the architecture that they write."""
    return {package.rsplit(".", 1)[1]: architecture for architecture, package in reversed(family_packages().items())}


def config_from_hf(values: Mapping[str, Any], *, place: str) -> ModelConfig:
    """The canonical config of a Hugging Face ``config.json``.

    Raises ArtifactError for an architecture nobody maps, a missing key, or a setting that has no counterpart here.
    """
    packages = family_packages()
    named = architecture_of(values)
    if named not in packages:
        raise ArtifactError(
            f"{place}: architecture {named!r} is not supported; known: {', '.join(packages)}"
            f"{did_you_mean(named, packages)}"
        )
    refuse_quantized(values, place)
    try:
        config: ModelConfig = family_part(packages[named], "config").from_hf(HFConfig(values, place))
        return with_stretched_positions(msgspec.convert(dataclasses.asdict(config), ModelConfig))
    except ConfigError as error:
        raise ArtifactError(f"{place}: contradicts itself: {error}") from None
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ArtifactError(f"{place}: holds a value of a wrong kind or size: {error}") from None


def architecture_of(values: Mapping[str, Any]) -> str:
    """The causal model that a ``config.json`` names, or whose body it names ("LlamaModel"), or by its model type."""
    listed = values.get("architectures") or []
    named = listed if isinstance(listed, str) else str(next(iter(listed), ""))
    if not named:
        family = str(values.get("model_type", "")).removesuffix("_text")
        return family_names().get(family, f"{family.capitalize()}ForCausalLM")
    bodies = {
        architecture.removesuffix(ending) + body: architecture
        for architecture in family_packages()
        for ending in ENDINGS
        if architecture.endswith(ending)
        for body in ("Model", "TextModel")
    }
    return {**bodies, **SPELLINGS}.get(named, named)


def refuse_quantized(values: Mapping[str, Any], place: str) -> None:
    """Raise ArtifactError for a folder whose weights are said to be quantised."""
    entry = values.get("quantization_config")
    if entry:
        method = entry.get("quant_method") if isinstance(entry, Mapping) else entry
        raise ArtifactError(
            f"{place}: quantization_config (quant_method={method!r}) is not representable; take the folder that the "
            "quantised one was made of, or remove the entry where the weights are plain"
        )


def with_stretched_positions(config: ModelConfig) -> ModelConfig:
    """Positions to the end of the stretch, where yarn was added to a config that was otherwise left as it was."""
    rope = config.rope
    if rope is None or rope.kind != "yarn" or rope.original_positions != config.max_positions:
        return config
    return dataclasses.replace(config, max_positions=int(rope.original_positions * rope.factor))


def config_to_hf(config: ModelConfig, *, dtype: str) -> dict[str, Any]:
    """The ``config.json`` of a model, as current transformers writes it.

    Raises ConfigError naming a setting that the config's family has no words for: what is written is read again and
    has to be the same.
    """
    architecture, package = package_of(config.family)
    values: dict[str, Any] = {"architectures": [architecture], **family_part(package, "config").to_hf(config)}
    values = {**values, **write_tokens(config), "dtype": dtype}
    try:
        again = config_from_hf(values, place="as config.json")
    except ArtifactError as error:
        raise ConfigError(f"family {config.family!r} cannot represent this model: {error}") from None
    lost = [
        f"{field.name}={getattr(config, field.name)!r} (would be read as {getattr(again, field.name)!r})"
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(again, field.name)
    ]
    if lost:
        raise ConfigError(f"family {config.family!r} cannot represent {'; '.join(lost)}; choose another family")
    return values


def package_of(family: str) -> tuple[str, str]:
    """Architecture and package of a family; ConfigError for one that does not exist."""
    names = family_names()
    if family not in names:
        known = ", ".join(sorted(names))
        raise ConfigError(f"family={family!r} is unknown; known: {known}{did_you_mean(family, names)}")
    return names[family], family_packages()[names[family]]


def family_part(package: str, part: str) -> ModuleType:
    """The `part` ("config" or "weights") of a family."""
    return importlib.import_module(f"{package}.{part}")
