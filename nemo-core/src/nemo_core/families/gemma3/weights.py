"""Tensors of a Gemma 3 text folder: four norms per layer, named after where they stand."""

from ...config import ModelConfig
from ..gemma2.weights import NAMES
from ..layout import Layout


def layout(config: ModelConfig) -> Layout:
    """As in Gemma 2."""
    return Layout(names=NAMES)
