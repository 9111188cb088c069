"""A model as one process knows it, put together from what the processes of a run hold."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..checkpoint.state_piece import Piece, piece_of, slices
from ..model.decoder import Decoder
from ..peft.quantize import QuantizedLinear


def blueprint_of(model: Decoder) -> Decoder:
    """The model without its weights: the same modules, every parameter on the meta device."""
    memo: dict[int, object] = {
        id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=weight.requires_grad)
        for weight in model.parameters()
    }
    packed = [module.packed for module in model.modules() if isinstance(module, QuantizedLinear)]
    memo |= {id(numbers): torch.empty_like(numbers, device="meta") for numbers in packed}
    return copy.deepcopy(model, memo)


def whole_model(blueprint: Decoder, weights: Mapping[str, Tensor], *, is_first: bool) -> Decoder | None:
    """The whole model on the CPU of the first process, tensor by tensor; None in the others."""
    result = copy.deepcopy(blueprint) if is_first else None
    names = [name for name, _ in blueprint.named_parameters()]
    for name, tensor in whole_tensors(names, weights, is_first=is_first):
        assert result is not None
        put_parameter(result, name, tensor)
    return result.cpu() if result is not None else None


def put_parameter(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Replace a parameter, leaving whether it is trained as it was."""
    parent_name, _, leaf = name.rpartition(".")
    parent = model.get_submodule(parent_name)
    trained = bool(getattr(parent, leaf).requires_grad)
    setattr(parent, leaf, nn.Parameter(tensor, requires_grad=trained))


def whole_tensors(names: list[str], weights: Mapping[str, Tensor], *, is_first: bool) -> Iterator[tuple[str, Tensor]]:
    """Each named tensor, whole, in the first process; the others only send what they hold."""
    for name in names:
        tensor = whole_tensor(name, weights, is_first=is_first)
        if tensor is not None:
            yield name, tensor


def whole_tensor(name: str, weights: Mapping[str, Tensor], *, is_first: bool) -> Tensor | None:
    """A tensor, whole, on the CPU of the first process; None in the others. All processes call it alike."""
    piece = piece_of(name, weights[name]) if name in weights else None
    holders = gather_outlines(piece)
    if is_first:
        return assemble(piece, holders)
    if dist.get_rank() in holders:
        assert piece is not None
        dist.send(piece.data.cpu().contiguous(), 0)
    return None


@contextlib.contextmanager
def reading(
    names: list[str], weights: Mapping[str, Tensor], *, is_first: bool
) -> Iterator[Callable[[str], Tensor] | None]:
    """In the first process, a function that gives any of the named tensors, whole, one at a time and in any order.

    The others send what it asks for until its block ends, then enter their own with None.
    """
    if not is_first:
        while (number := announced(-1)) >= 0:
            whole_tensor(names[number], weights, is_first=False)
        yield None
        return

    def read(name: str) -> Tensor:
        announced(names.index(name))
        tensor = whole_tensor(name, weights, is_first=True)
        assert tensor is not None
        return tensor

    try:
        yield read
    finally:
        announced(-1)


def announced(number: int) -> int:
    """The first process's number, in every process."""
    told = torch.tensor(number)
    dist.broadcast(told, 0)
    return int(told)


@dataclass(frozen=True)
class Outline:
    """Where a process's block lies in a tensor, and its form."""

    shape: tuple[int, ...]
    offset: tuple[int, ...]
    extent: tuple[int, ...]
    dtype: torch.dtype


def gather_outlines(piece: Piece | None) -> dict[int, Outline]:
    """By rank, what the first holder of every different block has; the same in every process."""
    mine = (
        None
        if piece is None or not piece.data.numel()
        else Outline(piece.shape, piece.offset, tuple(piece.data.shape), piece.data.dtype)
    )
    first: dict[Outline, int] = {}
    for rank, outline in enumerate(exchange(mine)):
        if outline is not None:
            first.setdefault(outline, rank)
    return {rank: outline for outline, rank in first.items()}


DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8)
MAX_AXES = 8


def exchange(mine: Outline | None) -> list[Outline | None]:
    """Every process's outline, in the order of ranks; sent as numbers."""
    if not dist.is_initialized():
        return [mine]
    numbers = torch.full((2 + 3 * MAX_AXES,), -1, dtype=torch.int64)
    if mine is not None:
        axes = len(mine.shape)
        numbers[0], numbers[1] = DTYPES.index(mine.dtype), axes
        numbers[2 : 2 + 3 * axes] = torch.tensor([*mine.shape, *mine.offset, *mine.extent])
    received = [torch.empty_like(numbers) for _ in range(dist.get_world_size())]
    dist.all_gather(received, numbers)
    return [outline_of(values.tolist()) for values in received]


def outline_of(values: list[int]) -> Outline | None:
    """An outline from the numbers that were sent."""
    dtype, axes, *rest = values
    if dtype < 0:
        return None
    shape, offset, extent = (tuple(rest[n * axes : (n + 1) * axes]) for n in range(3))
    return Outline(shape, offset, extent, DTYPES[dtype])


def assemble(piece: Piece | None, holders: Mapping[int, Outline]) -> Tensor:
    """The whole tensor, from this process's block and those that others send."""
    one = next(iter(holders.values()))
    result = torch.empty(one.shape, dtype=one.dtype)
    for rank, outline in holders.items():
        if rank == 0:
            assert piece is not None
            block = piece.data.cpu()
        else:
            block = torch.empty(outline.extent, dtype=outline.dtype)
            dist.recv(block, rank)
        result[slices(outline.offset, outline.extent, origin=(0,) * len(outline.shape))] = block
    return result
