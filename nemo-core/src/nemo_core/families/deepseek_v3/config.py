"""``config.json`` of DeepseekV3ForCausalLM, both ways."""

import dataclasses
from typing import Any

from ...config import MLAConfig, ModelConfig, MoEConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_tokens, write_shape
from ..rope import read_rope, write_rope, yarn_query_scale

EXPERTS = {"n_routed_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "first_k_dense_replace": 3}


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; layers of multi-token prediction are left out, as transformers does."""
    hf.fixed(rope_interleave=True, moe_layer_freq=1, topk_method="noaux_tc", scoring_func="sigmoid")
    experts = read_experts(hf, EXPERTS)
    experts = dataclasses.replace(
        experts,
        score="sigmoid",
        normalize=hf.flag("norm_topk_prob", True),
        scale=hf.get("routed_scaling_factor", 2.5),
        correction_bias=True,
        groups=hf.get("n_group", 8),
        top_groups=hf.get("topk_group", 4),
    )
    return ModelConfig(family="deepseek_v3", **read_latent(hf), moe=experts)


def read_experts(hf: HFConfig, defaults: dict[str, int], *, shared: int = 1) -> MoEConfig:
    """Counts and widths of experts; the first layers are dense."""
    values = {**defaults, **{name: hf.get(name) for name in defaults if hf.get(name) is not None}}
    layers = hf.need("num_hidden_layers")
    return MoEConfig(
        num_experts=values["n_routed_experts"],
        top_k=values["num_experts_per_tok"],
        ffn_size=values["moe_intermediate_size"],
        shared_ffn_size=values["moe_intermediate_size"] * hf.get("n_shared_experts", shared),
        dense_layers=tuple(range(min(values["first_k_dense_replace"], layers))),
        balance_loss=hf.get("aux_loss_alpha", 0.001),
        balance_over="sequence" if hf.get("seq_aux", True) else "batch",
    )


def read_latent(hf: HFConfig) -> dict[str, Any]:
    """What DeepSeek V2 and V3 have in common."""
    mla = MLAConfig(
        kv_rank=hf.get("kv_lora_rank", 512),
        q_rank=hf.get("q_lora_rank", 1536),
        plain_dim=hf.get("qk_nope_head_dim", 128),
        rotary_dim=hf.get("qk_rope_head_dim", 64),
        value_dim=hf.get("v_head_dim", 128),
    )
    heads, head_dim = hf.need("num_attention_heads"), mla.plain_dim + mla.rotary_dim
    bias, rope = hf.flag("attention_bias"), read_rope(hf)
    return {
        "vocab_size": hf.need("vocab_size"),
        "hidden_size": hf.need("hidden_size"),
        "num_layers": hf.need("num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": heads,
        "head_dim": head_dim,
        "ffn_size": hf.need("intermediate_size"),
        "max_positions": hf.get("max_position_embeddings", 4096),
        "norm_eps": hf.get("rms_norm_eps", 1e-6),
        "rope": rope,
        "query_scale": yarn_query_scale(rope, head_dim),
        "mla": mla,
        "activation": hf.activation("hidden_act", default="silu"),
        "attention_bias": bias,
        "output_bias": bias,
        "tied_embeddings": hf.flag("tie_word_embeddings"),
        **read_tokens(hf, bos=0, eos=1),
    }


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a DeepSeek V3 folder."""
    return {
        "model_type": "deepseek_v3",
        **write_latent(config),
        **write_experts(config),
        "rope_interleave": True,
        "num_nextn_predict_layers": 0,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
    }


def write_latent(config: ModelConfig) -> dict[str, Any]:
    """The entries that `read_latent` reads."""
    mla = config.mla
    latent = (
        {}
        if mla is None
        else {
            "kv_lora_rank": mla.kv_rank,
            "q_lora_rank": mla.q_rank,
            "qk_nope_head_dim": mla.plain_dim,
            "qk_rope_head_dim": mla.rotary_dim,
            "v_head_dim": mla.value_dim,
        }
    )
    shape = {name: value for name, value in write_shape(config).items() if name != "head_dim"}
    return {
        **shape,
        **latent,
        **write_rope(config.rope),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
    }


def write_experts(config: ModelConfig) -> dict[str, Any]:
    """The entries that `read_experts` reads, and how experts are chosen."""
    moe = config.moe or MoEConfig(num_experts=1, top_k=1, ffn_size=config.ffn_size)
    return {
        "n_routed_experts": moe.num_experts,
        "num_experts_per_tok": moe.top_k,
        "moe_intermediate_size": moe.ffn_size,
        "n_shared_experts": moe.shared_ffn_size // moe.ffn_size,
        "first_k_dense_replace": len(moe.dense_layers) if config.moe else config.num_layers,
        "norm_topk_prob": moe.normalize,
        "routed_scaling_factor": moe.scale,
        "n_group": moe.groups,
        "topk_group": moe.top_groups,
        "moe_layer_freq": 1,
        "aux_loss_alpha": moe.balance_loss,
        "seq_aux": moe.balance_over == "sequence",
    }
