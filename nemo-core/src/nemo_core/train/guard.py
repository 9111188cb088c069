"""Losses that leap: noticed by their distance from the recent ones, skipped, and undone where they go on."""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .care import GuardSettings
from .recovery import BadSteps, Diverged
from .weights import trained_weights

MEMORY = 0.97  # share of the running figures kept at each step: they look back about 33 steps
FEWEST = 20  # losses seen before one can be called a spike


@dataclass
class RecentLoss:
    """Running mean and variance of the losses of good steps; saved with the state."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, loss: float) -> None:
        """Take a good loss in (exponentially weighted, West 1979)."""
        self.count += 1
        share = max(1 - MEMORY, 1 / self.count)
        apart = loss - self.mean
        self.mean += share * apart
        self.variance = (1 - share) * (self.variance + share * apart * apart)

    def is_spike(self, loss: float, *, factor: float) -> bool:
        """Whether a loss is `factor` standard deviations (at least 1 % of the mean) above the recent ones."""
        spread = max(math.sqrt(self.variance), 0.01 * abs(self.mean))
        return self.count >= FEWEST and loss > self.mean + factor * spread

    def saved(self) -> dict[str, Any]:
        """Its figures, for the state."""
        return asdict(self)


class GoodMoment:
    """Weights and optimizer state as they were when all was well, in memory."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._weights: dict[str, Tensor] = {}
        self._moments: dict[Tensor, dict[str, Any]] = {}

    @torch.no_grad()
    def remember(self) -> None:
        """Keep a copy of everything that a step changes."""
        self._weights = {name: weight.detach().clone() for name, weight in trained_weights(self._model)}
        self._moments = {weight: copied(state) for weight, state in self._optimizer.state.items()}

    @torch.no_grad()
    def go_back(self) -> None:
        """Make weights and optimizer what they were; the moment stays remembered."""
        for name, weight in trained_weights(self._model):
            weight.copy_(self._weights[name])
        self._optimizer.state.clear()
        self._optimizer.state.update({weight: copied(state) for weight, state in self._moments.items()})


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of one weight's optimizer state."""
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in state.items()}


class Guard:
    """Judges every step: bad ones are skipped, and after some in a row the weights go back to a good moment."""

    def __init__(self, settings: GuardSettings, bad: BadSteps, recent: RecentLoss, moment: GoodMoment) -> None:
        self.settings, self.bad, self.recent = settings, bad, recent
        self._moment = moment
        self.rollbacks = 0
        if settings.rollback_after:
            moment.remember()

    def is_bad(self, step: int, *, loss: float, grad_norm: float) -> bool:
        """Whether the step must be skipped. Raises Diverged where too many in a row were bad."""
        factor = self.settings.spike_factor
        spike = bool(factor) and math.isfinite(loss) and self.recent.is_spike(loss, factor=factor)
        if spike:
            tell(f"step {step}: loss {loss:.4g} leaps from {self.recent.mean:.4g}; this step is skipped")
        bad = self.bad.is_bad(step, loss=loss, grad_norm=grad_norm, spike=spike)
        if not bad:
            self.recent.add(loss)
        return bad

    def after_step(self, step: int) -> None:
        """Remember a good moment where one is due, or go back to it. Raises Diverged after too many times."""
        settings = self.settings
        if not settings.rollback_after:
            return
        if self.bad.in_a_row >= settings.rollback_after:
            self._roll_back(step)
        elif not self.bad.in_a_row and step % settings.remember_every == 0:
            self._moment.remember()

    def _roll_back(self, step: int) -> None:
        self.rollbacks += 1
        if self.rollbacks > self.settings.max_rollbacks:
            raise Diverged(
                f"step {step}: bad steps again after {self.settings.max_rollbacks} rollbacks (guard.max_rollbacks); "
                "lower learning_rate, or look at the data"
            )
        self._moment.go_back()
        self.bad.in_a_row = 0
        tell(f"step {step}: weights and optimizer go back to an earlier moment; the data go on from here")


def tell(message: str) -> None:
    """One line on stderr, from the first process of a run only."""
    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)
