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


class ForOwnPart(torch.autograd.Function):
    """What all ranks have alike, of which each goes on with its own part; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The same."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """All ranks' together."""
        return summed(gradients[0])


def for_own_part(x: Tensor) -> Tensor:
    """What every tensor-parallel rank has alike, where it computes with it what others do not."""
    if parallel_state.get_tensor_model_parallel_world_size() == 1:
        return x
    copied: Tensor = ForOwnPart.apply(x)  # type: ignore[no-untyped-call]
    return copied


class SumOfRanks(torch.autograd.Function):
    """A sum over ranks that each of them goes on with; its gradient, too, is summed over them."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        """The sum."""
        return summed(own)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """What all ranks make of the sum."""
        return summed(gradients[0])


def summed(own: Tensor) -> Tensor:
    """The sum over tensor-parallel ranks, however `own` lies in memory (megatron.core sums a contiguous one only)."""
    total = own.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=parallel_state.get_tensor_model_parallel_group())
    return total


def sum_of_ranks(own: Tensor) -> Tensor:
    """The sum over tensor-parallel ranks, which go on with it differently."""
    total: Tensor = SumOfRanks.apply(own)  # type: ignore[no-untyped-call]
    return total


@torch.no_grad()
def sum_shared_weights(model: torch.nn.Module, *, norms_by_head: bool) -> None:
    """Sum the gradients of weights that every rank holds but applies to its own part only.

    These are the norms of queries and keys by head (each rank has its heads; those of latent vectors are whole) and,
    under sequence parallelism, whatever megatron.core marks so (each rank has its places).
    """
    if parallel_state.get_tensor_model_parallel_world_size() == 1:
        return
    for name, weight in model.named_parameters():
        is_partial = norms_by_head and (".q_layernorm." in name or ".k_layernorm." in name)
        is_partial = is_partial or getattr(weight, "sequence_parallel", False)
        if is_partial and weight.grad is not None:
            dist.all_reduce(local(weight.grad), group=parallel_state.get_tensor_model_parallel_group())
