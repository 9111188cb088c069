"""Tensors of a DeepSeek V2 folder: the features that positions turn lie as pairs."""

from ...config import ModelConfig
from ..deepseek_v3.weights import layout as latent_layout
from ..layout import Layout


def layout(config: ModelConfig) -> Layout:
    """As in DeepSeek V3."""
    return latent_layout(config)
