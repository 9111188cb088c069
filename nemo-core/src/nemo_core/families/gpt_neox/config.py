"""``config.json`` of GPTNeoXForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, NormConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope

NORM = NormConfig(kind="layer", bias=True)


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; a quarter of each head is turned, attention and feed-forward run side by side."""
    bias = hf.flag("attention_bias", True)
    return ModelConfig(
        family="gpt_neox",
        **read_shape(hf),
        **read_tokens(hf, bos=0, eos=2),
        max_positions=hf.get("max_position_embeddings", 2048),
        norm=NORM,
        norm_eps=hf.get("layer_norm_eps", 1e-5),
        rope=read_rope(hf, theta=hf.get("rotary_emb_base", 10_000.0), share=hf.get("rotary_pct", 0.25)),
        residual="parallel" if hf.get("use_parallel_residual", True) else "sequential",
        activation=hf.activation("hidden_act", default="gelu"),
        gated_mlp=False,
        attention_bias=bias,
        output_bias=bias,
        mlp_bias=True,
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a GPT-NeoX folder."""
    foreign = ("num_key_value_heads", "head_dim")
    theta, share = (config.rope.theta, config.rope.rotary_share) if config.rope else (10_000.0, 1.0)
    return {
        "model_type": "gpt_neox",
        **{name: value for name, value in write_shape(config).items() if name not in foreign},
        **write_rope(config.rope),
        "rotary_emb_base": theta,
        "rotary_pct": share,
        "use_parallel_residual": config.residual == "parallel",
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "layer_norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
        "hidden_dropout": 0.0,
    }
