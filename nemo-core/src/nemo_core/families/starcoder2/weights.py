"""Tensors of a StarCoder 2 folder: the feed-forward has GPT-2's names."""

from ...config import ModelConfig
from ..layout import Layout

NAMES = {"up_proj": "c_fc", "down_proj": "c_proj"}


def layout(config: ModelConfig) -> Layout:
    """Names only: unlike GPT-2's, its matrices are [out, in]."""
    return Layout(names=NAMES)
