"""Core attention for megatron.core on a CPU, and a self-attention that picks its layer's rotary table.

B batch, T query, S key, H query heads, K key/value heads, D head width, N tokens of packed sequences.
"""

from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.transformer.attention import SelfAttention
from megatron.core.transformer.utils import is_layer_window_attention
from torch import Tensor, nn

from ..model.heads import capped


class TorchCoreAttention(nn.Module):
    """Causal attention through torch, in the place of megatron.core's own, which needs a GPU.

    Takes a window (`config.window_size`), a soft cap of scores, a mask, and packed sequences (``thd``).
    """

    score_cap: float | None = None

    def __init__(
        self,
        config: Any,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        attention_dropout: float | None = None,
        softmax_scale: float | None = None,
        cp_comm_type: str | None = None,
        pg_collection: Any = None,
        **_: Any,
    ) -> None:
        super().__init__()
        self.dropout = config.attention_dropout if attention_dropout is None else attention_dropout
        self.scale = config.kv_channels**-0.5 if softmax_scale is None else softmax_scale
        windowed = is_layer_window_attention(config.window_size, config.window_attn_skip_freq, layer_number)
        self.window = config.window_size[0] + 1 if windowed else None

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        attn_mask_type: Any = None,
        attention_bias: Tensor | None = None,
        packed_seq_params: Any = None,
    ) -> Tensor:
        """[T,B,H,D] and keys, values [T,B,K,D] -> [T,B,H*D]; packed: [N,H,D] -> [N,H*D].

        `attention_mask` is true where a query must not look (megatron.core's way).
        """
        if packed_seq_params is not None:
            return self.attend_packed(query, key, value, packed_seq_params.cu_seqlens_q)
        allowed = self.allowed(attention_mask, query.shape[0], query.device)
        mixed_BHTD = self.attend(*(x.permute(1, 2, 0, 3) for x in (query, key, value)), allowed=allowed)
        return mixed_BHTD.permute(2, 0, 1, 3).flatten(2)

    def attend_packed(self, q_NHD: Tensor, k_NKD: Tensor, v_NKD: Tensor, starts: Tensor) -> Tensor:
        """Attend within each sequence of a pack; `starts` are the cumulative lengths."""
        segment_N = torch.bucketize(torch.arange(len(q_NHD), device=q_NHD.device), starts[1:], right=True)
        allowed = self.allowed((segment_N[:, None] != segment_N[None])[None, None], len(q_NHD), q_NHD.device)
        mixed_BHND = self.attend(*(x.transpose(0, 1)[None] for x in (q_NHD, k_NKD, v_NKD)), allowed=allowed)
        return mixed_BHND[0].transpose(0, 1).flatten(1)

    def allowed(self, hidden: Tensor | None, length: int, device: torch.device) -> Tensor | None:
        """Where queries look, [B|1,1,T,T]; None where that is all earlier places."""
        if hidden is None and (self.window is None or self.window >= length):
            return None
        seen_TS = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        if self.window is not None:
            seen_TS = seen_TS.triu(1 - self.window)
        return seen_TS[None, None] if hidden is None else seen_TS & ~hidden

    def attend(self, q_BHTD: Tensor, k_BKTD: Tensor, v_BKTD: Tensor, *, allowed: Tensor | None) -> Tensor:
        """Mix values, [B,H,T,D]."""
        dropout = self.dropout if self.training else 0.0
        if self.score_cap is not None:
            return attend_capped(q_BHTD * self.scale, k_BKTD, v_BKTD, allowed=allowed, cap=self.score_cap)
        return F.scaled_dot_product_attention(
            q_BHTD,
            k_BKTD,
            v_BKTD,
            attn_mask=allowed,
            is_causal=allowed is None,
            dropout_p=dropout,
            scale=self.scale,
            enable_gqa=q_BHTD.shape[1] != k_BKTD.shape[1],
        )


def attend_capped(q_BHTD: Tensor, k_BKTD: Tensor, v_BKTD: Tensor, *, allowed: Tensor | None, cap: float) -> Tensor:
    """Attention whose scores are squashed to ±`cap` by tanh (Gemma 2, Riviere et al. 2024)."""
    shared = q_BHTD.shape[1] // k_BKTD.shape[1]
    k_BHSD, v_BHSD = k_BKTD.repeat_interleave(shared, 1), v_BKTD.repeat_interleave(shared, 1)
    score_BHTS = capped(q_BHTD @ k_BHSD.mT, cap)
    if allowed is None:
        allowed = torch.ones(score_BHTS.shape[-2:], dtype=torch.bool, device=score_BHTS.device).tril()
    weight_BHTS = score_BHTS.masked_fill(~allowed, -torch.inf).softmax(-1, dtype=torch.float32)
    return weight_BHTS.to(v_BHSD.dtype) @ v_BHSD


def capped_core_attention(cap: float) -> type[TorchCoreAttention]:
    """The core attention with a soft cap; a spec passes classes, so the cap is a class attribute."""
    return type("CappedCoreAttention", (TorchCoreAttention,), {"score_cap": cap})


def scaled_by_layer(core: Any, scales: tuple[float, ...]) -> Any:
    """The core attention class with a factor on scores for each layer; megatron.core has one for all."""

    class ScaledCoreAttention(core):  # type: ignore[misc]
        """Core attention that knows the factor of its layer."""

        def __init__(self, *, layer_number: int, softmax_scale: float | None = None, **rest: Any) -> None:
            super().__init__(layer_number=layer_number, softmax_scale=scales[layer_number - 1], **rest)

    return ScaledCoreAttention


def self_attention_of_kinds(kind_of_layer: tuple[int | None, ...], *, tables: int) -> type[SelfAttention]:
    """A self-attention that takes, of the rotary tables of several kinds of layer, the one of its own layer, or none.

    One table comes as it is, several stacked.
    """

    class KindSelfAttention(SelfAttention):  # type: ignore[misc]
        """Self-attention with the rotary table of its layer's kind."""

        def forward(self, hidden_states: Tensor, *args: Any, rotary_pos_emb: Tensor | None = None, **rest: Any) -> Any:
            """As the base class's."""
            kind = kind_of_layer[self.layer_number - 1]
            if kind is None:
                rotary_pos_emb = None
            elif rotary_pos_emb is not None and tables > 1:
                rotary_pos_emb = rotary_pos_emb[kind]
            return super().forward(hidden_states, *args, rotary_pos_emb=rotary_pos_emb, **rest)

    return KindSelfAttention
