"""The tokens of one step, laid out side by side.

N tokens of the step, B decoding slots, S cached positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .scheduler import Chunk

BLOCK = 16  # cached lengths are rounded up to this, so that vector tails do not depend on the neighbours' lengths


@dataclass(frozen=True)
class Batch:
    """Decoding slots first, one token each, then prompt chunks; `ends` says where each chunk's last token is."""

    ids_N: Tensor
    positions_N: Tensor
    slots_N: Tensor
    decoding: "Decoding | None"
    prompts: Sequence[Chunk]
    ends: Sequence[int]

    @classmethod
    def of(
        cls, chunks: Sequence[Chunk], tokens: Sequence[Sequence[int]], *, positions: int, device: torch.device
    ) -> "Batch":
        """Lay out `chunks` (those of one token first) of the slots' `tokens`; the cache has room for `positions`."""
        ids: list[int] = []
        places: list[int] = []
        slots: list[int] = []
        ends: list[int] = []
        for chunk in chunks:
            ids += tokens[chunk.slot][chunk.start : chunk.stop]
            places += range(chunk.start, chunk.stop)
            slots += [chunk.slot] * (chunk.stop - chunk.start)
            ends.append(len(ids) - 1)
        singles = [c for c in chunks if c.stop - c.start == 1]
        return cls(
            ids_N=torch.tensor(ids, device=device),
            positions_N=torch.tensor(places, device=device),
            slots_N=torch.tensor(slots, device=device),
            decoding=Decoding.of(singles, positions=positions, device=device) if singles else None,
            prompts=chunks[len(singles) :],
            ends=ends,
        )


@dataclass(frozen=True)
class Decoding:
    """Slots that compute one token, and what is added to their scores so that each sees its own positions only."""

    rows: slice | Tensor
    count: int
    span: int
    bias_B11S: Tensor

    @classmethod
    def of(cls, chunks: Sequence[Chunk], *, positions: int, device: torch.device) -> "Decoding":
        """The longest slot sets how many positions are read, in whole blocks."""
        longest = max(c.stop for c in chunks)
        span = min(positions, -(-longest // BLOCK) * BLOCK)
        stop_B1 = torch.tensor([[c.stop] for c in chunks], device=device)
        unseen_BS = torch.arange(span, device=device) >= stop_B1
        bias_BS = torch.zeros(unseen_BS.shape, device=device).masked_fill_(unseen_BS, -torch.inf)
        slots = [c.slot for c in chunks]
        dense = slots == list(range(len(slots)))
        rows = slice(0, len(slots)) if dense else torch.tensor(slots, device=device)
        return cls(rows, len(slots), span, bias_BS[:, None, None])
