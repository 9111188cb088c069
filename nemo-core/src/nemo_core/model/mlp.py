"""Gated feed-forward layer, SwiGLU (Shazeer 2020)."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ModelConfig
from .linear import Linear


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x)). [..., E] -> [..., E]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, wide, bias = config.hidden_size, config.ffn_size, config.mlp_bias
        self.gate_proj = Linear(hidden, wide, bias=bias)
        self.up_proj = Linear(hidden, wide, bias=bias)
        self.down_proj = Linear(wide, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Widen twice, gate, narrow."""
        narrowed: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return narrowed
