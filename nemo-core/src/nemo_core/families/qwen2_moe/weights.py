"""Tensors of a Qwen 2 MoE folder: the shared expert is called as one."""

from ...config import ModelConfig
from ..layout import Layout


def layout(config: ModelConfig) -> Layout:
    """One name."""
    return Layout(names={"shared_experts": "shared_expert"})
