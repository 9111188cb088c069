"""Weights of a model that is laid out already: each process gets memory for what it holds, and only that is filled."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..checkpoint.mapping.rules import Read
from ..checkpoint.state_piece import like, piece_of, slices
from ..model.decoder import Decoder
from ..peft.places import canonical_name


def is_outline(model: nn.Module) -> bool:
    """Whether weights of `model` are without numbers, on the device "meta"."""
    return any(weight.is_meta for weight in model.parameters())


@torch.no_grad()
def fill_buffers(model: nn.Module, read: Read) -> None:
    """Give buffers that a folder holds (biases of routers) their numbers; every process has all of its layers'."""
    for name, buffer in list(model.named_buffers()):
        if buffer.is_meta:
            parent, _, leaf = name.rpartition(".")
            model.get_submodule(parent).register_buffer(leaf, read(name).to(buffer.dtype))


@torch.no_grad()
def fill_weights(model: Decoder, roots: Sequence[nn.Module], read: Read, *, device: torch.device) -> None:
    """Put this process's blocks of the canonical tensors that `read` gives into what `roots`, parts of `model`, hold.

    One whole tensor is in memory at a time. What has numbers already, adapters and buffers, keeps them.
    """
    empty = [name for name, weight in model.named_parameters() if weight.is_meta]
    for root in roots:
        make_room(root, device)
    weights = dict(model.named_parameters())
    for name in empty:
        fill(weights[name], read(canonical_name(name)), name)


def fill(weight: Tensor, whole: Tensor, name: str) -> None:
    """Copy the block of `whole` that this process holds into `weight`."""
    piece = piece_of(name, weight)
    block = whole[slices(piece.offset, tuple(piece.data.shape), origin=(0,) * whole.ndim)]
    weight.copy_(like(weight, block.to(weight.device, weight.dtype)))


def make_room(root: nn.Module, device: torch.device) -> None:
    """Memory on `device` for all of `root`; numbers that are there are kept."""
    kept = {name: tensor.detach().clone() for name, tensor in tensors_of(root) if not tensor.is_meta}
    root.to_empty(device=device)
    for name, tensor in tensors_of(root):
        if name in kept:
            tensor.copy_(kept[name])


def tensors_of(root: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights and buffers by name."""
    yield from root.named_parameters()
    yield from root.named_buffers()
