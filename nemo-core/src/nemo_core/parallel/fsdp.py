"""Weights, gradients and moments shared out over processes (FSDP2; Zhao et al. 2023), gathered layer by layer."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from ..model.decoder import Decoder
from .expert import expert_groups
from .recompute import layers_of


def shard_weights(
    model: Decoder, mesh: DeviceMesh, *, dtype: torch.dtype, reshard: bool, experts: DeviceMesh | None = None
) -> None:
    """Share out the weights of `model` in place over `mesh` (two-dimensional: copies x shards), experts over theirs."""
    if experts is not None:
        for group in expert_groups(model):
            fully_shard(group, mesh=experts, mp_policy=policy_of(dtype), reshard_after_forward=reshard)
    shard_modules(model, layers_of(model), mesh, dtype=dtype, reshard=reshard)


def shard_modules(
    model: nn.Module, layers: Sequence[nn.Module], mesh: DeviceMesh, *, dtype: torch.dtype, reshard: bool
) -> None:
    """Share out the weights of `layers`, and those of `model` outside them.

    Layers are gathered in `dtype`, gradients are summed in float32. The loop divides by the targets of the whole
    batch, so gradients are summed here and never averaged.
    """
    policy = policy_of(dtype)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=reshard)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for module in sharded_modules(model):
        module.set_force_sum_reduction_for_comms(True)
        module.set_gradient_divide_factor(1.0)


def policy_of(dtype: torch.dtype) -> MixedPrecisionPolicy:
    """Weights gathered in `dtype`, gradients summed in float32."""
    return MixedPrecisionPolicy(
        param_dtype=None if dtype is torch.float32 else dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def sharded_modules(model: torch.nn.Module) -> list[FSDPModule]:
    """The modules that gather their weights."""
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def send_gradients(model: torch.nn.Module, is_last: bool) -> None:
    """Whether the next backward pass sums gradients over processes, or keeps them until a later one does."""
    for module in sharded_modules(model):
        module.set_requires_gradient_sync(is_last, recurse=False)
        module.set_is_last_backward(is_last)


def drop_gathered(model: torch.nn.Module) -> None:
    """Leave only shards, where a forward pass without a backward pass left gathered weights."""
    for module in sharded_modules(model):
        module.reshard()
