"""``config.json`` of NemotronForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, NormConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope

NORM = NormConfig(kind="layer", bias=True, zero_centered=True)


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; half of each head is turned, the feed-forward squares a ReLU."""
    bias = hf.flag("attention_bias")
    return ModelConfig(
        family="nemotron",
        **read_shape(hf),
        **read_tokens(hf, bos=2, eos=3),
        max_positions=hf.get("max_position_embeddings", 4096),
        norm=NORM,
        norm_eps=hf.get("norm_eps", 1e-5),
        rope=read_rope(hf, share=0.5),
        activation=hf.activation("hidden_act", default="relu2"),
        gated_mlp=False,
        attention_bias=bias,
        output_bias=bias,
        mlp_bias=hf.flag("mlp_bias"),
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Nemotron folder."""
    share = config.rope.rotary_share if config.rope else 1.0
    return {
        "model_type": "nemotron",
        **write_shape(config),
        **write_rope(config.rope),
        "partial_rotary_factor": share,
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
    }
