"""``config.json`` of Olmo2ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, NormConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; norms stand after the blocks, queries and keys are normalised whole."""
    bias = hf.flag("attention_bias")
    return ModelConfig(
        family="olmo2",
        **read_shape(hf),
        **read_tokens(hf, eos=50279, pad=1),
        max_positions=hf.get("max_position_embeddings", 2048),
        norm=NormConfig(placement="post"),
        norm_eps=hf.get("rms_norm_eps", 1e-5),
        rope=read_rope(hf),
        qk_norm="projection",
        activation=hf.activation("hidden_act", default="silu"),
        attention_bias=bias,
        output_bias=bias,
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of an OLMo 2 folder."""
    return {
        "model_type": "olmo2",
        **write_shape(config),
        **write_rope(config.rope),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
    }
