"""Keys and values of all blocks.

L layer, K key/value head, S positions of all blocks, block after block, D head width, N tokens of a step.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config import ModelConfig
from . import kernels
from .scheduler import Copy

ALIGNMENT = 64


Slots = slice | Tensor  # positions in the cache: one after another, or anywhere


class LayerBlocks(NamedTuple):
    """Keys and values of one layer, and the keys seen the other way."""

    k_KSD: Tensor
    v_KSD: Tensor
    k_KDS: Tensor

    def store(self, slot_N: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> None:
        """Write the keys and values of a step's tokens, each to its place."""
        for data, new_NKD in ((self.k_KSD, k_NKD), (self.v_KSD, v_NKD)):
            if kernels.take(new_NKD):
                kernels.store(new_NKD, slot_N, data)
            else:
                data.index_copy_(1, slot_N, new_NKD.transpose(0, 1))


class KVCache:
    """Room for `num_blocks` blocks of `block_size` positions. Blocks one after another are one stretch of memory.

    Zero at first, so that positions which are masked out never hold NaN. On a CPU, memory is taken when a block is
    first written.
    """

    def __init__(
        self, config: ModelConfig, *, num_blocks: int, block_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.block_size = block_size
        shape = config.num_layers, config.num_kv_heads, num_blocks * block_size
        self.k_LKSD = zeros((*shape, config.head_dim), device=device, dtype=dtype)
        self.v_LKSD = zeros((*shape, config.value_dim), device=device, dtype=dtype)
        self.layers = [LayerBlocks(k_KSD, v_KSD, k_KSD.mT) for k_KSD, v_KSD in zip(self.k_LKSD, self.v_LKSD)]

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy the beginnings of blocks."""
        for copy in copies:
            source, target = copy.source * self.block_size, copy.target * self.block_size
            for data in (self.k_LKSD, self.v_LKSD):
                data[:, :, target : target + copy.count] = data[:, :, source : source + copy.count]

    def clear(self) -> None:
        """Zero everything."""
        self.k_LKSD.zero_()
        self.v_LKSD.zero_()


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
