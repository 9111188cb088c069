"""How canonical tensors lie in the tensors of megatron.core: each way forth, back, and shared by tensor parallelism.

Plain tensor arithmetic, so converting needs no megatron.core. H query heads, K key/value heads, D head width, S shards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Join(Protocol):
    """Several canonical tensors as one; what S tensor-parallel ranks hold of it."""

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The whole tensor of a model that is not shared out."""

    def split(self, whole: Tensor) -> list[Tensor]:
        """The canonical tensors again, bit for bit."""

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        """The part that `rank` of `size` holds."""

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        """The whole tensor of its parts, rank by rank."""


@dataclass(frozen=True)
class Same:
    """One tensor under another name, shared along `axis` (None: every rank holds all of it)."""

    axis: int | None = None

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The tensor itself."""
        (whole,) = parts
        return whole

    def split(self, whole: Tensor) -> list[Tensor]:
        """The tensor itself."""
        return [whole]

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        """An even slice along the axis."""
        return whole if self.axis is None else whole.tensor_split(size, self.axis)[rank]

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        """The slices put together."""
        return shards[0] if self.axis is None else torch.cat(list(shards), self.axis)


@dataclass(frozen=True)
class Rows:
    """An embedding whose rows are filled up with zeros to `total`, shared along rows."""

    rows: int
    total: int

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """With the rows that nobody looks up."""
        (table,) = parts
        extra = self.total - self.rows
        return torch.cat([table, table.new_zeros(extra, *table.shape[1:])]) if extra else table

    def split(self, whole: Tensor) -> list[Tensor]:
        """Without them; a table padded to any other size is taken, too."""
        return [whole[: self.rows]]

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        """An even share of the rows."""
        return whole.tensor_split(size)[rank]

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        """The shares put together."""
        return torch.cat(list(shards))


@dataclass(frozen=True)
class GroupedQkv:
    """Queries, keys and values by key/value head: its query heads, its key, its value, then the next. Biases too."""

    num_heads: int
    num_kv_heads: int
    head_dim: int

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """[H*D,...], [K*D,...], [K*D,...] -> [(H+2K)*D,...]."""
        groups = [part.unflatten(0, (self.num_kv_heads, -1)) for part in parts]
        return torch.cat(groups, 1).flatten(0, 1)

    def split(self, whole: Tensor) -> list[Tensor]:
        """[(H+2K)*D,...] -> [H*D,...], [K*D,...], [K*D,...]."""
        queries = self.num_heads // self.num_kv_heads * self.head_dim
        groups = whole.unflatten(0, (self.num_kv_heads, -1))
        return [part.flatten(0, 1) for part in groups.split([queries, self.head_dim, self.head_dim], 1)]

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        """Whole groups; where there are fewer groups than ranks, an even slice of one."""
        return whole.tensor_split(size)[rank]

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        """The groups of all ranks."""
        return torch.cat(list(shards))


@dataclass(frozen=True)
class GateUp:
    """Gate and up projection, one above the other; every rank holds its rows of both, so shards interleave."""

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """[F,...], [F,...] -> [2F,...]."""
        return torch.cat(list(parts))

    def split(self, whole: Tensor) -> list[Tensor]:
        """The two halves."""
        return list(whole.chunk(2))

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        """Its rows of the gate above its rows of the up projection."""
        return torch.cat([half.tensor_split(size)[rank] for half in whole.chunk(2)])

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        """All gates above all ups."""
        halves = [shard.chunk(2) for shard in shards]
        return torch.cat([half[0] for half in halves] + [half[1] for half in halves])
