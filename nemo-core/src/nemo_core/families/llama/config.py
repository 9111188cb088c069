"""``config.json`` of LlamaForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config."""
    return ModelConfig(family="llama", **read_llama(hf))


def read_llama(hf: HFConfig, *, theta: float = 10_000.0, **tokens: int) -> dict[str, Any]:
    """What Llama and its relatives have in common; `theta` and `tokens` are the family's defaults."""
    return {
        **read_shape(hf),
        **read_tokens(hf, **tokens),
        "max_positions": hf.get("max_position_embeddings", 2048),
        "norm_eps": hf.get("rms_norm_eps", 1e-6),
        "rope": read_rope(hf, theta=theta),
        "activation": hf.activation("hidden_act", default="silu"),
        "attention_bias": hf.flag("attention_bias"),
        "output_bias": hf.flag("attention_bias"),
        "mlp_bias": hf.flag("mlp_bias"),
        "tied_embeddings": hf.flag("tie_word_embeddings"),
    }


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Llama folder."""
    return {"model_type": "llama", **write_llama(config)}


def write_llama(config: ModelConfig) -> dict[str, Any]:
    """The entries that `read_llama` reads."""
    return {
        **write_shape(config),
        **write_rope(config.rope),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
    }
