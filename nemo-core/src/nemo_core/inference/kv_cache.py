"""Keys and values of every slot, allocated ahead of need.

L layer, R slot, K key/value head, P position, D head width.
"""

import torch
from torch import Tensor

from ..config import ModelConfig

FIRST_POSITIONS = 256


class KVCache:
    """Room for `slots` sequences of up to `length` positions, which grows by doubling as they get longer.

    Zeroed, so that positions which are masked out never hold NaN.
    """

    def __init__(
        self, config: ModelConfig, *, slots: int, length: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.length = length
        shape = config.num_layers, 2, slots, config.num_kv_heads, min(length, FIRST_POSITIONS), config.head_dim
        self.data_L2RKPD = torch.zeros(shape, device=device, dtype=dtype)

    @property
    def positions(self) -> int:
        """How many positions of each slot there is room for now."""
        return self.data_L2RKPD.shape[4]

    def reserve(self, positions: int) -> None:
        """Make room for `positions`, keeping what is stored."""
        old_L2RKPD = self.data_L2RKPD
        if positions > self.positions:
            grown = min(self.length, max(positions, 2 * self.positions))
            self.data_L2RKPD = old_L2RKPD.new_zeros(*old_L2RKPD.shape[:4], grown, old_L2RKPD.shape[5])
            self.data_L2RKPD[:, :, :, :, : old_L2RKPD.shape[4]] = old_L2RKPD

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one layer, [R, K, P, D] each."""
        return self.data_L2RKPD[index, 0], self.data_L2RKPD[index, 1]

    def copy(self, source: int, target: int, length: int) -> None:
        """Give slot `target` the first `length` positions of `source`."""
        if source != target and length:
            self._rows(target, length).copy_(self._rows(source, length))

    def swap(self, left: int, right: int, length: int) -> None:
        """Exchange the first `length` positions of two slots."""
        if left != right and length:
            kept = self._rows(left, length).clone()
            self.copy(right, left, length)
            self._rows(right, length).copy_(kept)

    def _rows(self, slot: int, length: int) -> Tensor:
        return self.data_L2RKPD[:, :, slot, :, :length]
