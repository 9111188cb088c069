"""The running average of a megatron model's weights, saved under canonical names as the native one's."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..checkpoint.state_step import SavedState
from ..train.ema import PREFIX, Ema
from .mapping import Entry
from .model import MegatronDecoder
from .weights import gathered, put

ShardOf = Callable[[Entry, Callable[[str], Tensor]], Tensor]


class MegatronEma(Ema):
    """The average of the weights of `trained`; `shard_of` gives this rank's part of a tensor from canonical ones."""

    def __init__(
        self, model: MegatronDecoder, trained: Sequence[tuple[Entry, Tensor]], shard_of: ShardOf, *, decay: float
    ) -> None:
        super().__init__(model, decay=decay)
        names = {id(weight): name for name, weight in self._weights.items()}
        self.shard_of = shard_of
        self.averaged = [(entry, self.average[names[id(weight)]]) for entry, weight in trained]

    def tensors(self) -> dict[str, Tensor]:
        """This rank's part of every averaged canonical weight."""
        parts = (zip(entry.parts, entry.join.split(gathered(mean)), strict=True) for entry, mean in self.averaged)
        return {f"{PREFIX}{name}": tensor for named in parts for name, tensor in named}

    @torch.no_grad()
    def restore(self, saved: SavedState) -> None:
        """Put back what was saved, by whichever implementation."""
        for entry, mean in self.averaged:
            put(mean, self.shard_of(entry, lambda part: saved[f"{PREFIX}{part}"]))
