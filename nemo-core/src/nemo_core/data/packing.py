"""Several conversations in one row, each on its own: less filling, the same loss.

Shapes: B rows, T places.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from ..foundation.errors import InputError
from .batch import IGNORED, Batch
from .sampler import Sampler

Item = TypeVar("Item")


@dataclass(frozen=True)
class Example:
    """Token ids of one conversation; `learn[i]` is true where token i is part of an answer."""

    ids: list[int]
    learn: list[bool]


def pack(lengths: Sequence[int], *, capacity: int) -> list[list[int]]:
    """Numbers of the examples that share a row: longest first, each in the row it fills best (Johnson 1973).

    Rows are in the order they were opened. Takes O(n log n), whatever the capacity. Raises InputError for an example
    that no row can hold.
    """
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    if order and lengths[order[0]] > capacity:
        raise InputError(f"example {order[0]} has {lengths[order[0]]} tokens, but a row holds {capacity}; cut it first")
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (room left, row), sorted
    for number in order:
        length = lengths[number]
        place = bisect_left(rooms, (length, 0))
        if place == len(rooms):
            rooms.insert(place, (capacity, len(rows)))
            rows.append([])
            place = bisect_left(rooms, (capacity, len(rows) - 1))
        room, row = rooms.pop(place)
        rows[row].append(number)
        if room > length:
            insort(rooms, (room - length, row))
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
class PackedData(Generic[Item]):
    """The global batch of every step, a pure function of the step: packed rows in an order chosen by the sampler.

    `rows` are numbers of the items that share a row; `collate` makes a batch of rows of items.
    """

    items: Sequence[Item]
    rows: list[list[int]]
    sampler: Sampler
    batch_size: int
    collate: Callable[[list[list[Item]]], Batch]

    def batch(self, step: int) -> Batch:
        """Packed rows that `step` (from 0) learns from."""
        first = step * self.batch_size
        chosen = [self.rows[self.sampler[place]] for place in range(first, first + self.batch_size)]
        return self.collate([[self.items[number] for number in row] for row in chosen])
