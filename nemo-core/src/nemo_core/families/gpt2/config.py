"""``config.json`` of GPT2LMHeadModel, both ways."""

from typing import Any

from ...config import ModelConfig, NormConfig
from ..hf import HFConfig, read_tokens

NORM = NormConfig(kind="layer", bias=True)
ACTIVATION_NAMES = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_new", "relu2": "relu2"}


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; positions are learned, everything has biases."""
    hf.fixed(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    hidden, heads = hf.get("n_embd", 768), hf.get("n_head", 12)
    return ModelConfig(
        family="gpt2",
        vocab_size=hf.need("vocab_size"),
        hidden_size=hidden,
        num_layers=hf.get("n_layer", 12),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        ffn_size=hf.get("n_inner") or 4 * hidden,
        max_positions=hf.get("n_positions", 1024),
        **read_tokens(hf, bos=50256, eos=50256),
        norm=NORM,
        norm_eps=hf.get("layer_norm_epsilon", 1e-5),
        rope=None,
        attention_bias=True,
        output_bias=True,
        mlp_bias=True,
        gated_mlp=False,
        activation=hf.activation("activation_function", default="gelu_new"),
        tied_embeddings=hf.flag("tie_word_embeddings", True),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a GPT-2 folder."""
    return {
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_embd": config.hidden_size,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_inner": config.ffn_size,
        "n_positions": config.max_positions,
        "activation_function": ACTIVATION_NAMES[config.activation],
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }
