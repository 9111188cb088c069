"""Weights of a live megatron model, in and out, under canonical names."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from ..foundation.errors import ArtifactError
from .mapping import EXPERTS, LAYER, Entry, entries, local_name
from .model import MegatronDecoder, padded_vocabulary

Held = list[tuple[Entry, Tensor]]


def table_of(model: MegatronDecoder) -> list[Entry]:
    """The mapping of the whole model."""
    return entries(model.config, vocabulary=padded_vocabulary(model.config.vocab_size, tensor=model.degrees.tensor))


def held(model: MegatronDecoder) -> Held:
    """Every tensor of the mapping that this process holds (of its stage, its experts), with its weight or buffer."""
    buffers = {name: buffer for name, buffer in model.gpt.named_buffers() if name.endswith("router.expert_bias")}
    own: dict[str, Tensor] = {**dict(model.gpt.named_parameters()), **buffers}
    named = ((entry, next((name for name in live_names(model, entry) if name in own), "")) for entry in stage(model))
    pairs = [(entry, own.pop(name)) for entry, name in named if name]
    assert not own, f"the mapping lacks {sorted(own)}"
    return pairs


def stage(model: MegatronDecoder) -> Iterator[Entry]:
    """The entries of the layers, the embedding and the head that this stage has, all experts included."""
    first = model.first_layer
    layers = range(first, first + len(model.gpt.decoder.layers))
    for entry in table_of(model):
        is_embedding = entry.name.startswith("embedding.")
        if entry.layer in layers or (entry.layer is None and (model.is_first if is_embedding else model.is_last)):
            yield entry
        elif is_embedding and "word" in entry.name and model.is_last and model.config.tied_embeddings:
            yield replace(entry, name="output_layer.weight", mirror=True)


def live_names(model: MegatronDecoder, entry: Entry) -> Iterator[str]:
    """The names that a tensor may have in a live stage, which counts its layers and its experts from 0."""
    place = "" if entry.layer is None else f"{LAYER}{entry.layer - model.first_layer}."
    if entry.expert is None:
        yield place + entry.name
        yield local_name(place + entry.name)
        return
    assert model.config.moe is not None
    number = entry.expert - parallel_state.get_expert_model_parallel_rank() * (
        model.config.moe.num_experts // model.degrees.expert
    )
    yield f"{place}{entry.name.replace(EXPERTS, f'mlp.experts.local_experts.{number}.')}"
    yield f"{place}{entry.name.replace(EXPERTS, 'mlp.experts.')}{number}"


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
    """Every canonical tensor of this stage, whole, on every process of it; those iterate together."""
    for entry, weight in held(model):
        yield from zip(entry.parts, entry.join.split(whole(weight, entry, model)), strict=True)


def canonical_gradients(model: MegatronDecoder) -> Iterator[tuple[str, Tensor]]:
    """The gradient of every canonical tensor, as `canonical_weights`."""
    for entry, weight in held(model):
        if not isinstance(weight, torch.nn.Parameter):
            continue
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


def put(target: Tensor, values: Tensor) -> None:
    """Copy values into a tensor, or this process's share of them into its shard."""
    if isinstance(target, DTensor):
        target.copy_(distribute_tensor(values.to(target.device), target.device_mesh, target.placements))
    else:
        target.copy_(values)
