"""Pretraining batches: windows of equal length cut from the stream of all documents.

Shapes: B rows, T places.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batch import IGNORED, Batch
from .sampler import Sampler


@dataclass(frozen=True)
class Windows:
    """Window w of a token stream: tokens [w·T, (w+1)·T) as input, the same shifted by one as targets.

    The last window may be shorter than T; it is filled up, and the filling is not learnt.
    """

    tokens: NDArray[np.generic]
    length: int
    separator: int | None = None

    def __len__(self) -> int:
        """Number of windows; a stream of n tokens has n-1 targets."""
        return max(0, -(-(len(self.tokens) - 1) // self.length))

    @property
    def num_whole(self) -> int:
        """Number of windows that need no filling."""
        return max(0, (len(self.tokens) - 1) // self.length)

    def batch(self, numbers: list[int]) -> Batch:
        """The windows of these numbers as one batch; with a `separator`, documents in a row are kept apart."""
        ids_BT = torch.zeros(len(numbers), self.length, dtype=torch.int64)
        targets_BT = torch.full_like(ids_BT, IGNORED)
        for row, number in enumerate(numbers):
            start = number * self.length
            stretch = torch.from_numpy(np.array(self.tokens[start : start + self.length + 1], dtype=np.int64))
            ids_BT[row, : len(stretch) - 1] = stretch[:-1]
            targets_BT[row, : len(stretch) - 1] = stretch[1:]
        if self.separator is None:
            return Batch(ids_BT, targets_BT)
        positions_BT, segments_BT = split_documents(ids_BT, separator=self.separator)
        return Batch(ids_BT, targets_BT, positions_BT, segments_BT)


def split_documents(ids_BT: Tensor, *, separator: int) -> tuple[Tensor, Tensor]:
    """Place within its document, and the document's number in its row, of each token; `separator` ends one."""
    ends_BT = (ids_BT == separator).long()
    segments_BT = ends_BT.cumsum(1) - ends_BT
    place_T = torch.arange(ids_BT.shape[1])
    starts_BT = torch.where(torch.nn.functional.pad(ends_BT[:, :-1], (1, 0)) > 0, place_T, 0)
    return place_T - starts_BT.cummax(1).values, segments_BT


@dataclass(frozen=True)
class PretrainData:
    """The global batch of every step: a pure function of the step, whoever asks and wherever training stopped."""

    windows: Windows
    sampler: Sampler
    batch_size: int

    def batch(self, step: int) -> Batch:
        """Windows that `step` (from 0) learns from."""
        first = step * self.batch_size
        return self.windows.batch([self.sampler[place] for place in range(first, first + self.batch_size)])
