"""Tensors of an OLMo 3 folder: norms after the blocks."""

from ...config import ModelConfig
from ..layout import Layout
from ..olmo2.weights import NAMES


def layout(config: ModelConfig) -> Layout:
    """As in OLMo 2."""
    return Layout(names=NAMES)
