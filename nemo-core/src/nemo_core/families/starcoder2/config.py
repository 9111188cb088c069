"""``config.json`` of Starcoder2ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, NormConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope

NORM = NormConfig(kind="layer", bias=True)


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; one switch for all biases."""
    bias = hf.flag("use_bias", True)
    return ModelConfig(
        family="starcoder2",
        **read_shape(hf, kv_heads=2),
        **read_tokens(hf, bos=50256, eos=50256),
        max_positions=hf.get("max_position_embeddings", 4096),
        norm=NORM,
        norm_eps=hf.get("norm_epsilon", 1e-5),
        rope=read_rope(hf),
        window=hf.get("sliding_window"),
        activation=hf.activation("hidden_act", default="gelu_pytorch_tanh"),
        gated_mlp=False,
        attention_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        tied_embeddings=hf.flag("tie_word_embeddings", True),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a StarCoder 2 folder."""
    return {
        "model_type": "starcoder2",
        **write_shape(config),
        **write_rope(config.rope),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "norm_epsilon": config.norm_eps,
        "sliding_window": config.window,
        "use_bias": config.attention_bias,
        "residual_dropout": 0.0,
        "embedding_dropout": 0.0,
    }
