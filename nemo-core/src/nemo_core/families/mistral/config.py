"""``config.json`` of MistralForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; every layer has the window."""
    return ModelConfig(
        family="mistral",
        **read_shape(hf, kv_heads=8),
        **read_tokens(hf, bos=1, eos=2),
        max_positions=hf.get("max_position_embeddings", 4096 * 32),
        norm_eps=hf.get("rms_norm_eps", 1e-6),
        rope=read_rope(hf),
        window=hf.get("sliding_window", 4096),
        activation=hf.activation("hidden_act", default="silu"),
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Mistral folder."""
    return {
        "model_type": "mistral",
        **write_shape(config),
        **write_rope(config.rope),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "sliding_window": config.window,
    }
