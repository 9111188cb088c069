"""Attention of single queries over keys and values that lie in blocks.

Where a row's blocks lie one after another, which is what the pool tries for, its keys and values are one stretch of
memory and are read where they are; else they are copied together first. Either way a row's numbers are computed alike
and from its own positions only: no padding, no mask, and no bit depends on the other rows.

B rows, J blocks of a row, S positions of a row, K key/value heads, G query heads of each, D head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.heads import capped
from . import kernels
from .kernels import RowBlocks
from .kv_cache import LayerBlocks, Slots


@dataclass(frozen=True)
class Decoding:
    """Rows that compute one token: their blocks, how many positions each sees, and where those lie."""

    tables: Sequence[Sequence[int]]
    stops: Sequence[int]
    block_size: int
    device: torch.device

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.stops)

    def seen(self, window: int | None, *, compiled: bool = False) -> "Seen":
        """What the rows look at: their last `window` positions, or all of them; `compiled`: for the kernels."""
        if self.device.type != "cpu":
            return self.table(window)
        starts = [0 if window is None else max(0, stop - window) for stop in self.stops]
        if compiled:
            return RowBlocks(self.blocks(), torch.tensor(starts), torch.tensor(self.stops), self.block_size)
        return [
            places_of(blocks, start, stop, block_size=self.block_size, device=self.device)
            for blocks, start, stop in zip(self.tables, starts, self.stops)
        ]

    def blocks(self) -> Tensor:
        """The rows' blocks, filled up with zeros to the longest."""
        counts = [-(-stop // self.block_size) for stop in self.stops]
        most = max(counts)
        return torch.tensor([[*blocks[:count], *[0] * (most - count)] for blocks, count in zip(self.tables, counts)])

    def table(self, window: int | None) -> "Table":
        """The same as one table, filled up where a row is shorter than the longest."""
        size = self.block_size
        slot_BS = (self.blocks().numpy()[:, :, None] * size + np.arange(size)).reshape(self.count, -1)
        position_S, stop_B1 = np.arange(slot_BS.shape[1]), np.asarray(self.stops)[:, None]
        hidden_BS = position_S >= stop_B1
        if window is not None:
            hidden_BS |= position_S < stop_B1 - window
        bias_BS = np.where(hidden_BS, -np.inf, 0.0).astype(np.float32)
        return Table(
            torch.from_numpy(slot_BS).to(self.device), torch.from_numpy(bias_BS).to(self.device)[:, None, None]
        )


@dataclass(frozen=True)
class Table:
    """Where each position of each row lies, and what is added to its score: 0, or -inf where it is not seen."""

    slot_BS: Tensor
    bias_B11S: Tensor


Seen = Sequence[Slots] | Table | RowBlocks


def places_of(blocks: Sequence[int], start: int, stop: int, *, block_size: int, device: torch.device) -> Slots:
    """Where positions `start` to `stop`-1 of a row with these blocks lie."""
    first, last = start // block_size, -(-stop // block_size)
    if blocks[last - 1] - blocks[first] == last - 1 - first and is_run(blocks[first:last]):
        offset = (blocks[first] - first) * block_size
        return slice(start + offset, stop + offset)
    slot_JP = np.asarray(blocks[first:last])[:, None] * block_size + np.arange(block_size)
    return torch.from_numpy(slot_JP.ravel()[start - first * block_size : stop - first * block_size]).to(device)


def is_run(numbers: Sequence[int]) -> bool:
    """Whether each number is one more than that before it."""
    return list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))


def attend_blocks(q_BHD: Tensor, cache: LayerBlocks, seen: Seen, *, scale: float, softcap: float | None) -> Tensor:
    """Mixed values of queries, [B, H*V]; all rows together on a GPU, row by row on a CPU."""
    if isinstance(seen, RowBlocks):
        return kernels.attend(q_BHD, cache.k_KSD, cache.v_KSD, seen, scale=scale, softcap=softcap)
    rows, _, width = q_BHD.shape
    q_BKGD = torch.mul(q_BHD, scale).view(rows, cache.k_KSD.shape[0], -1, width)
    return attend_groups(q_BKGD, cache, seen, softcap).view(rows, -1)


def attend_groups(q_BKGD: Tensor, cache: LayerBlocks, seen: Sequence[Slots] | Table, softcap: float | None) -> Tensor:
    """Mixed values of scaled queries, heads grouped by the key head that they share, [B, K, G, V]."""
    if isinstance(seen, Table):
        return attend_table(q_BKGD, cache, seen, softcap)
    if len(seen) == 1:
        return attend_row(q_BKGD[0], *of_row(cache, seen[0]), softcap).unsqueeze(0)
    return torch.stack(
        [attend_row(q_KGD, *of_row(cache, slots), softcap) for q_KGD, slots in zip(q_BKGD.unbind(), seen)]
    )


def of_row(cache: LayerBlocks, slots: Slots) -> tuple[Tensor, Tensor]:
    """A row's keys, seen the other way, and values: [K, D, S], [K, S, D]."""
    if isinstance(slots, slice):
        start, count = slots.start, slots.stop - slots.start
        return cache.k_KDS.narrow(2, start, count), cache.v_KSD.narrow(1, start, count)
    return cache.k_KSD.index_select(1, slots).mT, cache.v_KSD.index_select(1, slots)


def attend_row(q_KGD: Tensor, k_KDS: Tensor, v_KSD: Tensor, softcap: float | None) -> Tensor:
    """One row's mixed values, [K, G, D]."""
    return torch.bmm(weigh(torch.bmm(q_KGD, k_KDS), softcap), v_KSD)


def attend_table(q_BKGD: Tensor, cache: LayerBlocks, table: Table, softcap: float | None) -> Tensor:
    """All rows at once, their keys and values copied together first."""
    k_BKSD, v_BKSD = (part_KSD[:, table.slot_BS].transpose(0, 1) for part_KSD in (cache.k_KSD, cache.v_KSD))
    mixed_BKGD: Tensor = weigh(q_BKGD @ k_BKSD.mT, softcap, table.bias_B11S) @ v_BKSD
    return mixed_BKGD


def weigh(score: Tensor, softcap: float | None, bias: Tensor | None = None) -> Tensor:
    """Softmax of the scores in fp32, soft-capped first (Gemma 2) where there is a cap. [..., S] -> [..., S]."""
    dtype = score.dtype
    if dtype != torch.float32:
        score = score.float()
    score = capped(score, softcap)
    if bias is not None:
        score = score + bias
    weight = score.softmax(-1)
    return weight if dtype == torch.float32 else weight.to(dtype)
