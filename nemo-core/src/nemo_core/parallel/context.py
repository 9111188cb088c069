"""Context parallel: each process computes a stretch of every sequence and sees the keys and values of all.

Keys and values are gathered per layer (as in Llama 3's training, Llama team 2024, section 3.3), so any mask is exact;
the gradient of a gathered key is summed back to the process it came from.

B batch, K key/value heads, T this process's places, S all places, D head width.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..data.batch import Batch
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder


class GatherPlaces(torch.autograd.Function):
    """[B,K,T,D] of each process to [B,K,S,D] in all of them."""

    @staticmethod
    def forward(ctx: Any, x_BKTD: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Put the stretches one after another."""
        ctx.group = group
        return gather_places(x_BKTD, group, axis=2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum what every process says of this process's stretch."""
        grad_BKSD = gradients[0].contiguous()
        dist.all_reduce(grad_BKSD, group=ctx.group)
        return grad_BKSD.chunk(ctx.group.size(), 2)[ctx.group.rank()].contiguous(), None


def gather_places(x: Tensor, group: dist.ProcessGroup, *, axis: int) -> Tensor:
    """The stretches of all processes, joined along `axis`."""
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(group.size())]
    dist.all_gather(parts, x.contiguous(), group=group)
    return torch.cat(parts, axis)


class GatheredKeys:
    """In place of a layer's cache: gives attention the keys and values of the whole sequence."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group

    def extend(self, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of all places, [B, K, S, D] each."""
        both_BKTD = torch.cat([k_BKTD, v_BKTD], -1)
        k_width = k_BKTD.shape[-1]
        gathered_BKSD: Tensor = GatherPlaces.apply(both_BKTD, self.group)  # type: ignore[no-untyped-call]
        return gathered_BKSD[..., :k_width], gathered_BKSD[..., k_width:]


class StretchedDecoder:
    """A decoder that is called with a stretch of each row and sees the rest of it through the other processes."""

    def __init__(self, model: Decoder, group: dist.ProcessGroup) -> None:
        self.model, self.group = model, group

    def __call__(self, ids_BT: Tensor, positions_BT: Tensor, segments_BT: Tensor | None = None) -> Tensor:
        """Hidden states of this process's places, [B, T, E]."""
        hidden_BTE: Tensor = self.model(ids_BT, **self.surroundings(ids_BT, positions_BT, segments_BT))
        return hidden_BTE

    def surroundings(self, ids_BT: Tensor, positions_BT: Tensor | None, segments_BT: Tensor | None) -> dict[str, Any]:
        """What the decoder, or a stage of it, is called with besides its input."""
        cache: Sequence[GatheredKeys] = [GatheredKeys(self.group)] * self.model.config.num_layers
        allowed = self.allowed(ids_BT.shape[1], segments_BT, ids_BT.device)
        return {"positions_BT": positions_BT, "cache": cache, "allowed": allowed}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def allowed(self, length: int, segments_BT: Tensor | None, device: torch.device) -> Tensor:
        """True where a place of this stretch may look: at earlier places of the same document, [B|1, 1, T, S]."""
        size, rank = self.group.size(), self.group.rank()
        key_S = torch.arange(length * size, device=device)
        query_T = key_S[rank * length : (rank + 1) * length]
        allowed_BTS = (key_S <= query_T[:, None])[None]
        if segments_BT is not None:
            allowed_BTS = allowed_BTS & (
                segments_BT[:, :, None] == gather_places(segments_BT, self.group, axis=1)[:, None]
            )
        return allowed_BTS[:, None]


def stretch(batch: Batch, group: dist.ProcessGroup) -> Batch:
    """This process's places of every row. Raises ConfigError where they cannot be divided evenly."""
    rows, length = batch.ids_BT.shape
    if length % group.size():
        raise ConfigError(
            f"parallel.context={group.size()} does not divide rows of {length} tokens; "
            f"choose a sequence_length that is a multiple of {group.size()}"
        )
    if batch.positions_BT is None:
        positions_BT = torch.arange(length, device=batch.ids_BT.device).expand(rows, -1)
        batch = dataclasses.replace(batch, positions_BT=positions_BT)
    places = slice(group.rank() * length // group.size(), (group.rank() + 1) * length // group.size())
    return batch._each(lambda tensor_BT: tensor_BT[:, places].contiguous())
