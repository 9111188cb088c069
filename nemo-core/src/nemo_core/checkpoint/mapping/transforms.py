"""Invertible changes of tensors, each written once.

A transform takes the tensors of the left layout (a Hugging Face folder's, or the canonical ones for Megatron) and gives
those of the right one, and back. Sizes are proportions, never absolute: the same transform makes a rank's tensor out of
the shards of the whole ones, so a tensor-parallel rank never sees more than its part. `left_axis` and `right_axis` say
along which axis one side is cut where the other is cut along `axis` (None: whole on every rank). All but `Shift` only
move numbers, so they serve optimizer moments as well as weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Transform(Protocol):
    """m tensors on the left, n on the right."""

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """The right side's tensors."""

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """The left side's tensors."""

    def left_axis(self, axis: int | None) -> int | None:
        """The left side's, for the right side's."""

    def right_axis(self, axis: int | None) -> int | None:
        """The right side's, for the left side's."""


def joined(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors side by side along `axis`, as torch.cat, which on tensors without numbers loads torch's compiler."""
    sizes = [tensor.shape[axis] for tensor in tensors]
    shape = list(tensors[0].shape)
    shape[axis] = sum(sizes)
    whole = tensors[0].new_empty(shape)
    for part, tensor in zip(whole.split(sizes, axis), tensors):
        part.copy_(tensor)
    return whole


class Same:
    """Nothing changes but the name."""

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """As they are."""
        return list(left)

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """As they are."""
        return list(right)

    def left_axis(self, axis: int | None) -> int | None:
        """The same axis."""
        return axis

    def right_axis(self, axis: int | None) -> int | None:
        """The same axis."""
        return axis


class Transpose(Same):
    """Matrices with rows and columns exchanged (GPT-2 stores [in, out]); vectors stay."""

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """Exchange rows and columns."""
        return [tensor.T.contiguous() if tensor.ndim == 2 else tensor for tensor in left]

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """Exchange them back."""
        return self.forward(right)

    def left_axis(self, axis: int | None) -> int | None:
        """The other axis."""
        return None if axis is None else 1 - axis

    def right_axis(self, axis: int | None) -> int | None:
        """The other axis."""
        return self.left_axis(axis)


@dataclass(frozen=True)
class Split(Same):
    """One tensor whose rows are several tensors' rows, one block after the other: ``[q; k; v]`` or ``[gate; up]``.

    `parts` are the blocks' proportions.
    """

    parts: tuple[int, ...]

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """Cut into blocks."""
        (fused,) = left
        unit = fused.shape[0] // sum(self.parts)
        return [block.contiguous() for block in fused.split([unit * part for part in self.parts])]

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """Put the blocks together."""
        return [joined(right)]


@dataclass(frozen=True)
class SplitGroups(Same):
    """One tensor whose rows are groups, each with some heads of every part: per key head its queries, key and value.

    `heads` are the heads of each part in a group, `head_dim` rows each: ``(G, 1, 1)`` in Falcon, GPT-NeoX and Megatron.
    """

    heads: tuple[int, ...]
    head_dim: int

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """Collect each part's heads from all groups."""
        (fused,) = left
        grouped = fused.unflatten(0, (-1, sum(self.heads), self.head_dim))
        return [part.flatten(0, 2).contiguous() for part in grouped.split(list(self.heads), 1)]

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """Deal the heads out to the groups."""
        grouped = [tensor.unflatten(0, (-1, count, self.head_dim)) for tensor, count in zip(right, self.heads)]
        return [joined(grouped, 1).flatten(0, 2)]


@dataclass(frozen=True)
class PairOrder(Same):
    """Rows of each head whose turned features lie as pairs (0, 1), (2, 3) ...; here as halves (0, R/2), (1, R/2+1) ...

    Of every `head_dim` rows the `rotary_dim` from `start` on are reordered.
    """

    head_dim: int
    rotary_dim: int
    start: int = 0

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """Pairs to halves."""
        return [self.reordered(tensor, (-1, 2), (1, 0)) for tensor in left]

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """Halves to pairs."""
        return [self.reordered(tensor, (2, -1), (1, 0)) for tensor in right]

    def reordered(self, tensor: Tensor, shape: tuple[int, int], order: tuple[int, int]) -> Tensor:
        """The rows with each head's turned ones read in another order."""
        turned = torch.arange(self.rotary_dim).view(shape).permute(order).flatten() + self.start
        row_D = torch.arange(self.head_dim)
        row_D[self.start : self.start + self.rotary_dim] = turned
        reordered: Tensor = tensor.unflatten(0, (-1, self.head_dim))[:, row_D.to(tensor.device)].flatten(0, 1)
        return reordered


@dataclass(frozen=True)
class Stack(Same):
    """`count` tensors become one with a new first axis (experts)."""

    count: int

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """[...] each -> [count, ...]."""
        return [joined([tensor[None] for tensor in left])]

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """[count, ...] -> [...] each."""
        (stacked,) = right
        return [tensor.contiguous() for tensor in stacked.unbind()]

    def left_axis(self, axis: int | None) -> int | None:
        """One axis earlier; cutting the new first one gives out whole tensors, which is no cut of theirs."""
        return None if axis is None or axis == 0 else axis - 1

    def right_axis(self, axis: int | None) -> int | None:
        """One axis later."""
        return None if axis is None else axis + 1


@dataclass(frozen=True)
class Shift(Same):
    """A constant added to weights (a norm's scale stored as its distance from one); moments have to skip it."""

    amount: float

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """Add it."""
        return [tensor + self.amount for tensor in left]

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """Subtract it."""
        return [tensor - self.amount for tensor in right]


@dataclass(frozen=True)
class PadRows(Same):
    """A vocabulary of `rows` rows filled up with zeros to `padded`, so that ranks and kernels divide it.

    The cut into ranks comes after: both numbers are of whole tensors.
    """

    rows: int
    padded: int

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """Add rows of zeros."""
        return [torch.cat([t, t.new_zeros(self.padded - self.rows, *t.shape[1:])]) for t in left]

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """Drop them."""
        return [tensor[: self.rows].contiguous() for tensor in right]


@dataclass(frozen=True)
class Inverse:
    """Another transform with its sides exchanged: ``Inverse(Split((1, 1)))`` joins gate and up."""

    of: Transform

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """What the other one undoes."""
        return self.of.inverse(left)

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """What the other one does."""
        return self.of.forward(right)

    def left_axis(self, axis: int | None) -> int | None:
        """The other one's right axis."""
        return self.of.right_axis(axis)

    def right_axis(self, axis: int | None) -> int | None:
        """The other one's left axis."""
        return self.of.left_axis(axis)


@dataclass(frozen=True)
class Chain:
    """One transform after another, from left to right."""

    steps: tuple[Transform, ...]

    def forward(self, left: Sequence[Tensor]) -> list[Tensor]:
        """All steps."""
        tensors = list(left)
        for step in self.steps:
            tensors = step.forward(tensors)
        return tensors

    def inverse(self, right: Sequence[Tensor]) -> list[Tensor]:
        """All steps, backwards."""
        tensors = list(right)
        for step in reversed(self.steps):
            tensors = step.inverse(tensors)
        return tensors

    def left_axis(self, axis: int | None) -> int | None:
        """Through all steps, backwards."""
        for step in reversed(self.steps):
            axis = step.left_axis(axis)
        return axis

    def right_axis(self, axis: int | None) -> int | None:
        """Through all steps."""
        for step in self.steps:
            axis = step.right_axis(axis)
        return axis
