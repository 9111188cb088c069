"""Grouped-query causal attention (Ainslie et al. 2023).

B batch, T query, S key, H query heads, K key/value heads, D head width, E hidden width.
"""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ModelConfig
from .linear import Linear
from .rope import rotate


class LayerCache(Protocol):
    """Keys and values of earlier positions of one layer."""

    def extend(self, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new positions and return all of them, [B, K, S, D] each."""


class Attention(nn.Module):
    """Projects to heads, turns them by position, mixes values, projects back. [B,T,E] -> [B,T,E]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, head_dim, bias = config.hidden_size, config.head_dim, config.attention_bias
        self.head_dim = head_dim
        self.shares_keys = config.num_kv_heads != config.num_heads
        self.q_proj = Linear(hidden, config.num_heads * head_dim, bias=bias)
        self.k_proj = Linear(hidden, config.num_kv_heads * head_dim, bias=bias)
        self.v_proj = Linear(hidden, config.num_kv_heads * head_dim, bias=bias)
        self.o_proj = Linear(config.num_heads * head_dim, hidden, bias=bias)

    def split_heads(self, x_BTE: Tensor) -> Tensor:
        """[B,T,H*D] -> [B,H,T,D]."""
        x_BTHD: Tensor = x_BTE.unflatten(-1, (-1, self.head_dim))
        return x_BTHD.transpose(1, 2)

    def forward(
        self,
        x_BTE: Tensor,
        rotation: tuple[Tensor, Tensor],
        allowed_BHTS: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """Attend causally, or where `allowed_BHTS` is true (or, as floats, added to the scores)."""
        q_BHTD = rotate(self.split_heads(self.q_proj(x_BTE)), *rotation)
        k_BKSD = rotate(self.split_heads(self.k_proj(x_BTE)), *rotation)
        v_BKSD = self.split_heads(self.v_proj(x_BTE))
        if cache is not None:
            k_BKSD, v_BKSD = cache.extend(k_BKSD, v_BKSD)
        mixed_BHTD = F.scaled_dot_product_attention(
            q_BHTD,
            k_BKSD,
            v_BKSD,
            attn_mask=allowed_BHTS,
            is_causal=allowed_BHTS is None,
            enable_gqa=self.shares_keys,
        )
        mixed_BTE: Tensor = self.o_proj(mixed_BHTD.transpose(1, 2).flatten(2))
        return mixed_BTE
