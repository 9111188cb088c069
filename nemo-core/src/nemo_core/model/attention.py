"""Grouped-query causal attention (Ainslie et al. 2023).

B batch, T query, S key, H query heads, K key/value heads, G = H/K, D head width, E hidden width.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ModelConfig
from .causal import attend, first_keys
from .heads import capped
from .linear import Linear
from .norm import make_norm
from .rope import Rotation, rotate


class LayerCache(Protocol):
    """Keys and values of earlier positions of one layer."""

    def extend(self, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new positions and return all of them, [B, K, S, D] each."""


class Mixer(nn.Module):
    """What full and latent attention share: mixing values by how well queries match keys."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.shares_keys = config.num_kv_heads != config.num_heads
        self.scale = config.query_scale
        self.softcap = config.attention_softcap

    def mix(self, q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, allowed_BHTS: Tensor | None) -> Tensor:
        """Mixed values, heads side by side, [B, T, H*D]; causal, or where `allowed_BHTS` is true."""
        if self.softcap is not None:
            scale = q_BHTD.shape[-1] ** -0.5 if self.scale is None else self.scale
            mixed_BHTD = mix_softcapped(q_BHTD * scale, k_BKSD, v_BKSD, allowed_BHTS, softcap=self.softcap)
        elif (start_BT := first_keys(q_BHTD, k_BKSD, v_BKSD, allowed_BHTS)) is not None:
            mixed_BHTD = attend(q_BHTD, k_BKSD, v_BKSD, start_BT, scale=self.scale)
        else:
            mixed_BHTD = F.scaled_dot_product_attention(
                q_BHTD,
                k_BKSD,
                v_BKSD,
                attn_mask=allowed_BHTS,
                is_causal=allowed_BHTS is None,
                scale=self.scale,
                enable_gqa=self.shares_keys,
            )
        return mixed_BHTD.transpose(1, 2).flatten(2)


def mix_softcapped(q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, allowed: Tensor | None, *, softcap: float) -> Tensor:
    """Attention whose scores s (of scaled queries) become softcap * tanh(s / softcap) (Gemma 2). [B, H, T, D]."""
    groups = q_BHTD.shape[1] // k_BKSD.shape[1]
    k_BHSD, v_BHSD = k_BKSD.repeat_interleave(groups, 1), v_BKSD.repeat_interleave(groups, 1)
    score_BHTS = capped(q_BHTD @ k_BHSD.mT, softcap)
    if allowed is None:
        allowed = torch.ones(score_BHTS.shape[-2:], dtype=torch.bool, device=q_BHTD.device).tril()
    score_BHTS = score_BHTS.float().masked_fill(~allowed, -torch.inf)
    return score_BHTS.softmax(-1).to(v_BHSD.dtype) @ v_BHSD


class Attention(Mixer):
    """Projects to heads, turns them by position, mixes values, projects back. [B,T,E] -> [B,T,E]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        hidden, bias = config.hidden_size, config.attention_bias
        queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.q_proj = Linear(hidden, queries, bias=bias)
        self.k_proj = Linear(hidden, keys, bias=bias)
        self.v_proj = Linear(hidden, keys, bias=bias)
        self.o_proj = Linear(queries, hidden, bias=config.output_bias)
        per_head = config.qk_norm == "head"
        self.norms_heads = per_head
        self.q_norm = self.k_norm = None
        if config.qk_norm != "none":
            self.q_norm = make_norm(config, config.head_dim if per_head else queries, bias=False)
            self.k_norm = make_norm(config, config.head_dim if per_head else keys, bias=False)

    def split_heads(self, x_BTE: Tensor, norm: nn.Module | None = None) -> Tensor:
        """[B,T,H*D] -> [B,H,T,D], normalised whole or per head where there is a norm."""
        if norm is not None and not self.norms_heads:
            x_BTE = norm(x_BTE)
        x_BTHD: Tensor = x_BTE.unflatten(-1, (-1, self.head_dim))
        if norm is not None and self.norms_heads:
            x_BTHD = norm(x_BTHD)
        return x_BTHD.transpose(1, 2)

    def forward(
        self,
        x_BTE: Tensor,
        rotation: Rotation | None,
        allowed_BHTS: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """Attend causally, or where `allowed_BHTS` is true; `rotation` is None where positions are learned."""
        q_BHTD = self.split_heads(self.q_proj(x_BTE), self.q_norm)
        k_BKSD = self.split_heads(self.k_proj(x_BTE), self.k_norm)
        v_BKSD = self.split_heads(self.v_proj(x_BTE))
        if rotation is not None:
            q_BHTD, k_BKSD = rotate(q_BHTD, *rotation), rotate(k_BKSD, *rotation)
        if cache is not None:
            k_BKSD, v_BKSD = cache.extend(k_BKSD, v_BKSD)
        mixed_BTE: Tensor = self.o_proj(self.mix(q_BHTD, k_BKSD, v_BKSD, allowed_BHTS))
        return mixed_BTE
