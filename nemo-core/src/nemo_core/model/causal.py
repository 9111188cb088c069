"""Causal attention in loops in C while training in fp32 on a CPU: what a mask hides costs nothing.

B batch, T position, H query heads, K key heads, D head width, W value width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..native import training
from .linear import is_plain


def first_keys(q_BHTD: Tensor, k_BKSD: Tensor, v_BKSW: Tensor, allowed_BTTS: Tensor | None) -> Tensor | None:
    """The first key that each query sees, [B, T], where it sees all from there to itself and the loops can serve.

    None for any other mask (of a cache, say, or of places that are not in order), device or number format.
    """
    if not is_plain(q_BHTD, k_BKSD, v_BKSW) or q_BHTD.shape[2] != k_BKSD.shape[2]:
        return None
    batch, _, length, _ = q_BHTD.shape
    if allowed_BTTS is None:
        return torch.zeros(batch, length, dtype=torch.long)
    if allowed_BTTS.dtype != torch.bool or allowed_BTTS.shape[1:] != (1, length, length):
        return None
    start_BT = training.spans(allowed_BTTS[:, 0])
    return None if start_BT is None else start_BT.expand(batch, length).contiguous()


def attend(q_BHTD: Tensor, k_BKTD: Tensor, v_BKTW: Tensor, start_BT: Tensor, *, scale: float | None) -> Tensor:
    """Attention of each query to the keys from `start_BT` to itself, [B, H, T, W]; `scale` defaults to D**-0.5."""
    scale = q_BHTD.shape[-1] ** -0.5 if scale is None else scale
    mixed_BHTW: Tensor = CausalAttention.apply(  # type: ignore[no-untyped-call]
        q_BHTD, k_BKTD, v_BKTW, start_BT, scale
    )
    return mixed_BHTW


def by_place(x_BHTD: Tensor) -> Tensor:
    """Heads of a place side by side, [B, T, H, D]; no copy where they come from a projection."""
    return x_BHTD.transpose(1, 2).contiguous()


class CausalAttention(torch.autograd.Function):
    """Keeps what it was given, what it gave, and one number per head and query for the way back."""

    @staticmethod
    def forward(ctx: Any, q_BHTD: Tensor, k_BKTD: Tensor, v_BKTW: Tensor, start_BT: Tensor, scale: float) -> Tensor:
        """[B, H, T, D] and [B, K, T, D or W] -> [B, H, T, W]."""
        given = by_place(q_BHTD), by_place(k_BKTD), by_place(v_BKTW), start_BT
        mixed_BTHW, log_sum_BHT = training.attend(*given, scale)
        ctx.save_for_backward(*given, mixed_BTHW, log_sum_BHT)
        ctx.scale = scale
        return mixed_BTHW.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BHTW: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of queries, keys and values."""
        q_BTHD, k_BTKD, v_BTKW, start_BT, mixed_BTHW, log_sum_BHT = ctx.saved_tensors
        grads = training.attend_back(
            q_BTHD, k_BTKD, v_BTKW, start_BT, mixed_BTHW, log_sum_BHT, by_place(grad_BHTW), ctx.scale
        )
        return *(grad.transpose(1, 2) for grad in grads), None, None
