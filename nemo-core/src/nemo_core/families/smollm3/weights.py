"""Tensors of a SmolLM 3 folder: names and layout are the canonical ones."""

from ...config import ModelConfig
from ..layout import Layout


def layout(config: ModelConfig) -> Layout:
    """Nothing to rename."""
    return Layout()
