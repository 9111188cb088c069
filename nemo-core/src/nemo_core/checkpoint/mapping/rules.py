"""Maps between two layouts of a whole model: a list of rules, each a transform between few named tensors.

A map is data. It is read forwards (a Hugging Face folder to canonical tensors) or backwards, rule by rule, so that
memory holds what one rule needs; and it says of any single tensor, a weight or its optimizer moments, where it comes
from and goes to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from .transforms import Inverse, Same, Transform

Read = Callable[[str], Tensor]


@dataclass(frozen=True)
class Rule:
    """The tensors named `left` become those named `right`."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    transform: Transform = field(default_factory=Same)

    @property
    def reversed(self) -> "Rule":
        """The same rule, read from right to left."""
        return Rule(self.right, self.left, self.transform if self.keeps_numbers else Inverse(self.transform))

    @property
    def keeps_numbers(self) -> bool:
        """Whether only names change."""
        return type(self.transform) is Same

    def apply(self, read: Read) -> dict[str, Tensor]:
        """The right tensors, made of the left ones that `read` gives by name."""
        return dict(zip(self.right, self.transform.forward([read(name) for name in self.left])))

    def undo(self, read: Read) -> dict[str, Tensor]:
        """The left tensors, made of the right ones that `read` gives by name."""
        return dict(zip(self.left, self.transform.inverse([read(name) for name in self.right])))


@dataclass(frozen=True)
class TensorMap:
    """Rules that cover a model; `ignored` are patterns of left names that it leaves out."""

    rules: Sequence[Rule]
    ignored: tuple[str, ...] = ()

    @cached_property
    def by_left(self) -> Mapping[str, Rule]:
        """The rule that each left name takes part in."""
        return {name: rule for rule in self.rules for name in rule.left}

    @cached_property
    def by_right(self) -> Mapping[str, Rule]:
        """The rule that makes each right name."""
        return {name: rule for rule in self.rules for name in rule.right}

    def forward(self, read: Read) -> Iterator[tuple[str, Tensor]]:
        """Every right tensor, one rule at a time."""
        for rule in self.rules:
            yield from rule.apply(read).items()

    def backward(self, read: Read) -> Iterator[tuple[str, Tensor]]:
        """Every left tensor, one rule at a time."""
        for rule in self.rules:
            yield from rule.undo(read).items()
