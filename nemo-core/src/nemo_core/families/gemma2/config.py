"""``config.json`` of Gemma2ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, NormConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_layer_kinds, read_shape, read_tokens, write_layer_kinds, write_shape
from ..rope import read_rope, write_rope

NORM = NormConfig(zero_centered=True, placement="sandwich")


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; every other layer has a window, scores are soft-capped."""
    return ModelConfig(
        family="gemma2",
        **read_gemma(hf),
        rope=read_rope(hf),
        max_positions=hf.get("max_position_embeddings", 8192),
        **read_layer_kinds(with_window(hf), alternating(hf, 2)),
        attention_softcap=hf.get("attn_logit_softcapping", 50.0),
        logit_softcap=hf.get("final_logit_softcapping", 30.0),
    )


def read_gemma(hf: HFConfig) -> dict[str, Any]:
    """What Gemma 2 and 3 have in common."""
    hf.fixed(use_bidirectional_attention=False)
    bias = hf.flag("attention_bias")
    return {
        **read_shape(hf, kv_heads=4),
        "head_dim": hf.get("head_dim", 256),
        **read_tokens(hf, bos=2, eos=1, pad=0),
        "norm": NORM,
        "norm_eps": hf.get("rms_norm_eps", 1e-6),
        "query_scale": hf.get("query_pre_attn_scalar", 256) ** -0.5,
        "activation": hf.activation("hidden_activation", "hidden_act", default="gelu_pytorch_tanh"),
        "attention_bias": bias,
        "output_bias": bias,
        "embedding_scale": hf.need("hidden_size") ** 0.5,
        "tied_embeddings": hf.flag("tie_word_embeddings", True),
    }


def with_window(hf: HFConfig) -> HFConfig:
    """The config with the family's window where it names none."""
    return HFConfig({"sliding_window": 4096, **hf.values}, hf.place)


def alternating(hf: HFConfig, period: int) -> list[str]:
    """Layer types where every `period`-th layer sees everything."""
    layers = range(1, hf.need("num_hidden_layers") + 1)
    return ["sliding_attention" if layer % period else "full_attention" for layer in layers]


def write_gemma(config: ModelConfig) -> dict[str, Any]:
    """The entries that `read_gemma` reads."""
    scalar = config.attention_scale**-2
    whole = round(scalar)
    return {
        **write_shape(config),
        **write_layer_kinds(config),
        "hidden_activation": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
        "query_pre_attn_scalar": whole if whole and whole**-0.5 == config.query_scale else scalar,
        "attn_logit_softcapping": config.attention_softcap,
        "final_logit_softcapping": config.logit_softcap,
    }


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Gemma 2 folder."""
    return {"model_type": "gemma2", **write_gemma(config), **write_rope(config.rope)}
