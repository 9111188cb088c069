"""Keys and values of the running requests, one row each; running rows are always the first ones, without gaps.

L layers, N rows, K key/value heads, S positions, D head width.
"""

import torch
from torch import Tensor

from ..config import ModelConfig


class KVCache:
    """Storage [L, 2, N, K, S, D], allocated once, and the number of positions filled in each row."""

    def __init__(
        self, config: ModelConfig, *, rows: int, max_length: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.num_layers, 2, rows, config.num_kv_heads, max_length, config.head_dim)
        self.store_L2NKSD = torch.zeros(shape, dtype=dtype, device=device)
        self.length_N = torch.zeros(rows, dtype=torch.long, device=device)
        self.lengths: list[int] = []

    def fill(self, prompts_L2MKSD: Tensor, source_M: list[int], lengths: list[int]) -> None:
        """Append rows: row i takes prompt `source_M[i]` with `lengths[i]` positions."""
        start, count, width = len(self.lengths), len(source_M), prompts_L2MKSD.shape[4]
        self.store_L2NKSD[:, :, start : start + count, :, :width] = prompts_L2MKSD[:, :, source_M]
        self.lengths += lengths
        self.length_N[start : start + count] = torch.tensor(lengths, device=self.length_N.device)

    def advance(self) -> None:
        """Every row has gained a position."""
        self.length_N[: len(self.lengths)] += 1
        self.lengths = [length + 1 for length in self.lengths]

    def remove(self, row: int) -> None:
        """Free `row`; the last row takes its place."""
        last = len(self.lengths) - 1
        if row != last:
            length = self.lengths[last]
            self.store_L2NKSD[:, :, row, :, :length] = self.store_L2NKSD[:, :, last, :, :length]
            self.length_N[row] = length
            self.lengths[row] = length
        self.lengths.pop()
