"""``config.json`` of Qwen3ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..qwen2.config import read_windows, write_windows
from ..rope import read_rope, write_rope


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; queries and keys are normalised per head."""
    shape = read_shape(hf, kv_heads=32)
    return ModelConfig(
        family="qwen3",
        **{**shape, "head_dim": hf.get("head_dim", 128)},
        **read_tokens(hf),
        max_positions=hf.get("max_position_embeddings", 32768),
        norm_eps=hf.get("rms_norm_eps", 1e-6),
        rope=read_rope(hf),
        **read_windows(hf),
        qk_norm="head",
        activation=hf.activation("hidden_act", default="silu"),
        attention_bias=hf.flag("attention_bias"),
        output_bias=hf.flag("attention_bias"),
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Qwen 3 folder."""
    return {
        "model_type": "qwen3",
        **write_shape(config),
        **write_rope(config.rope),
        **write_windows(config),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
    }
