"""Tensors of a Gemma 2 folder: four norms per layer, named after where they stand."""

from ...config import ModelConfig
from ..layout import Layout

NAMES = {
    "attention_output_layernorm": "post_attention_layernorm",
    "post_attention_layernorm": "pre_feedforward_layernorm",
    "mlp_output_layernorm": "post_feedforward_layernorm",
}


def layout(config: ModelConfig) -> Layout:
    """Only norms have other names."""
    return Layout(names=NAMES)
