"""A running average of the weights (Polyak and Juditsky 1992), often better than the last weights themselves."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..checkpoint.state_step import SavedState
from .weights import trained_weights

PREFIX = "ema."


class Ema:
    """average := decay * average + (1 - decay) * weights after each step; begins as the first weights."""

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self._weights = dict(trained_weights(model))
        self.average = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def begin(self) -> None:
        """Begin again with the weights as they are."""
        for name, weight in self._weights.items():
            self.average[name].copy_(weight.detach())

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of a finished step in."""
        for name, weight in self._weights.items():
            self.average[name].lerp_(weight.detach(), 1 - self.decay)

    def tensors(self) -> dict[str, Tensor]:
        """What a saved state holds of it."""
        return {f"{PREFIX}{name}": tensor for name, tensor in self.average.items()}

    @torch.no_grad()
    def restore(self, saved: SavedState) -> None:
        """Put back what `tensors` gave."""
        for name, tensor in self.average.items():
            tensor.copy_(saved.fill(f"{PREFIX}{name}", tensor))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            kept = weight.detach().clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(kept)
