"""What a model computes on the way: hidden states behind every layer, and the logits.

B rows, T places, E hidden width, V vocabulary.
"""

from dataclasses import dataclass

from torch import Tensor

from ..foundation.errors import SuiteError


@dataclass(frozen=True)
class Trace:
    """`hidden` starts with the embeddings and ends with the last layer, after the final norm, [B,T,E] each."""

    hidden: list[Tensor]
    logits: Tensor

    def stages(self) -> list[tuple[str, Tensor]]:
        """Every stage by name, in order."""
        last = len(self.hidden) - 1
        names = ["embeddings", *(f"layer {number}" for number in range(last))]
        names[-1] += " and final norm"
        return [*zip(names, self.hidden, strict=True), ("logits", self.logits)]


@dataclass(frozen=True)
class Difference:
    """The largest differences from the native trace; `first` is the stage that exceeds the tolerance first."""

    logits: float
    stages: dict[str, float]
    first: str | None


class Disagreement(SuiteError):
    """Two implementations compute different things of one checkpoint; exit code 1."""


def compare(native: Trace, other: Trace, *, tolerance: float) -> Difference:
    """How far `other` is from `native`; NaN counts as infinitely far.

    Hidden states grow from layer to layer in some models, so their differences are divided by their largest value
    where that is above one. Logits are compared as they are.
    """
    stages: dict[str, float] = {}
    for (name, expected), (_, seen) in zip(native.stages(), other.stages(), strict=True):
        scale = 1.0 if name == "logits" else max(1.0, float(expected.abs().max()))
        apart = float((expected.float() - seen.float()).abs().max()) / scale
        stages[name] = apart if apart == apart else float("inf")
    first = next((name for name, apart in stages.items() if apart > tolerance), None)
    return Difference(stages["logits"], stages, first)
