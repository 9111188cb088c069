"""How canonical tensors lie in the tensors of megatron.core, whole and shared by tensor parallelism.

The arithmetic is that of `checkpoint.mapping.transforms`, so converting needs no megatron.core. A rank's tensor is the
transform of its shards of the canonical ones: so the rank's gate lies above its up projection, and its groups of
queries, keys and values stay together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checkpoint.mapping.transforms import Inverse, PadRows, Same, Split, SplitGroups, Transform


@dataclass(frozen=True)
class Join:
    """Canonical tensors as one of megatron.core; `axis` is the one that ranks share (None: all hold all)."""

    transform: Transform
    axis: int | None = None

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The tensor of megatron.core: whole ones give the whole, one rank's give the rank's."""
        (joined,) = self.transform.forward([part.detach() for part in parts])
        return joined

    def split(self, joined: Tensor) -> list[Tensor]:
        """The canonical tensors again, bit for bit."""
        return self.transform.inverse([joined.detach()])

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        """The part that `rank` of `size` holds."""
        if self.axis is None or size == 1:
            return whole
        return self.join([part.tensor_split(size, self.axis)[rank] for part in self.split(whole)])

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        """The whole tensor of its parts, rank by rank."""
        if self.axis is None or len(shards) == 1:
            return shards[0]
        return self.join([torch.cat(parts, self.axis) for parts in zip(*map(self.split, shards), strict=True)])


class PaddedRows(Join):
    """An embedding of `rows` rows filled up to `total`, of which every rank holds as many."""

    def __init__(self, rows: int, total: int) -> None:
        super().__init__(Same() if rows == total else PadRows(rows, total), 0)

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        """An even share, padding included."""
        return whole.tensor_split(size)[rank]

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        """All shares."""
        return torch.cat(list(shards))


def same(axis: int | None = None) -> Join:
    """One tensor under another name."""
    return Join(Same(), axis)


def gate_up() -> Join:
    """Gate and up projection, one above the other."""
    return Join(Inverse(Split((1, 1))), 0)


def grouped_qkv(num_heads: int, num_kv_heads: int, head_dim: int) -> Join:
    """Queries, keys and values by key/value head: its query heads, its key, its value, then the next."""
    return Join(Inverse(SplitGroups((num_heads // num_kv_heads, 1, 1), head_dim)), 0)
