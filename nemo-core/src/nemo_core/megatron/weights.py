"""Weights of a live megatron model, in and out, under canonical names."""

from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor
from torch.distributed.tensor import DTensor

from ..foundation.errors import ArtifactError
from .mapping import LAYER, Entry, entries, local_name, to_canonical, to_megatron
from .model import MegatronDecoder, padded_vocabulary


def table_of(model: MegatronDecoder) -> list[Entry]:
    """The mapping of the whole model, also of the stages that other processes hold."""
    return entries(model.config, vocabulary=padded_vocabulary(model.config.vocab_size, tensor=model.degrees.tensor))


def own_tensors(model: MegatronDecoder) -> dict[str, torch.nn.Parameter]:
    """The weights that this process holds, named after their layer's number in the whole model."""
    first = model.gpt.decoder.layers[0].layer_number - 1
    named = {}
    for name, weight in model.gpt.named_parameters():
        if name.startswith(LAYER):
            number, _, rest = name.removeprefix(LAYER).partition(".")
            name = f"{LAYER}{int(number) + first}.{rest}"
        named[name] = weight
    return named


def find(own: dict[str, torch.nn.Parameter], entry: Entry) -> torch.nn.Parameter | None:
    """The weight of an entry, under its fused or its local name; None where another process holds it."""
    return own.get(entry.full_name, own.get(local_name(entry.full_name)))


@torch.no_grad()
def load_weights(model: MegatronDecoder, read: Callable[[str], Tensor]) -> None:
    """Copy canonical tensors in, each process its shard. Raises ArtifactError where a shape does not fit."""
    own = own_tensors(model)
    size, rank = model.degrees.tensor, parallel_state.get_tensor_model_parallel_rank()
    mine = [entry for entry in table_of(model) if find(own, entry) is not None]
    for entry, whole in to_megatron(mine, read):
        weight, shard = find(own, entry), entry.join.shard(whole, rank=rank, size=size)
        assert weight is not None
        if shard.shape != weight.shape:
            parts = ", ".join(entry.parts)
            raise ArtifactError(f"{parts}: make up {list(shard.shape)} of {entry.full_name}, not {list(weight.shape)}")
        weight.copy_(shard)
    unmapped = set(own) - {name for entry in mine for name in (entry.full_name, local_name(entry.full_name))}
    assert not unmapped, f"no canonical tensor gives {sorted(unmapped)}"


def canonical_weights(model: MegatronDecoder) -> Iterator[tuple[str, Tensor]]:
    """Every canonical tensor, whole, on every process; all processes iterate together."""
    own = own_tensors(model)
    yield from to_canonical(table_of(model), lambda entry: whole(find(own, entry), entry, model))


def canonical_gradients(model: MegatronDecoder) -> Iterator[tuple[str, Tensor]]:
    """The gradient of every canonical tensor, as `canonical_weights`."""
    own = own_tensors(model)

    def gradient(entry: Entry) -> Tensor:
        weight = find(own, entry)
        return whole(None if weight is None else weight.grad, entry, model)

    yield from to_canonical(table_of(model), gradient)


@torch.no_grad()
def whole(weight: Tensor | None, entry: Entry, model: MegatronDecoder) -> Tensor:
    """The tensor of all tensor-parallel ranks, from the pipeline stage that holds it."""
    joined = None if weight is None else entry.join.unshard(of_all_ranks(gathered(weight), model.degrees.tensor))
    return from_stage(joined, model) if model.degrees.pipeline > 1 else joined  # type: ignore[return-value]


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


def from_stage(held: Tensor | None, model: MegatronDecoder) -> Tensor:
    """A tensor of whichever stage holds it, on all stages."""
    group = parallel_state.get_pipeline_model_parallel_group()
    described: list[object] = [None] * model.degrees.pipeline
    dist.all_gather_object(described, None if held is None else (tuple(held.shape), held.dtype), group=group)
    owner = next(rank for rank, found in enumerate(described) if found is not None)
    shape, dtype = described[owner]  # type: ignore[misc]
    device = next(model.parameters()).device
    tensor = torch.empty(shape, dtype=dtype, device=device) if held is None else held.contiguous()
    dist.broadcast(tensor, dist.get_global_rank(group, owner), group=group)
    return tensor
