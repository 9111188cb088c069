"""``config.json`` of GemmaForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, NormConfig
from ..gemma2.config import read_gemma
from ..hf import ACTIVATION_NAMES, HFConfig, write_shape
from ..rope import read_rope, write_rope

NORM = NormConfig(zero_centered=True)


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; as in transformers, "gelu" is what the first folders call its tanh approximation."""
    named = hf.get("hidden_act") or "gelu"
    tanh = HFConfig({**hf.values, "hidden_activation": "gelu_pytorch_tanh" if named == "gelu" else named}, hf.place)
    shape = {**read_gemma(tanh), "norm": NORM, "query_scale": None}
    if hf.get("num_key_value_heads") is None:
        shape["num_kv_heads"] = shape["num_heads"]
    return ModelConfig(
        family="gemma", **shape, rope=read_rope(hf), max_positions=hf.get("max_position_embeddings", 8192)
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Gemma folder."""
    return {
        "model_type": "gemma",
        **write_shape(config),
        **write_rope(config.rope),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "hidden_activation": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
    }
