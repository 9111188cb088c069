"""Exchanges between tensor-parallel processes that megatron.core does on a GPU only, for any device."""

from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from ..parallel.buckets import local


class Gather(torch.autograd.Function):
    """One axis of all tensor-parallel ranks; the gradient of each goes back to it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, axis: int) -> Tensor:
        """[..., V/S, ...] -> [..., V, ...]."""
        group = parallel_state.get_tensor_model_parallel_group()
        ctx.rank, ctx.size, ctx.axis = group.rank(), group.size(), axis
        own = own.contiguous()
        parts = [torch.empty_like(own) for _ in range(ctx.size)]
        dist.all_gather(parts, own, group=group)
        return torch.cat(parts, axis)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """This rank's part."""
        (grad,) = gradients
        return grad.chunk(ctx.size, ctx.axis)[ctx.rank].contiguous(), None


def gather(own: Tensor, axis: int) -> Tensor:
    """One axis of all tensor-parallel ranks, which all go on to compute the same with it."""
    if parallel_state.get_tensor_model_parallel_world_size() == 1:
        return own
    gathered: Tensor = Gather.apply(own, axis)  # type: ignore[no-untyped-call]
    return gathered


@torch.no_grad()
def sum_shared_weights(model: torch.nn.Module) -> None:
    """Sum the gradients of weights that every rank holds but applies to its own part only.

    These are the norms of queries and keys (each rank has its heads) and, under sequence parallelism, whatever
    megatron.core marks so (each rank has its places).
    """
    if parallel_state.get_tensor_model_parallel_world_size() == 1:
        return
    for name, weight in model.named_parameters():
        is_partial = "q_layernorm" in name or "k_layernorm" in name or getattr(weight, "sequence_parallel", False)
        if is_partial and weight.grad is not None:
            dist.all_reduce(local(weight.grad), group=parallel_state.get_tensor_model_parallel_group())
