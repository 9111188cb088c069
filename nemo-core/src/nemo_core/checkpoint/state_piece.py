"""Blocks of tensors: what one process holds of a tensor, and where that lies in the whole."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

Extent = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """`data` is the block of the tensor `name` (whose whole shape is `shape`) that begins at `offset`."""

    name: str
    data: Tensor
    shape: Extent
    offset: Extent

    @property
    def num_bytes(self) -> int:
        """Size of the block."""
        return self.data.numel() * self.data.element_size()


def piece_of(name: str, tensor: Tensor) -> Piece:
    """What this process holds of a tensor: its shard of a DTensor, all of any other. Shares memory."""
    tensor = tensor.detach()
    if not isinstance(tensor, DTensor):
        return Piece(name, tensor, tuple(tensor.shape), (0,) * tensor.ndim)
    _, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    return Piece(name, tensor.to_local(), tuple(tensor.shape), tuple(offset))


def is_first_holder(tensor: DTensor) -> bool:
    """Whether this process is the first of those that hold the same shard."""
    coordinate: Sequence[int] = tensor.device_mesh.get_coordinate() or []
    return all(at == 0 for at, placement in zip(coordinate, tensor.placements) if isinstance(placement, Replicate))


def alone(name: str) -> str:
    """A group for each tensor."""
    return name


def pieces_to_write(
    tensors: Mapping[str, Tensor],
    *,
    rank: int,
    size: int,
    owns: Callable[[DTensor], bool] = is_first_holder,
    group: Callable[[str], str] = alone,
) -> list[Piece]:
    """The blocks that holder `rank` of `size` writes, so that together they write every block once.

    A shard is written where `owns` says so; plain tensors, which all `size` processes hold, are shared out by size,
    those of one `group` to the same process.
    """
    sharded = [piece_of(name, t) for name, t in tensors.items() if isinstance(t, DTensor) and owns(t)]
    groups: dict[str, list[Piece]] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, DTensor):
            groups.setdefault(group(name), []).append(piece_of(name, tensor))
    mine = [pieces for pieces, holder in zip(groups.values(), share_out(groups.values(), size)) if holder == rank]
    return [piece for piece in (*sharded, *itertools.chain(*mine)) if piece.data.numel()]


def share_out(groups: Iterable[Sequence[Piece]], size: int) -> Iterator[int]:
    """A holder for each group, always the one with the fewest bytes so far; the same answer in every process."""
    load = [0] * size
    for pieces in groups:
        holder = min(range(size), key=load.__getitem__)
        load[holder] += sum(piece.num_bytes for piece in pieces)
        yield holder


def overlap(offset: Extent, shape: Extent, other_offset: Extent, other_shape: Extent) -> tuple[Extent, Extent] | None:
    """First corner and extent of what two blocks have in common; None where that is nothing."""
    low = tuple(map(max, zip(offset, other_offset)))
    high = tuple(min(a + n, b + m) for a, n, b, m in zip(offset, shape, other_offset, other_shape))
    if any(a >= b for a, b in zip(low, high)):
        return None
    return low, tuple(b - a for a, b in zip(low, high))


def slices(corner: Extent, extent: Extent, *, origin: Extent) -> tuple[slice, ...]:
    """The block at `corner` as an index into a block that begins at `origin`."""
    return tuple(slice(at - start, at - start + length) for at, length, start in zip(corner, extent, origin))


def like(tensor: Tensor, local: Tensor) -> Tensor:
    """`local` as a shard laid out as `tensor` is; unchanged where `tensor` is plain."""
    if not isinstance(tensor, DTensor):
        return local
    return DTensor.from_local(
        local, tensor.device_mesh, tensor.placements, run_check=False, shape=tensor.shape, stride=tensor.stride()
    )


def staged(piece: Piece) -> Piece:
    """The piece in memory of its own on the CPU, so that training may go on changing the original."""
    copy = torch.empty(piece.data.shape, dtype=piece.data.dtype)
    return Piece(piece.name, copy.copy_(piece.data), piece.shape, piece.offset)
