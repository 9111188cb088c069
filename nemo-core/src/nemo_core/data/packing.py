"""Several conversations in one row, each on its own: less filling, the same loss.

Shapes: B rows, T places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .batch import IGNORED, Batch
from .sampler import Sampler


@dataclass(frozen=True)
class Example:
    """Token ids of one conversation; `learn[i]` is true where token i is part of an answer."""

    ids: list[int]
    learn: list[bool]


def pack(lengths: Sequence[int], *, capacity: int) -> list[list[int]]:
    """Numbers of the examples that share a row: longest first, each where it first fits (Johnson 1973)."""
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    rows: list[list[int]] = []
    room: list[int] = []
    first_open = 0
    for number in order:
        length = lengths[number]
        place = next((r for r in range(first_open, len(rows)) if room[r] >= length), None)
        if place is None:
            rows.append([])
            room.append(capacity)
            place = len(rows) - 1
        rows[place].append(number)
        room[place] -= length
        while first_open < len(rows) and room[first_open] < lengths[order[-1]]:
            first_open += 1
    return rows


def packed_batch(rows: Sequence[Sequence[Example]]) -> Batch:
    """One batch row for each list of examples, all as long as the longest; filling is no example's and not learnt."""
    length = max(sum(len(example.ids) for example in row) for row in rows)
    shape = (len(rows), length)
    ids_BT, positions_BT = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    targets_BT = torch.full(shape, IGNORED)
    segments_BT = torch.zeros(shape, dtype=torch.int64)
    for row, examples in enumerate(rows):
        start = 0
        for number, example in enumerate(examples):
            stop = start + len(example.ids)
            ids = torch.tensor(example.ids)
            ids_BT[row, start:stop] = ids
            positions_BT[row, start:stop] = torch.arange(stop - start)
            segments_BT[row, start:stop] = number
            learnt = torch.tensor(example.learn[1:], dtype=torch.bool)
            targets_BT[row, start : stop - 1] = torch.where(learnt, ids[1:], IGNORED)
            start = stop
        segments_BT[row, start:] = len(examples)
        positions_BT[row, start:] = torch.arange(length - start)
    return Batch(ids_BT, targets_BT, positions_BT, segments_BT)


@dataclass(frozen=True)
class SftData:
    """The global batch of every step, a pure function of the step: packed rows in an order chosen by the sampler."""

    examples: list[Example]
    rows: list[list[int]]
    sampler: Sampler
    batch_size: int

    def batch(self, step: int) -> Batch:
        """Packed rows that `step` (from 0) learns from."""
        first = step * self.batch_size
        chosen = [self.rows[self.sampler[place]] for place in range(first, first + self.batch_size)]
        return packed_batch([[self.examples[number] for number in row] for row in chosen])
