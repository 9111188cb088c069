"""Tensors of an OLMo 2 folder: norms after the blocks."""

from ...config import ModelConfig
from ..layout import Layout

NAMES = {
    "attention_output_layernorm": "post_attention_layernorm",
    "mlp_output_layernorm": "post_feedforward_layernorm",
}


def layout(config: ModelConfig) -> Layout:
    """Only norms have other names."""
    return Layout(names=NAMES)
