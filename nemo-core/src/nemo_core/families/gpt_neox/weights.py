"""Tensors of a GPT-NeoX folder: every head's query, key and value side by side."""

from ...checkpoint.mapping.transforms import SplitGroups
from ...config import ModelConfig
from ..layout import Fused, Layout

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
NAMES = {
    "model.embed_tokens": "gpt_neox.embed_in",
    "model.layers": "gpt_neox.layers",
    "model.norm": "gpt_neox.final_layer_norm",
    "lm_head": "embed_out",
    "self_attn": "attention",
    "o_proj": "dense",
    "up_proj": "dense_h_to_4h",
    "down_proj": "dense_4h_to_h",
}


def layout(config: ModelConfig) -> Layout:
    """A group per head."""
    group = SplitGroups((1, 1, 1), config.head_dim)
    ignored = (r"\.attention\.(masked_)?bias$", r"rotary_emb\.inv_freq$")
    return Layout(
        names=NAMES, fused=(Fused(QKV, "self_attn.query_key_value", group),), ignored=ignored, prefix="gpt_neox."
    )
