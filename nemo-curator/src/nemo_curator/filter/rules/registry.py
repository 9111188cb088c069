"""A rule says which documents are at fault, given one score and one limit; its name is the drop reason."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """A fault, the score that shows it, the threshold that decides, and what it says (with its source)."""

    reason: str
    score: str
    threshold: str
    at_fault: Callable[[Scores, float], Mask]

    @property
    def about(self) -> str:
        """The rule in one sentence, with its source."""
        return " ".join((self.at_fault.__doc__ or "").split())


RULES: list[Rule] = []


def rule(*, score: str, threshold: str) -> Callable[[Callable[[Scores, float], Mask]], Callable[[Scores, float], Mask]]:
    """Register a function as the rule of its own name."""

    def register(at_fault: Callable[[Scores, float], Mask]) -> Callable[[Scores, float], Mask]:
        RULES.append(Rule(at_fault.__name__, score, threshold, at_fault))
        return at_fault

    return register
