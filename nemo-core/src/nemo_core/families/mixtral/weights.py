"""Tensors of a Mixtral folder: experts under other names."""

from ...config import ModelConfig
from ..layout import Layout

NAMES = {
    "mlp": "block_sparse_moe",
    "gate_proj": "w1",
    "down_proj": "w2",
    "up_proj": "w3",
}


def layout(config: ModelConfig) -> Layout:
    """w1 gates, w3 widens, w2 narrows."""
    return Layout(names=NAMES)
