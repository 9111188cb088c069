"""``config.json`` of Qwen3MoeForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, MoEConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; queries and keys are normalised per head, some layers may be dense."""
    return ModelConfig(
        family="qwen3_moe",
        **read_shape(hf, kv_heads=4),
        **read_tokens(hf),
        max_positions=hf.get("max_position_embeddings", 32768),
        norm_eps=hf.get("rms_norm_eps", 1e-6),
        rope=read_rope(hf),
        window=hf.get("sliding_window", 4096) if hf.get("use_sliding_window") else None,
        qk_norm="head",
        activation=hf.activation("hidden_act", default="silu"),
        attention_bias=hf.flag("attention_bias"),
        output_bias=hf.flag("attention_bias"),
        moe=read_experts(hf),
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def read_experts(hf: HFConfig) -> MoEConfig:
    """Experts in every ``decoder_sparse_step``-th layer that ``mlp_only_layers`` does not name."""
    step, dense = hf.get("decoder_sparse_step", 1), hf.get("mlp_only_layers") or []
    layers = range(hf.need("num_hidden_layers"))
    return MoEConfig(
        num_experts=hf.get("num_experts", hf.get("num_local_experts", 128)),
        top_k=hf.get("num_experts_per_tok", 8),
        ffn_size=hf.get("moe_intermediate_size", 768),
        normalize=hf.flag("norm_topk_prob"),
        dense_layers=tuple(layer for layer in layers if layer in dense or (layer + 1) % step),
        balance_loss=hf.get("router_aux_loss_coef", 0.001),
        balances=bool(hf.get("output_router_logits")),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Qwen 3 MoE folder."""
    moe = config.moe or MoEConfig(num_experts=1, top_k=1, ffn_size=config.ffn_size)
    return {
        "model_type": "qwen3_moe",
        **write_shape(config),
        **write_rope(config.rope),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "attention_bias": config.attention_bias,
        "use_sliding_window": config.window is not None,
        "sliding_window": config.window,
        **write_experts(moe),
    }


def write_experts(moe: MoEConfig) -> dict[str, Any]:
    """The entries that `read_experts` reads."""
    return {
        "num_experts": moe.num_experts,
        "num_experts_per_tok": moe.top_k,
        "moe_intermediate_size": moe.ffn_size,
        "norm_topk_prob": moe.normalize,
        "mlp_only_layers": list(moe.dense_layers),
        "decoder_sparse_step": 1,
        "router_aux_loss_coef": moe.balance_loss,
        "output_router_logits": moe.balances,
    }
