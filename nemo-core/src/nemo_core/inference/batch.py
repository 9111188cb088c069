"""The tokens of one step, laid out side by side.

N tokens of the step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .kv_cache import Slots
from .paged import Decoding, places_of
from .scheduler import Chunk


@dataclass(frozen=True)
class Prompt:
    """One chunk of several tokens: `tokens` of the step, positions up to `stop`, and where those all lie."""

    tokens: slice
    start: int
    stop: int
    slots: Slots


@dataclass(frozen=True)
class Batch:
    """Decoding rows first, one token each, then prompt chunks; `slot_N` says where each token goes."""

    ids_N: Tensor
    positions_N: Tensor
    slot_N: Tensor
    is_long_N: Tensor | None
    decoding: Decoding | None
    prompts: Sequence[Prompt]
    tokens: Sequence[slice]

    @classmethod
    def of(
        cls, chunks: Sequence[Chunk], *, block_size: int, device: torch.device, long_from: int | None = None
    ) -> "Batch":
        """Lay out `chunks`, those of one token first; rows of more than `long_from` tokens are marked long."""
        ids: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        spans: list[slice] = []
        long: list[bool] = []
        for chunk in chunks:
            places = range(chunk.start, chunk.stop)
            spans.append(slice(len(ids), len(ids) + len(places)))
            ids += chunk.row.tokens[chunk.start : chunk.stop]
            positions += places
            blocks = chunk.row.blocks
            slots += [blocks[place // block_size] * block_size + place % block_size for place in places]
            long += [long_from is not None and len(chunk.row.tokens) > long_from] * len(places)
        singles = sum(chunk.stop - chunk.start == 1 for chunk in chunks)
        return cls(
            ids_N=torch.tensor(ids, device=device),
            positions_N=torch.tensor(positions, device=device),
            slot_N=torch.tensor(slots, device=device),
            is_long_N=torch.tensor(long, device=device) if long_from is not None else None,
            decoding=decoding_of(chunks[:singles], block_size, device) if singles else None,
            prompts=[
                prompt_of(chunk, span, block_size, device) for chunk, span in zip(chunks[singles:], spans[singles:])
            ],
            tokens=spans,
        )

    def without_cache(self) -> "Batch":
        """The same tokens, each chunk a whole prompt."""
        prompts = [Prompt(span, 0, span.stop - span.start, slice(0)) for span in self.tokens]
        return replace(self, decoding=None, prompts=prompts)


def decoding_of(chunks: Sequence[Chunk], block_size: int, device: torch.device) -> Decoding:
    """The chunks of one token."""
    return Decoding([c.row.blocks for c in chunks], [c.stop for c in chunks], block_size, device)


def prompt_of(chunk: Chunk, span: slice, block_size: int, device: torch.device) -> Prompt:
    """A chunk of several tokens."""
    return Prompt(
        span, chunk.start, chunk.stop, places_of(chunk.row.blocks, 0, chunk.stop, block_size=block_size, device=device)
    )
