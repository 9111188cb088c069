"""The protocol between an algorithm and the policy that trains with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from nemo_core.model.decoder import Decoder

Item = TypeVar("Item")


@dataclass(frozen=True)
class MicroBatch(Generic[Item]):
    """Some items of a batch and the weight that each carries in the whole batch's mean."""

    items: Sequence[Item]
    weights: Sequence[float]


@dataclass(frozen=True)
class LossTerms:
    """A micro batch's share of the batch's loss and of its metrics; `peaks` are combined by maximum, not by sum."""

    loss: Tensor
    shares: dict[str, Tensor] = field(default_factory=dict)
    peaks: dict[str, Tensor] = field(default_factory=dict)


class Objective(Protocol[Item]):
    """How a batch is cut and what each piece costs."""

    def cut(self, items: Sequence[Item], *, max_tokens: int) -> Sequence[MicroBatch[Item]]:
        """Micro batches of at most `max_tokens` padded tokens, with weights from the whole batch."""
        ...

    def loss(self, model: Decoder, part: MicroBatch[Item]) -> LossTerms:
        """The part's share of the batch's loss."""
        ...
