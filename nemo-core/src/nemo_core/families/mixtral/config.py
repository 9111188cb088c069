"""``config.json`` of MixtralForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, MoEConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; every layer has experts."""
    moe = MoEConfig(
        num_experts=hf.get("num_local_experts", hf.get("num_experts", 8)),
        top_k=hf.get("num_experts_per_tok", 2),
        ffn_size=hf.need("intermediate_size"),
        balance_loss=hf.get("router_aux_loss_coef", 0.001),
        balances=bool(hf.get("output_router_logits")),
    )
    return ModelConfig(
        family="mixtral",
        **read_shape(hf, kv_heads=8),
        **read_tokens(hf, bos=1, eos=2),
        max_positions=hf.get("max_position_embeddings", 4096 * 32),
        norm_eps=hf.get("rms_norm_eps", 1e-5),
        rope=read_rope(hf, theta=1_000_000.0),
        window=hf.get("sliding_window"),
        activation=hf.activation("hidden_act", default="silu"),
        moe=moe,
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Mixtral folder."""
    moe = config.moe or MoEConfig(num_experts=1, top_k=1, ffn_size=config.ffn_size)
    return {
        "model_type": "mixtral",
        **write_shape(config),
        **write_rope(config.rope),
        "intermediate_size": moe.ffn_size,
        "num_local_experts": moe.num_experts,
        "num_experts_per_tok": moe.top_k,
        "router_aux_loss_coef": moe.balance_loss,
        "output_router_logits": moe.balances,
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "sliding_window": config.window,
    }
