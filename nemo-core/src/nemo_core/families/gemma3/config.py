"""``config.json`` of Gemma3ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig, RopeConfig
from ..gemma2.config import alternating, read_gemma, with_window, write_gemma
from ..hf import HFConfig, read_layer_kinds
from ..rope import parse_rope, rope_entry


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; five layers with a window to one without, each kind with a base of its own."""
    positions = hf.get("max_position_embeddings", 131_072)
    rope, local = read_ropes(hf)
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


def read_ropes(hf: HFConfig) -> tuple[RopeConfig, RopeConfig]:
    """Rotary settings of layers without a window and with one; ``rope_scaling`` is the former's."""
    nested = hf.get("rope_parameters") or {}
    outer = {"partial_rotary_factor": 1.0, "original_max_position_embeddings": hf.get("max_position_embeddings")}
    full = {
        "rope_theta": hf.get("rope_theta", 1e6),
        **(hf.get("rope_scaling") or {}),
        **nested.get("full_attention", {}),
    }
    local = {"rope_theta": hf.get("rope_local_base_freq", 1e4), **nested.get("sliding_attention", {})}
    return parse_rope({**outer, **full}, hf), parse_rope({**outer, **local}, hf)


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Gemma 3 text folder."""
    rope, local = config.rope or RopeConfig(), config.local_rope or config.rope or RopeConfig()
    older = {} if rope.kind == "default" else {"rope_scaling": {"type": rope.kind, **rope_entry(rope)}}
    return {
        "model_type": "gemma3_text",
        **write_gemma(config),
        "rope_parameters": {"full_attention": rope_entry(rope), "sliding_attention": rope_entry(local)},
        "rope_theta": rope.theta,
        "rope_local_base_freq": local.theta,
        **older,
    }
