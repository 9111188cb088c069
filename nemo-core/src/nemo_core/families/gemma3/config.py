"""``config.json`` of Gemma3ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, RopeConfig
from ..gemma2.config import alternating, read_gemma, with_window, write_gemma
from ..hf import HFConfig, read_layer_kinds
from ..rope import read_ropes, write_ropes


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; five layers with a window to one without, each kind with a base of its own."""
    positions = hf.get("max_position_embeddings", 131_072)
    rope, local = read_ropes(hf, theta=1e6, local_theta=hf.get("rope_local_base_freq", 1e4))
    return ModelConfig(
        family="gemma3",
        **read_gemma(hf),
        qk_norm="head",
        rope=rope,
        local_rope=local,
        max_positions=positions,
        **read_layer_kinds(with_window(hf), alternating(hf, hf.get("sliding_window_pattern", 6))),
        attention_softcap=hf.get("attn_logit_softcapping"),
        logit_softcap=hf.get("final_logit_softcapping"),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Gemma 3 text folder."""
    rope, local = config.rope or RopeConfig(), config.local_rope or config.rope or RopeConfig()
    return {
        "model_type": "gemma3_text",
        **write_gemma(config),
        **write_ropes(rope, local),
        "rope_local_base_freq": local.theta,
    }
