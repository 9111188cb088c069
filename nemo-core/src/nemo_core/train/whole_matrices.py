"""Optimizers that look at whole matrices, where each process holds a part of them.

One weight after another is gathered with its gradient and its state, updated by every process as one process would,
and cut again. So the numbers are those of whole weights, the memory is that of one of them, and what is paid is the
traffic of a gather and the same computation in all processes.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ..checkpoint.state_piece import like, piece_of, slices
from ..parallel.buckets import local

Group = dict[str, Any]


class ByWholeMatrix(Optimizer):
    """`make(groups)`, an optimizer whose update of a weight depends on that weight alone, over weights in parts."""

    def __init__(self, make: Callable[[list[Group]], Optimizer], groups: list[Group]) -> None:
        super().__init__(groups, {})
        self.make = make

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient; all processes call it alike. A closure is refused."""
        if closure is not None:
            raise ValueError("ByWholeMatrix takes no closure")
        for group in self.param_groups:
            options = {name: value for name, value in group.items() if name != "params"}
            for weight in group["params"]:
                if weight.grad is not None:
                    self.update(weight, options)

    def update(self, weight: nn.Parameter, options: Mapping[str, Any]) -> None:
        """One step of one weight."""
        whole = nn.Parameter(gathered(weight))
        whole.grad = gathered(weight.grad)
        one = self.make([{**options, "params": [whole]}])
        one.state[whole] = {name: gathered(value) for name, value in self.state[weight].items()}
        one.step()
        local(weight).copy_(local(own_part(whole, weight)))
        self.state[weight] = {name: own_part(value, weight) for name, value in one.state[whole].items()}


def is_in_parts(weights: list[nn.Parameter]) -> bool:
    """Whether a process may hold a part of a weight only."""
    return any(isinstance(weight, DTensor) for weight in weights)


def gathered(value: Any) -> Any:
    """A tensor, whole."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def own_part(value: Any, weight: Tensor) -> Any:
    """What this process holds of a tensor with one number for each of the weight's; any other is kept whole."""
    if not isinstance(value, Tensor) or not isinstance(weight, DTensor) or value.shape != weight.shape:
        return value
    piece = piece_of("", weight)
    part = value.detach()[slices(piece.offset, tuple(piece.data.shape), origin=(0,) * value.ndim)]
    return like(weight, part.clone())
