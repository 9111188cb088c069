"""Optimizers that look at whole matrices, over the joined and shared ones of megatron.core.

A tensor of megatron.core is taken apart into canonical matrices (queries, keys and values; gate and up), each put
together from all tensor-parallel ranks, and updated as the native implementation updates it. What is kept for the
matrix `n` of a weight is called ``n.<key>`` in the optimizer's state: this rank's part of what has a number for each of
the matrix's, all of the rest. See docs/decisions/0075.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..checkpoint.state_step import SavedState
from ..train.optimizer import MuonWithAdamW, adamw, is_hidden, make_adafactor, make_muon, matrix_groups
from ..train.settings import OptimizerSettings
from ..train.whole_matrices import ByWholeMatrix
from .mapping import Entry
from .weights import gathered, of_all_ranks, put

LIKE_WEIGHT = ("momentum_buffer", "variance", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
Held = Sequence[tuple[Entry, nn.Parameter]]
Group = dict[str, Any]


class ByCanonicalMatrix(ByWholeMatrix):
    """`make(groups)`, an optimizer whose update of a matrix depends on that matrix alone, over tensors of `held`."""

    def __init__(
        self, make: Callable[[list[Group]], Optimizer], groups: list[Group], held: Held, *, rank: int, size: int
    ) -> None:
        super().__init__(make, groups)
        self.rank, self.size = rank, size
        self.entries: dict[Tensor, Entry] = {weight: entry for entry, weight in held}

    def update(self, weight: nn.Parameter, options: Mapping[str, Any]) -> None:
        """One step of one tensor of megatron.core."""
        entry = self.entries[weight]
        assert weight.grad is not None
        pairs = zip(self.apart(entry, weight), self.apart(entry, weight.grad), strict=True)
        updated = [
            self.update_part(entry, number, part, gradient, state=self.state[weight], options=options)
            for number, (part, gradient) in enumerate(pairs)
        ]
        put(weight, entry.join.shard(entry.join.join(updated), rank=self.rank, size=self.size))

    def update_part(
        self,
        entry: Entry,
        number: int,
        part: Tensor,
        gradient: Tensor,
        *,
        state: dict[str, Any],
        options: Mapping[str, Any],
    ) -> Tensor:
        """One step of one canonical matrix, whole."""
        whole = nn.Parameter(part.clone())
        whole.grad = gradient.contiguous()
        one = self.make([{**options, "params": [whole]}])
        one.state[whole] = {key: self.whole(entry, key, value) for key, value in of_part(state, number).items()}
        one.step()
        state |= {f"{number}.{key}": self.own(entry, key, value) for key, value in one.state[whole].items()}
        return whole.detach()

    def apart(self, entry: Entry, tensor: Tensor) -> list[Tensor]:
        """The canonical matrices of a weight or its gradient, of all ranks."""
        return entry.join.split(entry.join.unshard(of_all_ranks(gathered(tensor), self.size)))

    def whole(self, entry: Entry, key: str, value: Any) -> Any:
        """What is kept of a matrix, of all ranks."""
        if not is_shared(entry, key, value, size=self.size):
            return value
        return torch.cat(of_all_ranks(value, self.size), entry.join.axis or 0)

    def own(self, entry: Entry, key: str, value: Any) -> Any:
        """This rank's part of what is kept of a matrix."""
        return own_part(entry, key, value, rank=self.rank, size=self.size)


def is_shared(entry: Entry, key: str, value: Any, *, size: int) -> bool:
    """Whether ranks share out what is kept of a matrix."""
    return (
        size > 1 and entry.join.axis is not None and key in LIKE_WEIGHT and isinstance(value, Tensor) and value.ndim > 0
    )


def own_part(entry: Entry, key: str, value: Any, *, rank: int, size: int) -> Any:
    """A rank's part of what is kept of a matrix."""
    if not is_shared(entry, key, value, size=size):
        return value
    return value.tensor_split(size, entry.join.axis or 0)[rank].clone()


def of_part(state: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What is kept of the matrix `number` of a weight."""
    before = f"{number}."
    return {key.removeprefix(before): value for key, value in state.items() if key.startswith(before)}


def saved_parts(entry: Entry, saved: SavedState, keys: Sequence[str], *, rank: int, size: int) -> dict[str, Any]:
    """What a saved state holds of the matrices of a weight, as `ByCanonicalMatrix` keeps it."""
    found = {
        (number, key): f"optim.{part}.{key}"
        for number, part in enumerate(entry.parts)
        for key in keys
        if f"optim.{part}.{key}" in saved
    }
    return {
        f"{number}.{key}": own_part(entry, key, saved[name], rank=rank, size=size)
        for (number, key), name in found.items()
    }


def build(held: Held, settings: OptimizerSettings, *, learning_rate: float, rank: int, size: int) -> Optimizer:
    """Muon or Adafactor over a megatron model's weights, choosing among them as the native implementation does."""
    betas = (settings.beta1, settings.beta2)
    if settings.kind == "adafactor":
        groups = matrix_groups([weight for _, weight in held], learning_rate, settings.weight_decay)
        return ByCanonicalMatrix(make_adafactor, groups, held, rank=rank, size=size)
    hidden = [(entry, weight) for entry, weight in held if is_hidden(entry.parts[0], weight)]
    rest = [weight for entry, weight in held if not is_hidden(entry.parts[0], weight)]
    groups = [{"params": [weight for _, weight in hidden], "lr": learning_rate, "weight_decay": settings.weight_decay}]
    muon = ByCanonicalMatrix(make_muon, groups, hidden, rank=rank, size=size)
    return MuonWithAdamW(muon, adamw(rest, learning_rate, settings.weight_decay, betas))
