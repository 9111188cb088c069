"""Tensors of a Falcon folder: queries, keys and values are one, dealt out in groups."""

from ...checkpoint.mapping.transforms import SplitGroups
from ...config import ModelConfig
from ..layout import Fused, Layout

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
NAMES = {
    "model.embed_tokens": "transformer.word_embeddings",
    "model.layers": "transformer.h",
    "model.norm": "transformer.ln_f",
    "self_attn": "self_attention",
    "o_proj": "dense",
    "up_proj": "dense_h_to_4h",
    "down_proj": "dense_4h_to_h",
}
TWO_NORMS = {"input_layernorm": "ln_attn", "post_attention_layernorm": "ln_mlp"}


def layout(config: ModelConfig) -> Layout:
    """Each group holds its queries, a key and a value; one group (multi-query) is the 7B's block layout."""
    group = SplitGroups((config.num_heads // config.num_kv_heads, 1, 1), config.head_dim)
    names = {**NAMES, **(TWO_NORMS if config.residual == "parallel" else {})}
    return Layout(names=names, fused=(Fused(QKV, "self_attn.query_key_value", group),), prefix="transformer.")
