"""A long text measured window by window, each token counted once.

B rows, T places.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.batch import IGNORED, Batch


@dataclass(frozen=True)
class SlidingWindows:
    """Windows of `length` inputs that move on by `stride` tokens; what an earlier window has counted is only read.

    With stride 0 windows share nothing, and tokens early in a window have little context; a smaller stride gives every
    token at least `length - stride` of them, at length / stride times the cost. Figures of different strides are not to
    be compared.
    """

    tokens: NDArray[np.generic]
    length: int
    stride: int = 0

    @property
    def step(self) -> int:
        """Tokens that each window after the first counts."""
        return min(self.stride, self.length) or self.length

    def __len__(self) -> int:
        """Number of windows; a stream of n tokens has n-1 targets."""
        rest = len(self.tokens) - 1 - self.length
        return 1 + max(0, -(-rest // self.step)) if len(self.tokens) > 1 else 0

    def batch(self, numbers: list[int]) -> Batch:
        """The windows of these numbers, the last filled up."""
        ids_BT = torch.zeros(len(numbers), self.length, dtype=torch.int64)
        targets_BT = torch.full_like(ids_BT, IGNORED)
        for row, number in enumerate(numbers):
            start = number * self.step
            stretch = torch.from_numpy(np.array(self.tokens[start : start + self.length + 1], dtype=np.int64))
            counted = self.length - self.step if number else 0
            ids_BT[row, : len(stretch) - 1] = stretch[:-1]
            targets_BT[row, counted : len(stretch) - 1] = stretch[1 + counted :]
        return Batch(ids_BT, targets_BT)
