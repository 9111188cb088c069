"""Tensors of a GPT-2 folder: matrices are [in, out], queries, keys and values are one."""

from ...checkpoint.mapping.transforms import Split, Transpose
from ...config import ModelConfig
from ..layout import Fused, Layout

NAMES = {
    "model.embed_tokens": "transformer.wte",
    "model.embed_positions": "transformer.wpe",
    "model.layers": "transformer.h",
    "model.norm": "transformer.ln_f",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "self_attn": "attn",
    "o_proj": "c_proj",
    "up_proj": "c_fc",
    "down_proj": "c_proj",
}
QKV = Fused(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "self_attn.c_attn", Split((1, 1, 1)))
MATRICES = ("self_attn.c_attn", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")


def layout(config: ModelConfig) -> Layout:
    """Rows and columns exchanged, then split into queries, keys and values."""
    return Layout(
        names=NAMES,
        fused=(QKV,),
        transforms=dict.fromkeys(MATRICES, Transpose()),
        ignored=(r"\.attn\.(masked_)?bias$",),
        prefix="transformer.",
    )
