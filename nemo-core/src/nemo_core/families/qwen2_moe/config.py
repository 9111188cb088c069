"""``config.json`` of Qwen2MoeForCausalLM, both ways."""

import dataclasses
from typing import Any

from ...config import ModelConfig, MoEConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_layer_kinds, read_shape, read_tokens, write_layer_kinds, write_shape
from ..qwen3_moe.config import read_experts, write_experts
from ..rope import read_rope, write_rope

EXPERTS = {"num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408}


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; beside the chosen experts there is one for all tokens, with a gate."""
    hf.fixed(qkv_bias=True)
    experts = read_experts(HFConfig({**EXPERTS, **hf.values}, hf.place))
    shared = hf.get("shared_expert_intermediate_size", 5632)
    return ModelConfig(
        family="qwen2_moe",
        **read_shape(hf, kv_heads=16),
        **read_tokens(hf),
        max_positions=hf.get("max_position_embeddings", 32768),
        norm_eps=hf.get("rms_norm_eps", 1e-6),
        rope=read_rope(hf),
        **read_windows(hf),
        activation=hf.activation("hidden_act", default="silu"),
        attention_bias=True,
        moe=dataclasses.replace(experts, shared_ffn_size=shared, shared_gate=True),
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def read_windows(hf: HFConfig) -> dict[str, Any]:
    """Windows in every other of the first ``max_window_layers`` layers, where ``use_sliding_window`` is on."""
    if not hf.get("use_sliding_window"):
        return {}
    first = hf.get("max_window_layers", 28)
    layers = range(hf.need("num_hidden_layers"))
    default = ["full_attention" if layer % 2 or layer >= first else "sliding_attention" for layer in layers]
    return read_layer_kinds(HFConfig({"sliding_window": 4096, **hf.values}, hf.place), default)


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Qwen 2 MoE folder."""
    kinds = write_layer_kinds(config)
    moe = config.moe or MoEConfig(num_experts=1, top_k=1, ffn_size=config.ffn_size)
    return {
        "model_type": "qwen2_moe",
        **write_shape(config),
        **write_rope(config.rope),
        **kinds,
        **write_experts(moe),
        "use_sliding_window": "sliding_attention" in kinds["layer_types"],
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "shared_expert_intermediate_size": moe.shared_ffn_size,
        "qkv_bias": True,
    }
