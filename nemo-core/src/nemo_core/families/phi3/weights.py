"""Tensors of a Phi-3 folder: queries, keys and values are one, and so are gate and up."""

from ...checkpoint.mapping.transforms import Split
from ...config import ModelConfig
from ..layout import Fused, Layout

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
GATE_UP = Fused(("mlp.gate_proj", "mlp.up_proj"), "mlp.gate_up_proj", Split((1, 1)))


def layout(config: ModelConfig) -> Layout:
    """Blocks of rows."""
    heads = Split((config.num_heads, config.num_kv_heads, config.num_kv_heads))
    return Layout(fused=(Fused(QKV, "self_attn.qkv_proj", heads), GATE_UP))
