"""Pretraining batches: windows of equal length cut from the stream of all documents.

Shapes: B rows, T places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..foundation.errors import InputError
from .batch import IGNORED, Batch
from .batch_size import BatchSizes
from .blend import Blend, blend
from .sampler import Sampler, mix


@dataclass(frozen=True)
class Windows:
    """Window w of a token stream: tokens [w·T, (w+1)·T) as input, the same shifted by one as targets.

    The last window may be shorter than T; it is filled up, and the filling is not learnt. `name` is the file, for
    messages; tokens from `vocab_size` on are refused where it is given.
    """

    tokens: NDArray[np.generic]
    length: int
    separator: int | None = None
    name: str = "tokens"
    vocab_size: int | None = None

    def __len__(self) -> int:
        """Number of windows; a stream of n tokens has n-1 targets."""
        return max(0, -(-(len(self.tokens) - 1) // self.length))

    @property
    def num_whole(self) -> int:
        """Number of windows that need no filling."""
        return max(0, (len(self.tokens) - 1) // self.length)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The windows of these numbers as one batch; with a `separator`, documents in a row are kept apart."""
        return stacked([self.row(number) for number in numbers], separator=self.separator)

    def row(self, number: int) -> tuple[Tensor, Tensor]:
        """Ids and targets of one window, [T] each. Raises InputError for an id outside the vocabulary."""
        ids_T = torch.zeros(self.length, dtype=torch.int64)
        targets_T = torch.full_like(ids_T, IGNORED)
        start = number * self.length
        stretch = torch.from_numpy(np.array(self.tokens[start : start + self.length + 1], dtype=np.int64))
        if self.vocab_size is not None and int(stretch.max()) >= self.vocab_size:
            raise InputError(unknown_token(self.name, int(stretch.max()), self.vocab_size))
        ids_T[: len(stretch) - 1] = stretch[:-1]
        targets_T[: len(stretch) - 1] = stretch[1:]
        return ids_T, targets_T


def stacked(rows: Sequence[tuple[Tensor, Tensor]], *, separator: int | None) -> Batch:
    """Rows of ids and targets as one batch; documents are kept apart where a `separator` is given."""
    ids_BT, targets_BT = (torch.stack(column) for column in zip(*rows, strict=True))
    if separator is None:
        return Batch(ids_BT, targets_BT)
    positions_BT, segments_BT = split_documents(ids_BT, separator=separator)
    return Batch(ids_BT, targets_BT, positions_BT, segments_BT)


def unknown_token(name: str, token: int, vocab_size: int) -> str:
    """What is wrong with data that hold a token outside the vocabulary."""
    return (
        f"{name}: holds token {token}, but its tokenizer has {vocab_size} tokens: "
        "another tokenizer made it; tokenize the documents again"
    )


def split_documents(ids_BT: Tensor, *, separator: int) -> tuple[Tensor, Tensor]:
    """Place within its document, and the document's number in its row, of each token; `separator` ends one."""
    ends_BT = (ids_BT == separator).long()
    segments_BT = ends_BT.cumsum(1) - ends_BT
    place_T = torch.arange(ids_BT.shape[1])
    starts_BT = torch.where(torch.nn.functional.pad(ends_BT[:, :-1], (1, 0)) > 0, place_T, 0)
    return place_T - starts_BT.cummax(1).values, segments_BT


@dataclass(frozen=True)
class PretrainData:
    """The global batch of every step: a pure function of the step, whoever asks and wherever training stopped.

    Each collection of windows is shuffled by a sampler of its own; `blend` says which collection comes at which place.
    """

    windows: Sequence[Windows]
    samplers: Sequence[Sampler]
    blend: Blend
    sizes: BatchSizes

    def batch(self, step: int) -> Batch:
        """Windows that `step` (from 0) learns from."""
        return stacked([self._row(place) for place in self.sizes.span(step)], separator=self.windows[0].separator)

    def _row(self, place: int) -> tuple[Tensor, Tensor]:
        number, sample = self.blend.locate(place)
        return self.windows[number].row(self.samplers[number][sample])


def pretrain_data(
    windows: Mapping[str, Windows], weights: Mapping[str, float], *, seed: int, sizes: BatchSizes
) -> PretrainData:
    """The stream of named collections, blended by weight, each in a shuffled order of its own; see `blend.shares`."""
    samplers = [
        Sampler(w.num_whole, mix(seed) ^ number if number else seed) for number, w in enumerate(windows.values())
    ]
    return PretrainData(list(windows.values()), samplers, blend(weights), sizes)
