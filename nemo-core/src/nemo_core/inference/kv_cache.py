"""Keys and values of all blocks.

L layer, N block, K key/value head, P position in a block, D head width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..config import ModelConfig
from .scheduler import Copy

ALIGNMENT = 64


class KVCache:
    """Room for `num_blocks` blocks of `block_size` positions.

    Zero at first, so that positions which are masked out never hold NaN. On a CPU, memory is taken when a block is
    first written.
    """

    def __init__(
        self, config: ModelConfig, *, num_blocks: int, block_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.block_size = block_size
        shape = config.num_layers, num_blocks, config.num_kv_heads, block_size
        self.k_LNKPD = zeros((*shape, config.head_dim), device=device, dtype=dtype)
        self.v_LNKPD = zeros((*shape, config.value_dim), device=device, dtype=dtype)

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one layer, [N, K, P, D] each."""
        return self.k_LNKPD[index], self.v_LNKPD[index]

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy the beginnings of blocks."""
        for copy in copies:
            for data in (self.k_LNKPD, self.v_LNKPD):
                data[:, copy.target, :, : copy.count] = data[:, copy.source, :, : copy.count]

    def clear(self) -> None:
        """Zero everything."""
        self.k_LNKPD.zero_()
        self.v_LNKPD.zero_()


def bytes_per_token(config: ModelConfig, dtype: torch.dtype) -> int:
    """Memory that the keys and values of one token take."""
    return config.num_layers * config.num_kv_heads * (config.head_dim + config.value_dim) * dtype.itemsize


def zeros(shape: Sequence[int], *, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Zeros; on a CPU of memory that the system hands out when it is first written, at a cache line's beginning."""
    if device.type != "cpu":
        return torch.zeros(tuple(shape), device=device, dtype=dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return torch.from_numpy(raw[start : start + size]).view(dtype).view(tuple(shape))
