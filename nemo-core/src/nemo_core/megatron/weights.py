"""Weights of a live megatron model, in and out, under canonical names."""

from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor
from torch.distributed.tensor import DTensor

from ..foundation.errors import ArtifactError
from .mapping import Entry, entries, local_name
from .model import MegatronDecoder, padded_vocabulary


def table_of(model: MegatronDecoder) -> list[Entry]:
    """The mapping of the model."""
    return entries(model.config, vocabulary=padded_vocabulary(model.config.vocab_size, tensor=model.degrees.tensor))


def held(model: MegatronDecoder) -> list[tuple[Entry, torch.nn.Parameter]]:
    """Every tensor of the mapping with the weight of this process, under its fused or its local name."""
    own = dict(model.gpt.named_parameters())
    pairs = []
    for entry in table_of(model):
        name = entry.full_name if entry.full_name in own else local_name(entry.full_name)
        pairs.append((entry, own.pop(name)))
    assert not own, f"the mapping lacks {sorted(own)}"
    return pairs


@torch.no_grad()
def load_weights(model: MegatronDecoder, read: Callable[[str], Tensor]) -> None:
    """Copy canonical tensors in, each process its shard. Raises ArtifactError where a shape does not fit."""
    size, rank = model.degrees.tensor, parallel_state.get_tensor_model_parallel_rank()
    for entry, weight in held(model):
        shard = entry.join.shard(entry.join.join([read(part) for part in entry.parts]), rank=rank, size=size)
        if shard.shape != weight.shape:
            parts = ", ".join(entry.parts)
            raise ArtifactError(f"{parts}: make up {list(shard.shape)} of {entry.full_name}, not {list(weight.shape)}")
        weight.copy_(shard)


def canonical_weights(model: MegatronDecoder) -> Iterator[tuple[str, Tensor]]:
    """Every canonical tensor, whole, on every process; all processes iterate together."""
    for entry, weight in held(model):
        yield from zip(entry.parts, entry.join.split(whole(weight, entry, model)), strict=True)


def canonical_gradients(model: MegatronDecoder) -> Iterator[tuple[str, Tensor]]:
    """The gradient of every canonical tensor, as `canonical_weights`."""
    for entry, weight in held(model):
        assert weight.grad is not None
        yield from zip(entry.parts, entry.join.split(whole(weight.grad, entry, model)), strict=True)


@torch.no_grad()
def whole(weight: Tensor, entry: Entry, model: MegatronDecoder) -> Tensor:
    """The tensor of all tensor-parallel ranks."""
    return entry.join.unshard(of_all_ranks(gathered(weight), model.degrees.tensor))


def gathered(tensor: Tensor) -> Tensor:
    """A tensor that data-parallel processes share out, whole."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def of_all_ranks(own: Tensor, size: int) -> list[Tensor]:
    """The shards of every tensor-parallel rank."""
    if size == 1:
        return [own]
    shards = [torch.empty_like(own) for _ in range(size)]
    dist.all_gather(shards, own.contiguous(), group=parallel_state.get_tensor_model_parallel_group())
    return shards
