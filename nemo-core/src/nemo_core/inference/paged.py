"""Attention of single queries over keys and values that lie in blocks.

The keys of a row are scattered over blocks. Copying them together costs twice the time of reading them, so on a CPU the
blocks are visited in the order in which they lie in memory: each (block, row) pair is one small product, and only the
scores and results, which are small, are sorted by row. A pair's numbers do not depend on the other pairs.

B rows, J blocks of a row, N pairs, S = J*P positions of a row, K key/value heads, G query heads of each, P positions of
a block, D head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DENSE = 0.5  # from this share of used blocks on, visiting a whole range of them is faster than picking them out


@dataclass(frozen=True)
class Decoding:
    """Rows that compute one token: where their blocks are, how many positions each sees, and the pairs to visit."""

    stop_B: Tensor
    span: int
    table_BJ: Tensor
    pairs: "Pairs | None"

    @classmethod
    def of(
        cls, tables: Sequence[Sequence[int]], stops: Sequence[int], *, block_size: int, device: torch.device
    ) -> "Decoding":
        """Rows whose positions before `stops` lie in the blocks of `tables`. Pairs are for CPUs only."""
        counts = [-(-stop // block_size) for stop in stops]
        widest = max(counts)
        table_BJ = np.zeros((len(tables), widest), np.int64)
        for row, (table, count) in enumerate(zip(tables, counts)):
            table_BJ[row, :count] = table[:count]
        pairs = Pairs.of(table_BJ, np.asarray(counts)) if device.type == "cpu" else None
        return cls(
            torch.tensor(stops, device=device), widest * block_size, torch.from_numpy(table_BJ).to(device), pairs
        )

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.stop_B)

    def bias(self, window: int | None) -> Tensor:
        """What is added to the scores so that each row sees its own last `window` positions only, [B, 1, 1, S]."""
        position_S = torch.arange(self.span, device=self.stop_B.device)
        hidden_BS = position_S >= self.stop_B[:, None]
        if window is not None:
            hidden_BS |= position_S < self.stop_B[:, None] - window
        bias_BS = torch.zeros(hidden_BS.shape, device=hidden_BS.device).masked_fill_(hidden_BS, -torch.inf)
        return bias_BS[:, None, None]


@dataclass(frozen=True)
class Pairs:
    """The pairs in the order of visits: those of a range of blocks, then single blocks that are picked out."""

    visited: slice
    picked_M: Tensor
    owner_N: Tensor
    place_BJ: Tensor
    source_N: Tensor
    sum_order_N: Tensor
    sum_owner_N: Tensor
    in_order: bool

    @classmethod
    def of(cls, table_BJ: "np.ndarray[tuple[int, int], np.dtype[np.int64]]", counts_B: "np.ndarray") -> "Pairs":
        """A range where it is used densely; blocks of several rows are picked out for all but the first."""
        rows, widest = table_BJ.shape
        is_used_BJ = np.arange(widest) < counts_B[:, None]
        owner, column = np.nonzero(is_used_BJ)
        block = table_BJ[owner, column]
        distinct, first = np.unique(block, return_index=True)
        low, high = int(distinct[0]), int(distinct[-1]) + 1
        if len(distinct) < DENSE * (high - low):
            low, high, first = 0, 0, first[:0]
        visits = np.full(len(block), -1)
        visits[first] = block[first] - low
        others = np.flatnonzero(visits < 0)
        visits[others] = high - low + np.arange(len(others))
        owner_N = np.zeros(high - low + len(others), np.int64)
        owner_N[visits] = owner
        source_N = np.zeros_like(owner_N)
        source_N[visits] = owner * widest + column
        place_BJ = np.zeros((rows, widest), np.int64)
        place_BJ[owner, column] = visits
        order = np.argsort(column, kind="stable")
        in_order = rows == 1 and not len(others) and bool((visits == column).all()) and len(owner_N) == widest
        return cls(
            visited=slice(low, high),
            picked_M=torch.from_numpy(block[others]),
            owner_N=torch.from_numpy(owner_N),
            place_BJ=torch.from_numpy(place_BJ),
            source_N=torch.from_numpy(source_N),
            sum_order_N=torch.from_numpy(visits[order]),
            sum_owner_N=torch.from_numpy(owner[order]),
            in_order=in_order,
        )


def attend_blocks(
    q_BKGD: Tensor, cache: tuple[Tensor, Tensor], decoding: Decoding, *, bias_B11S: Tensor, softcap: float | None
) -> Tensor:
    """Mixed values of scaled queries, [B, K, G, D]; block tables on a GPU, pairs on a CPU."""
    if decoding.pairs is None:
        return attend_tables(q_BKGD, cache, decoding.table_BJ, bias_B11S=bias_B11S, softcap=softcap)
    return attend_pairs(q_BKGD, cache, decoding.pairs, bias_B11S=bias_B11S, softcap=softcap)


def attend_pairs(
    q_BKGD: Tensor, cache: tuple[Tensor, Tensor], pairs: Pairs, *, bias_B11S: Tensor, softcap: float | None
) -> Tensor:
    """Visits the blocks where they lie."""
    k_NKPD, v_NKPD = cache
    rows, widest = pairs.place_BJ.shape
    if pairs.in_order:
        return attend_run(
            q_BKGD, k_NKPD[pairs.visited], v_NKPD[pairs.visited], pairs, bias_B11S=bias_B11S, softcap=softcap
        )
    score_NKGP = multiply(q_BKGD[pairs.owner_N], k_NKPD.mT, pairs)
    score_BKGJP = score_NKGP[pairs.place_BJ].permute(0, 2, 3, 1, 4)
    weight_BKGS = weigh(score_BKGJP.flatten(3), bias_B11S, softcap).to(v_NKPD.dtype)
    weight_BJKGP = weight_BKGS.unflatten(3, (widest, -1)).permute(0, 3, 1, 2, 4)
    part_NKGD = multiply(weight_BJKGP.flatten(0, 1)[pairs.source_N], v_NKPD, pairs)
    mixed_BKGD = part_NKGD.new_zeros(rows, *part_NKGD.shape[1:])
    return mixed_BKGD.index_add_(0, pairs.sum_owner_N, part_NKGD[pairs.sum_order_N])


def attend_run(
    q_1KGD: Tensor, k_NKPD: Tensor, v_NKPD: Tensor, pairs: Pairs, *, bias_B11S: Tensor, softcap: float | None
) -> Tensor:
    """`attend_pairs` for one row whose blocks lie one after another: the same numbers without sorting."""
    score_1KGNP = (q_1KGD @ k_NKPD.mT).permute(1, 2, 0, 3)[None]
    weight_1KGS = weigh(score_1KGNP.flatten(3), bias_B11S, softcap).to(v_NKPD.dtype)
    weight_NKGP = weight_1KGS.unflatten(3, (len(v_NKPD), -1))[0].permute(2, 0, 1, 3)
    part_NKGD = weight_NKGP @ v_NKPD
    return torch.zeros_like(part_NKGD[:1]).index_add_(0, pairs.sum_owner_N, part_NKGD)


def multiply(left_NKGX: Tensor, right_NKXY: Tensor, pairs: Pairs) -> Tensor:
    """Each pair's product with its block, [N, K, G, Y]."""
    visits = pairs.visited.stop - pairs.visited.start
    if not len(pairs.picked_M):
        return left_NKGX @ right_NKXY[pairs.visited]
    picked_MKGY = left_NKGX[visits:] @ right_NKXY[pairs.picked_M]
    if not visits:
        return picked_MKGY
    return torch.cat([left_NKGX[:visits] @ right_NKXY[pairs.visited], picked_MKGY])


def attend_tables(
    q_BKGD: Tensor, cache: tuple[Tensor, Tensor], table_BJ: Tensor, *, bias_B11S: Tensor, softcap: float | None
) -> Tensor:
    """Copies each row's blocks together first; on a GPU that is faster than many small products."""
    k_BKSD, v_BKSD = (part_NKPD[table_BJ].transpose(1, 2).flatten(2, 3) for part_NKPD in cache)
    weight_BKGS = weigh(q_BKGD @ k_BKSD.mT, bias_B11S, softcap)
    mixed_BKGD: Tensor = weight_BKGS.to(v_BKSD.dtype) @ v_BKSD
    return mixed_BKGD


def weigh(score_BKGS: Tensor, bias_B11S: Tensor, softcap: float | None) -> Tensor:
    """Softmax of the scores in fp32, soft-capped first (Gemma 2) where there is a cap."""
    score_BKGS = score_BKGS.float()
    if softcap is not None:
        score_BKGS = torch.tanh(score_BKGS / softcap) * softcap
    return (score_BKGS + bias_B11S).softmax(-1)
